"""What can go wrong with the labelled pictures themselves, as a sentence."""

from __future__ import annotations

from ..runtime.errors import ClassifierError

__all__ = ["LabelsError"]


class LabelsError(ClassifierError, ValueError):
    """The labels cannot be used: file, column, word or filter."""
