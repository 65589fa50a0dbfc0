"""Opens the model that a name, a path or ``ORG/NAME`` stands for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ..errors import NotABundleError, OptionError
from . import locate
from .bundle import Bundle, is_bundle

__all__ = ["Opened", "folder_of", "open_model"]


class Opened(NamedTuple):
    """An opened model, and whether it is the built-in one that nothing asked for by name."""

    bundle: Bundle
    is_fallback: bool = False


def open_model(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    variant: str | None = None,
    download: bool = False,
) -> Opened:
    """Opens a model.

    Args:
        model: A bundle's name or folder; a folder in the Hub's ONNX layout; ``ORG/NAME``; ``None`` for the default
            (``GENDER_CLASSIFIER_MODEL`` may say any of these, too).
        revision: Commit, branch or tag of ``ORG/NAME``; the one that was added, or is cached as ``main``, unless given.
        variant: The variant about to be used.
        download: Whether what is neither added nor cached may be brought from the Hub, into the Hugging Face cache.

    Raises:
        ModelNotFoundError: If there is no such model here.
        HubError: If it could not be downloaded.
        BundleError: If it cannot be used; the message says why.
        OptionError: If there is a revision and no ``ORG/NAME``.
    """
    chosen = locate.choose(model).model
    name = _hub_id(chosen)
    if name is None:
        if revision is not None:
            raise OptionError(
                f"{chosen or 'the default model'} is not a model on the Hub, ORG/NAME; it has no revision"
            )
        if chosen is None:
            return Opened(Bundle.open(locate.builtin_path()), is_fallback=True)
        return Opened(_open_local(chosen, variant))
    from . import hub_model  # needed for these models alone

    bundle = hub_model.find(name, revision, variant)
    if bundle is None and revision is None and locate.is_folder(locate.expanded(name)):
        bundle = _open_local(name, variant)
    return Opened(bundle or hub_model.bring(name, revision, variant, download=download))


def folder_of(model: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder of the model that :func:`open_model` would open, without reading it.

    Raises:
        ModelNotFoundError: If there is none.
    """
    chosen = locate.choose(model).model
    if (name := _hub_id(chosen)) is not None:
        from . import hub_model

        if (found := hub_model.folder_of(name)) is not None:
            return found
    return locate.builtin_path() if chosen is None else _local(chosen)


def _hub_id(model: str | os.PathLike[str] | None) -> str | None:
    return model if isinstance(model, str) and locate.is_hub_id(model) else None


def _local(model: str | os.PathLike[str]) -> Path:
    """Returns the folder of a bundle by its name or path, or one in the Hub's layout by its path."""
    try:
        return locate.find(model)
    except NotABundleError:
        from .onnx_folder import onnx_files
        from .selection import find_variants

        folder = locate.expanded(os.fspath(model))
        if not find_variants(onnx_files(folder)):
            raise
        return folder


def _open_local(model: str | os.PathLike[str], variant: str | None) -> Bundle:
    folder = _local(model)
    if is_bundle(folder):
        return Bundle.open(folder)
    from .onnx_folder import open_folder

    return open_folder(folder, variant=variant)
