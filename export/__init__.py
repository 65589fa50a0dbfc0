"""Turns a Hugging Face image-classification checkpoint into a verified ONNX bundle.

>>> import export
>>> export.export_model("path/to/checkpoint", name="my-model")  # doctest: +SKIP

Importing this package is cheap; torch and transformers load when an export starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exporter import ExportOptions, export_model
    from .gate import VariantLimits

__all__ = ["ExportOptions", "VariantLimits", "export_model"]


def __getattr__(name: str) -> object:
    if name in ("ExportOptions", "export_model"):
        from . import exporter

        return getattr(exporter, name)
    if name == "VariantLimits":
        from .gate import VariantLimits

        return VariantLimits
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
