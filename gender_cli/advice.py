"""Adds to what the library says the commands and flags that help, which the library itself does not know."""

from __future__ import annotations

import re

from ..runtime.errors import (
    ClassifierError,
    DetectorError,
    DetectorNotFoundError,
    ModelNotFoundError,
    NotABundleError,
    UnknownLabelsError,
)

__all__ = ["as_flags", "explained"]


def explained(error: ClassifierError) -> str:
    """Returns an error's sentence, with the command that helps where there is one."""
    return f"{error} {_advice(error)}".rstrip()


def as_flags(sentence: str) -> str:
    """Returns a sentence of the library with ``--max-pixels`` for ``Limits(max_pixels=...)``, and so on."""
    return re.sub(r"Limits\((max)_(\w+)=\.\.\.\)", r"--\1-\2", sentence)


def _advice(error: ClassifierError) -> str:
    if isinstance(error, (DetectorError, DetectorNotFoundError)):
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
