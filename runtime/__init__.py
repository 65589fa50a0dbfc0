"""Runs an image-classification bundle on pictures, with onnxruntime, numpy and Pillow alone.

>>> import gender_classifier as gc
>>> classifier = gc.load()
>>> classifier.predict("photo.jpg").label
'female'

Importing this package is cheap: the parts that need numpy or onnxruntime load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bundle.bundle import Bundle
    from .bundle.manifest import Manifest
    from .classifier import Classifier, load
    from .errors import (
        BundleError,
        BundleIntegrityError,
        ClassifierError,
        DetectorError,
        ImageError,
        ManifestError,
        ModelNotFoundError,
        OptionError,
        ProviderUnavailableError,
        UnsupportedHeadError,
        UnsupportedProcessorError,
        VariantNotFoundError,
    )
    from .faces.detector import Face
    from .limits import Limits
    from .prediction import UNCERTAIN, Person, Prediction, Status

__version__ = "0.1.0"

_HOME = {
    "Bundle": "bundle.bundle",
    "BundleError": "errors",
    "BundleIntegrityError": "errors",
    "Classifier": "classifier",
    "ClassifierError": "errors",
    "DetectorError": "errors",
    "Face": "faces.detector",
    "ImageError": "errors",
    "Limits": "limits",
    "Manifest": "bundle.manifest",
    "ManifestError": "errors",
    "ModelNotFoundError": "errors",
    "OptionError": "errors",
    "Person": "prediction",
    "Prediction": "prediction",
    "ProviderUnavailableError": "errors",
    "Status": "prediction",
    "UNCERTAIN": "prediction",
    "UnsupportedHeadError": "errors",
    "UnsupportedProcessorError": "errors",
    "VariantNotFoundError": "errors",
    "load": "classifier",
}

__all__ = [
    "UNCERTAIN",
    "Bundle",
    "BundleError",
    "BundleIntegrityError",
    "Classifier",
    "ClassifierError",
    "DetectorError",
    "Face",
    "ImageError",
    "Limits",
    "Manifest",
    "ManifestError",
    "ModelNotFoundError",
    "OptionError",
    "Person",
    "Prediction",
    "ProviderUnavailableError",
    "Status",
    "UnsupportedHeadError",
    "UnsupportedProcessorError",
    "VariantNotFoundError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
