"""Opens a model by the repository that it came from: one that was added, else one in the Hugging Face cache.

A cached model is used where it lies. The network is asked only where the caller allows it, for what is not there.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import BundleError, ModelNotFoundError
from . import hub_cache, origin
from .bundle import Bundle, is_bundle, read_manifest
from .manifest import MANIFEST_NAME, Source
from .onnx_folder import licence_of, onnx_files, open_folder
from .selection import choose_variants, find_variants, manifest_files, texts_of

__all__ = ["bring", "find", "folder_of"]


def find(name: str, revision: str | None = None, variant: str | None = None) -> Bundle | None:
    """Opens a model that is on this machine; ``None`` where it is not, or lacks the variant in the cache.

    Args:
        name: ``ORG/NAME``.
        revision: A commit, or a branch or tag that the cache knows; what was added last, or ``main``, unless given.
        variant: The variant about to be used.

    Raises:
        BundleError: If it cannot be used.
    """
    added = origin.added_from(name, revision)
    return _from_cache(name, revision, variant) if added is None else Bundle.open(added)


def folder_of(name: str) -> Path | None:
    """Returns the folder of the model that :func:`find` would open."""
    cached = hub_cache.snapshot(name)
    if cached is not None and not is_bundle(cached[0]) and not find_variants(onnx_files(cached[0])):
        cached = None
    return origin.added_from(name) or (None if cached is None else cached[0])


def bring(name: str, revision: str | None, variant: str | None, *, download: bool) -> Bundle:
    """Brings a model that is not here into the Hugging Face cache, if that is allowed, and opens it.

    Raises:
        ModelNotFoundError: If it is not allowed.
        HubError: If it could not be downloaded.
        BundleError: If it cannot be used.
    """
    if not download:
        there = hub_cache.commits(name) if revision is None else []
        raise ModelNotFoundError(
            f"There is no model {name}{f' at {revision}' if revision else ''} here: it was not added, and the Hugging "
            "Face cache does not hold its ONNX files"
            + (f" as main; of these commits it holds some files: {', '.join(there)}." if there else "."),
            repository=name,
        )
    from . import hub

    repository = hub.look_up(name, revision)
    asked = () if variant is None else (variant,)
    if MANIFEST_NAME in repository.files:
        manifest = read_manifest(hub.download_into_cache(repository, [MANIFEST_NAME]))
        Bundle(Path(name), manifest).variant(variant)
        needed = manifest_files(manifest, [variant or manifest.default_variant], name)
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


def _from_cache(name: str, revision: str | None, variant: str | None) -> Bundle | None:
    """Returns a model in the Hugging Face cache; ``None`` where that does not hold what is needed."""
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
