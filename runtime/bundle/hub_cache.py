"""Reads and fills the standard Hugging Face cache, which other programs share; needs no package and no network.

A repository is a folder ``models--ORG--NAME`` with ``refs/`` (branch or tag -> commit), ``blobs/`` (content by its
hash) and ``snapshots/<commit>/`` (the files by their paths, links to blobs where the system has links):
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from .files import read_bounded

__all__ = ["COMMIT", "commits", "is_revision", "keep", "keep_ref", "partial", "root", "snapshot"]

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REVISION: Final = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)


def root() -> Path | None:
    """Returns the cache's folder, which may not exist, or ``None`` where this user has no home for it."""
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if value := os.environ.get(variable):
            return Path(os.path.expandvars(os.path.expanduser(value))) / below  # noqa: PTH111 - as the Hub's own client
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return cache / "huggingface" / "hub"


def is_revision(text: str) -> bool:
    """Whether a text can be a commit, a branch or a tag."""
    return bool(_REVISION.fullmatch(text)) and ".." not in text


def snapshot(repository: str, revision: str | None = None, *, cache: Path | None = None) -> tuple[Path, str] | None:
    """Returns the folder of a commit's files that are in the cache, and the commit; ``None`` where it is not there.

    Args:
        repository: ``ORG/NAME``.
        revision: A commit of 40 hex digits, a branch or a tag; ``None`` means ``main``.
        cache: The cache's folder; the standard one unless given.
    """
    folder, wanted = _folder(repository, cache), revision or "main"
    if folder is None or not is_revision(wanted):
        return None
    try:
        if not COMMIT.fullmatch(wanted):
            wanted = read_bounded(folder / "refs" / wanted, 1000).decode().strip()
        found = folder / "snapshots" / wanted
        return (found, wanted) if COMMIT.fullmatch(wanted) and found.is_dir() else None
    except (OSError, UnicodeDecodeError):
        return None


def commits(repository: str) -> list[str]:
    """Returns the commits of a repository that have files in the cache."""
    folder = _folder(repository, None)
    try:
        return sorted(entry.name for entry in (folder / "snapshots").iterdir()) if folder else []
    except OSError:
        return []


def partial(repository: str, cache: Path) -> Path:
    """Returns the name of a file that is being downloaded, in a folder that is there, for :func:`keep`.

    Raises:
        OSError: If the cache cannot be written.
    """
    blobs = cache / _name(repository) / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    return blobs / f"{os.urandom(8).hex()}.incomplete"


def keep(repository: str, commit: str, path: str, file: Path, content: str | None, cache: Path) -> None:
    """Moves a file into the cache, as one of a commit.

    Args:
        repository: ``ORG/NAME``.
        commit: 40 hex digits.
        path: The file's path in the repository.
        file: The file, from :func:`partial`.
        content: The hash by which the Hub knows its content, or ``None`` where it does not say.
        cache: The cache's folder.

    Raises:
        OSError: If the cache cannot be written.
    """
    place = cache / _name(repository) / "snapshots" / commit / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        file = file.replace(file.with_name(content))
        with suppress(OSError):  # Windows without the right to make links: the file itself lies in the snapshot
            link = place.with_name(f".{os.urandom(8).hex()}")
            link.symlink_to(os.path.relpath(file, place.parent))
            file = link
    file.replace(place)


def keep_ref(repository: str, revision: str, commit: str, cache: Path) -> None:
    """Records which commit a branch or tag is.

    Raises:
        OSError: If the cache cannot be written.
    """
    if not COMMIT.fullmatch(revision):
        ref = cache / _name(repository) / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="ascii")


def _folder(repository: str, cache: Path | None) -> Path | None:
    base = cache or root()
    return None if base is None else base / _name(repository)


def _name(repository: str) -> str:
    return f"models--{repository.replace('/', '--')}"
