"""Defines the errors of an export; after any of them there is no new bundle."""

from __future__ import annotations

from ..runtime.errors import ClassifierError

__all__ = [
    "CheckpointError",
    "ExportError",
    "ParityError",
    "UnsupportedArchitectureError",
    "first_line",
]


class ExportError(ClassifierError, RuntimeError):
    """Root of the export room's own errors."""


class CheckpointError(ExportError, ValueError):
    """The checkpoint lacks something, or holds something that is not loaded on principle (pickled weights)."""


class UnsupportedArchitectureError(ExportError, ValueError):
    """The network cannot be written as ONNX with ``pixel_values`` in and ``logits`` out."""


class ParityError(ExportError):
    """The ONNX model does not give the answers of the original."""


def first_line(error: Exception) -> str:
    """Returns the kind and the first line of an error that another package raised; torch's run to pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no more is known'}"
