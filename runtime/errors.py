"""What can go wrong, as a caller sees it.

Every error has one root, :class:`ClassifierError`, and also inherits the builtin that a caller would catch without
knowing this package. Messages are sentences for people: what happened, with which file, what to do.

A wrong *call* (type, option, missing model) raises. A bad *picture* does not: it becomes a
:class:`~runtime.prediction.Prediction` with a status. :class:`ImageError` is how the decoder says so internally.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from .escaping import printable

if TYPE_CHECKING:
    from .prediction import Status

__all__ = [
    "BundleError",
    "BundleIntegrityError",
    "ClassifierError",
    "DetectorError",
    "DetectorNotFoundError",
    "EngineError",
    "HubError",
    "ImageError",
    "ManifestError",
    "ModelNotFoundError",
    "NotABundleError",
    "Notice",
    "OptionError",
    "ProviderUnavailableError",
    "StoreError",
    "UnknownLabelsError",
    "UnsupportedHeadError",
    "UnsupportedProcessorError",
    "VariantNotFoundError",
]


class ClassifierError(Exception):
    """Root of every error this package raises on purpose."""


class OptionError(ClassifierError, ValueError):
    """An option has a value that cannot be used."""


class ModelNotFoundError(ClassifierError, FileNotFoundError):
    """No bundle under that name or path.

    Attributes:
        repository: ``ORG/NAME`` of the model on the Hub that was asked for, if it was one.
    """

    def __init__(self, message: str, *, repository: str | None = None) -> None:
        super().__init__(message)
        self.repository = repository

    def __str__(self) -> str:
        # FileNotFoundError would otherwise show its (errno, strerror) pair.
        return str(self.args[0]) if self.args else ""


class NotABundleError(ModelNotFoundError):
    """A folder is there, and holds no model."""


class DetectorNotFoundError(ModelNotFoundError):
    """There is no file of a face detector where one was named."""


class BundleError(ClassifierError, ValueError):
    """A bundle is there but cannot be used."""


class ManifestError(BundleError):
    """``bundle.json`` does not say what the format asks for (unknown field, wrong type, unknown version)."""


class BundleIntegrityError(BundleError):
    """A file of the bundle is missing or its bytes are not those the manifest names."""


class VariantNotFoundError(BundleError):
    """The bundle holds no variant of that name."""


class UnsupportedProcessorError(BundleError):
    """The preprocessor configuration names a class or key that the runtime does not know."""


class UnsupportedHeadError(BundleError):
    """The model's head is not a single-label classification (regression, several attributes, other outputs)."""


class UnknownLabelsError(UnsupportedHeadError):
    """What the model's own labels mean is not known, and a label map would say it."""


class DetectorError(ClassifierError, ValueError):
    """The face detector's file cannot be used: no YuNet, or not the one that was installed."""


class EngineError(ClassifierError, ImportError):
    """onnxruntime cannot be imported."""


class ProviderUnavailableError(ClassifierError, ValueError):
    """The execution provider asked for is not part of this onnxruntime, or did not come up."""


class HubError(ClassifierError, OSError):
    """The Hub could not be asked, does not have the files, or does not give them to this user."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class StoreError(ClassifierError, OSError):
    """A model's folder could not be written, replaced or removed."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ImageError(ClassifierError, OSError):
    """One picture cannot be used; carries the status that its result will have.

    The message is safe to print, whatever a decoder put into it: a file may make one clear the screen.
    """

    def __init__(self, status: Status, message: str) -> None:
        self.status = status
        self.message = printable(message)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[ImageError], tuple[Status, str]]:
        return (type(self), (self.status, self.message))


class Notice(str, Enum):
    """What a user should hear once about a classifier; not an error, and worded by the application."""

    BUILTIN_MODEL = "builtin_model"
    """No model was named, and the built-in one is in use; there are larger ones on the Hub."""

    def __str__(self) -> str:
        return self.value


def first_line(error: BaseException) -> str:
    """Returns the first line of somebody else's message without its full stop, or the name of the error's class."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(". ") if text else type(error).__name__
