"""Runs an image-classification bundle on pictures, with onnxruntime, numpy and Pillow alone.

>>> import gender_classifier as gc
>>> classifier = gc.load()
>>> classifier.predict("photo.jpg").label
'female'

Importing this package is cheap: everything but the errors loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .errors import (
    BundleError,
    BundleIntegrityError,
    ClassifierError,
    DetectorError,
    DetectorNotFoundError,
    EngineError,
    HubError,
    ImageError,
    ManifestError,
    ModelNotFoundError,
    Notice,
    OptionError,
    ProviderUnavailableError,
    StoreError,
    UnsupportedHeadError,
    UnsupportedProcessorError,
    VariantNotFoundError,
)
from .version import __version__

if TYPE_CHECKING:
    from .bundle.bundle import Bundle
    from .bundle.manifest import Manifest
    from .classifier import Classifier, load
    from .faces.detector import Face
    from .options import Faces, Limits, Options
    from .prediction import MIXED, UNCERTAIN, Person, Prediction, Status

__all__ = [
    "MIXED",
    "UNCERTAIN",
    "Bundle",
    "BundleError",
    "BundleIntegrityError",
    "Classifier",
    "ClassifierError",
    "DetectorError",
    "DetectorNotFoundError",
    "EngineError",
    "Face",
    "Faces",
    "HubError",
    "ImageError",
    "Limits",
    "Manifest",
    "ManifestError",
    "ModelNotFoundError",
    "Notice",
    "OptionError",
    "Options",
    "Person",
    "Prediction",
    "ProviderUnavailableError",
    "Status",
    "StoreError",
    "UnsupportedHeadError",
    "UnsupportedProcessorError",
    "VariantNotFoundError",
    "__version__",
    "load",
]

_ON_FIRST_USE = {
    "MIXED": "prediction",
    "UNCERTAIN": "prediction",
    "Bundle": "bundle.bundle",
    "Classifier": "classifier",
    "Face": "faces.detector",
    "Faces": "options",
    "Limits": "options",
    "Manifest": "bundle.manifest",
    "Options": "options",
    "Person": "prediction",
    "Prediction": "prediction",
    "Status": "prediction",
    "load": "classifier",
}


def __getattr__(name: str) -> object:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ON_FIRST_USE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
