"""Opens the model that a name, a path or ``ORG/NAME`` stands for.

``ORG/NAME`` is a model that was added from that repository, else one in the standard Hugging Face cache, which is used
where it lies. The network is asked only where the caller allows it, and only for what is not there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError, ModelNotFoundError, OptionError
from . import hub_cache, locate, origin
from .bundle import Bundle, is_bundle, read_manifest
from .manifest import MANIFEST_NAME, Source
from .selection import choose_variants, find_variants, manifest_files, texts_of

__all__ = ["Opened", "folder_of", "open_model"]


@dataclass(frozen=True)
class Opened:
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
    added = origin.added_from(name, revision)
    if added is not None:
        return Opened(Bundle.open(added))
    bundle = _from_cache(name, revision, variant)
    if bundle is None and revision is None and locate.is_folder(locate.expanded(name)):
        bundle = _open_local(name, variant)
    if bundle is None and download:
        bundle = _download(name, revision, variant)
    if bundle is None:
        there = hub_cache.commits(name) if revision is None else []
        raise ModelNotFoundError(
            f"There is no model {name}{f' at {revision}' if revision else ''} here: it was not added, and the Hugging "
            "Face cache does not hold its ONNX files"
            + (f" as main; of these commits it holds some files: {', '.join(there)}." if there else "."),
            repository=name,
        )
    return Opened(bundle)


def folder_of(model: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder of the bundle that :func:`open_model` would open, without reading it.

    Raises:
        ModelNotFoundError: If there is none.
    """
    chosen = locate.choose(model).model
    name = _hub_id(chosen)
    if name is not None:
        cached = hub_cache.snapshot(name)
        found = origin.added_from(name) or (cached[0] if cached is not None and is_bundle(cached[0]) else None)
        if found is not None:
            return found
    return locate.builtin_path() if chosen is None else locate.find(chosen)


def _hub_id(model: str | os.PathLike[str] | None) -> str | None:
    return model if isinstance(model, str) and hub_cache.is_hub_id(model) else None


def _open_local(model: str | os.PathLike[str], variant: str | None) -> Bundle:
    from .onnx_folder import onnx_files, open_folder

    try:
        return Bundle.open(locate.find(model))
    except ModelNotFoundError:
        folder = locate.expanded(os.fspath(model))
        if not (locate.is_folder(folder) and not is_bundle(folder) and find_variants(onnx_files(folder))):
            raise
    return open_folder(folder, variant=variant)


def _from_cache(name: str, revision: str | None, variant: str | None) -> Bundle | None:
    """Returns a model in the Hugging Face cache; ``None`` where that does not hold what is needed."""
    from .onnx_folder import licence_of, onnx_files, open_folder

    found = hub_cache.snapshot(name, revision)
    if found is None:
        return None
    folder, commit = found
    if is_bundle(folder):
        bundle = Bundle(folder, read_manifest(folder))
        needed = [*bundle.manifest.files, bundle.variant(variant).file]
        return Bundle.open(folder) if all((folder / path).is_file() for path in needed) else None
    variants = find_variants(onnx_files(folder))
    if not variants or (variant is not None and variant not in variants):
        return None
    source = Source("hub", name, revision=commit, license=licence_of(folder))
    return open_folder(folder, variant=variant, name=name, source=source)


def _download(name: str, revision: str | None, variant: str | None) -> Bundle:
    from . import hub

    repository = hub.look_up(name, revision)
    asked = () if variant is None else (variant,)
    if MANIFEST_NAME in repository.files:
        manifest = read_manifest(hub.download_into_cache(repository, [MANIFEST_NAME]))
        chosen = Bundle(Path(name), manifest).variant(variant)
        needed = [
            path
            for path in manifest_files(manifest, manifest.variants, name)
            if path in manifest.files or path == chosen.file
        ]
    else:
        sizes = {path: file.size for path, file in repository.files.items()}
        needed = [*texts_of(sizes), *choose_variants(repository.files, asked, name, usual=()).values()]
    lacking = [path for path in needed if path not in repository.files]
    if lacking:
        raise BundleError(f"{name} at {repository.commit[:12]} lacks {', '.join(lacking)}.")
    hub.download_into_cache(repository, needed)
    bundle = _from_cache(name, repository.commit, variant)
    if bundle is None:
        raise BundleError(f"{name} at {repository.commit[:12]} was downloaded, and is not a model that can be used.")
    return bundle
