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

__all__ = ["COMMIT", "commits", "is_revision", "keep", "keep_ref", "partial", "repository_folder", "root", "snapshot"]

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


def repository_folder(repository: str) -> Path | None:
    """Returns the folder of a repository, ``ORG/NAME``, which may not exist; ``None`` where there is no cache."""
    cache = root()
    return cache and cache / f"models--{repository.replace('/', '--')}"


def snapshot(repository: str, revision: str | None = None) -> tuple[Path, str] | None:
    """Returns the folder of a commit's files that are in the cache, and the commit; ``None`` where it is not there.

    Args:
        repository: ``ORG/NAME``.
        revision: A commit of 40 hex digits, a branch or a tag; ``None`` means ``main``.
    """
    folder, wanted = repository_folder(repository), revision or "main"
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
    folder = repository_folder(repository)
    try:
        return sorted(entry.name for entry in (folder / "snapshots").iterdir()) if folder else []
    except OSError:
        return []


def partial(repository: Path) -> Path:
    """Returns the name of a file that is being downloaded, in a folder that is there, for :func:`keep`.

    Raises:
        OSError: If the cache cannot be written.
    """
    blobs = repository / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    return blobs / f"{os.urandom(8).hex()}.incomplete"


def keep(repository: Path, commit: str, path: str, file: Path, content: str | None) -> None:
    """Moves a file into the cache, as one of a commit.

    Args:
        repository: Its folder.
        commit: 40 hex digits.
        path: The file's path in the repository.
        file: The file, from :func:`partial`.
        content: The hash by which the Hub knows its content, or ``None`` where it does not say.

    Raises:
        OSError: If the cache cannot be written.
    """
    place = repository / "snapshots" / commit / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        file = file.replace(file.with_name(content))
        with suppress(OSError):  # Windows without the right to make links: the file itself lies in the snapshot
            link = place.with_name(f".{os.urandom(8).hex()}")
            link.symlink_to(os.path.relpath(file, place.parent))
            file = link
    file.replace(place)


def keep_ref(repository: Path, revision: str, commit: str) -> None:
    """Records which commit a branch or tag is.

    Raises:
        OSError: If the cache cannot be written.
    """
    if not COMMIT.fullmatch(revision):
        ref = repository / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="ascii")
