"""Chooses names in the sorted folders: the picture's own, or with a number where a different file has that one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import final

from .files import digest

__all__ = ["Namer", "numbered"]

# ruff: noqa: PTH113, PTH116, PTH118, PTH122

_NAME_MAX = 255
"""Longest file name, in bytes, that the usual file systems take."""

_FEW = 4


def numbered(name: str, number: int) -> str:
    """Returns ``photo (2).jpg`` for ``photo.jpg`` and 2; the stem is cut where the name would get too long."""
    if number < 2:
        return name
    stem, suffix = os.path.splitext(name)
    while True:
        candidate = f"{stem} ({number}){suffix}"
        if len(os.fsencode(candidate)) <= _NAME_MAX or not stem:
            return candidate
        stem = stem[:-1]


@dataclass
class _Family:
    """The files whose names differ by their number only. Kept so that thousands of ``1.jpg`` stay cheap."""

    next: int = 1
    unread: dict[int, list[str]] = field(default_factory=dict)  # by size: found on the disk, content not known yet
    known: dict[str, str] = field(default_factory=dict)  # by sha256


@final
class Namer:
    """Chooses names below a destination folder; in a dry run it remembers what it gave away."""

    def __init__(self, destination: str, *, dry_run: bool) -> None:
        self._destination = destination
        self._planned: dict[str, str] | None = {} if dry_run else None
        self._families: dict[tuple[str, str], _Family] = {}

    def choose(self, folder: str, name: str, size: int, sha256: str) -> tuple[str, bool]:
        """Returns a path below the destination, and whether a file of equal content has it already.

        Args:
            folder: The folder below the destination.
            name: The picture's own name.
            size: Its size in bytes.
            sha256: Of its content.

        Returns:
            The path of the equal file and ``True``, or a path that is free and ``False``.
        """
        family = self._families.setdefault((folder, name), _Family())
        while True:
            candidate = os.path.join(folder, numbered(name, family.next))
            occupant = self._occupant(candidate)
            if occupant is None:
                break
            family.next += 1
            occupied = _size(occupant)
            if occupied is not None:
                family.unread.setdefault(occupied, []).append(candidate)
        for other in family.unread.pop(size, ()):
            content = self._sha256(other)
            if content is not None:
                family.known.setdefault(content, other)
        equal = family.known.get(sha256)
        # Read again: what was known may have changed since, and on this word a picture stays unsorted.
        if equal is not None and self._sha256(equal) == sha256:
            self._forget_small(folder, name)
            return equal, True
        return candidate, False

    def taken(self, folder: str, name: str, path: str, src: str, sha256: str) -> None:
        """Remembers that a chosen path has been taken by ``src``."""
        if self._planned is not None:
            self._planned[path] = src
        family = self._families[folder, name]
        family.next += 1
        family.known[sha256] = path
        self._forget_small(folder, name)

    def refresh(self, folder: str, name: str) -> None:
        """Forgets what is known of a name, because another program took it."""
        self._families.pop((folder, name), None)

    def _forget_small(self, folder: str, name: str) -> None:
        """Keeps memory flat: most names never come twice, and a few files are found again by asking the disk."""
        if self._families[folder, name].next <= _FEW:
            del self._families[folder, name]

    def _sha256(self, path: str) -> str | None:
        occupant = self._occupant(path)
        try:
            return digest(occupant) if occupant is not None and os.path.isfile(occupant) else None
        except OSError:
            return None

    def _occupant(self, path: str) -> str | None:
        """Returns the file that has, or will have, a path below the destination; ``None`` if it is free."""
        if self._planned is not None and path in self._planned:
            return self._planned[path]
        absolute = os.path.join(self._destination, path)
        return absolute if os.path.lexists(absolute) else None


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None  # a link to nothing: no content, but the name is taken
