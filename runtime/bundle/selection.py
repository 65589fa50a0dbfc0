"""Chooses which files of a repository or folder make a model: ONNX files by variant, and a few texts.

The layout is the Hub's, as Optimum and transformers.js have it: ``config.json``, ``preprocessor_config.json`` and
``onnx/model.onnx``, with quantised versions beside it. Programs and pickles are never among what is chosen.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from ..errors import BundleError, VariantNotFoundError
from .files import MAX_TEXT_BYTES
from .manifest import Manifest

__all__ = ["TEXT_FILES", "VARIANT_FILES", "choose_variants", "find_variants", "manifest_files", "texts_of"]

VARIANT_FILES: Final[dict[str, tuple[str, ...]]] = {
    "fp32": ("model.onnx",),
    "int8": ("model_quantized.onnx", "model_int8.onnx"),
    "uint8": ("model_uint8.onnx",),
    "q4": ("model_q4.onnx",),
    "q4f16": ("model_q4f16.onnx",),
    "bnb4": ("model_bnb4.onnx",),
    "fp16": ("model_fp16.onnx",),
}
"""File names of the Hub's layout by variant, the first one there wins, in the order of preference for a default.

``model_quantized.onnx`` is what the Hub's tools load as 8 bit; where there is also a ``model_int8.onnx``, it is a copy
of that one or of ``model_uint8.onnx``.
"""

_USUAL: Final = ("fp32", "int8", "q4")
"""What is taken unless told otherwise: the variants that this project's own bundles may have."""

TEXT_FILES: Final = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "README.md",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
)
_SUFFIXES: Final = frozenset({".json", ".md", ".onnx", ".txt"})


def find_variants(paths: Container[str]) -> dict[str, str]:
    """Returns the ONNX files of the Hub's layout by variant name, best default first.

    ``onnx/`` is looked into first; then the top level, where ``optimum-cli export onnx`` writes.

    Args:
        paths: POSIX paths inside a repository or folder.
    """
    found: dict[str, str] = {}
    for variant, names in VARIANT_FILES.items():
        for path in (folder + name for folder in ("onnx/", "") for name in names):
            if path in paths:
                found.setdefault(variant, path)
    return found


def choose_variants(
    paths: Container[str], asked: Sequence[str], where: str, usual: Sequence[str] = _USUAL
) -> dict[str, str]:
    """Returns the ONNX files to take, by variant.

    Args:
        paths: POSIX paths of all files there are.
        asked: The variants asked for; none means those of ``usual`` that are there and whole, or else the first.
        where: What messages call the repository or folder.
        usual: See above.

    Raises:
        VariantNotFoundError: If one that was asked for is not there.
        BundleError: If there is none, or its weights are in a second file.
    """
    found = find_variants(paths)
    if not found:
        raise BundleError(
            f"{where} does not hold an ONNX model: no onnx/model.onnx, and no other file of that layout. A checkpoint "
            "has to be exported first."
        )
    missing = [variant for variant in asked if variant not in found]
    if missing:
        raise VariantNotFoundError(f"{where} has no variant {', '.join(missing)}; it has: {', '.join(found)}.")
    chosen = asked or [variant for variant in usual if variant in found] or list(found)[:1]
    outside = [variant for variant in chosen if f"{found[variant]}_data" in paths]
    whole = [variant for variant in chosen if variant not in outside]
    if outside and (asked or not whole):
        raise BundleError(
            f"{found[outside[0]]} of {where} keeps its weights in a second file, and a model's ONNX file has to be "
            "self-contained. Choose another variant, or export the original checkpoint."
        )
    return {variant: found[variant] for variant in whole}


def texts_of(sizes: Mapping[str, int | None]) -> list[str]:
    """Returns the configurations, card and licence among files, given by their sizes in bytes."""
    return [path for path in TEXT_FILES if path in sizes and (sizes[path] or 0) <= MAX_TEXT_BYTES]


def manifest_files(manifest: Manifest, variants: Iterable[str], where: str) -> list[str]:
    """Returns the files of a bundle with some of its variants, but for ``bundle.json``.

    Raises:
        BundleError: If the manifest names a file of a kind that no bundle has.
    """
    paths = [*manifest.files, *(manifest.variants[variant].file for variant in variants)]
    strange = [path for path in paths if PurePosixPath(path).suffix not in _SUFFIXES and path not in TEXT_FILES]
    if strange:
        raise BundleError(f"{where} cannot be used: its bundle.json names {', '.join(strange[:5])}.")
    return paths
