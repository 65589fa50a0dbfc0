"""Defines the error of labelled pictures that cannot be used."""

from __future__ import annotations

from ..runtime.errors import ClassifierError

__all__ = ["LabelsError"]


class LabelsError(ClassifierError, ValueError):
    """The labels cannot be used: file, column, word or filter."""
