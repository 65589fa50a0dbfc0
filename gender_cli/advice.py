"""Adds to an error of the library the command that helps, which the library itself does not know."""

from __future__ import annotations

from ..runtime.errors import (
    ClassifierError,
    DetectorNotFoundError,
    ModelNotFoundError,
    NotABundleError,
    UnknownLabelsError,
)

__all__ = ["explained"]


def explained(error: ClassifierError) -> str:
    """Returns an error's sentence, with the command that helps where there is one."""
    return f"{error} {_advice(error)}".rstrip()


def _advice(error: ClassifierError) -> str:
    if isinstance(error, DetectorNotFoundError):
        return "To install one: gender-classifier models add-detector"
    if isinstance(error, NotABundleError):
        return "To make one of a checkpoint: gender-classifier export"
    if isinstance(error, ModelNotFoundError) and error.repository is not None:
        name = error.repository
        return (
            f"To bring it from the Hub: gender-classifier models add {name} if it holds ONNX files, "
            f"gender-classifier export {name} otherwise."
        )
    if isinstance(error, ModelNotFoundError):
        return "`gender-classifier models list` shows the models with their folders."
    if isinstance(error, UnknownLabelsError):
        return "The option --label-map of `gender-classifier models add` and `gender-classifier export` takes it."
    return ""
