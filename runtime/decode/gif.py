"""Looks through a GIF file: leaves Pillow the first picture, without comments and what applications keep in it.

The format is that of GIF89a.
"""

from __future__ import annotations

from ..options import Limits
from .inspected import Inspected
from .reader import GuardedReader, Part

__all__ = ["inspect"]

_EXTENSION, _CONTROL = 0x21, 0xF9


def inspect(file: GuardedReader, _name: str, _limits: Limits) -> Inspected:
    """Finds the first picture of a GIF.

    Args:
        file: The file.

    Raises:
        EndlessError: If there are more blocks before it than ``file`` allows reads.
    """
    head = file.read(13)
    flags = head[10] if len(head) == 13 else 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    parts: list[Part] = [(0, at)]
    while True:
        file.seek(at)
        block = file.read(2)
        if len(block) < 2 or block[0] != _EXTENSION:
            return Inspected([*parts, (at, file.length() - at)])
        end = _behind_blocks(file, at + 2)
        if block[1] == _CONTROL:
            parts.append((at, end - at))
        at = end


def _behind_blocks(file: GuardedReader, at: int) -> int:
    """Returns where a chain of data blocks ends, of up to 255 bytes each."""
    while True:
        file.seek(at)
        size = file.read(1)
        if not size:
            return at
        at += 1 + size[0]
        if not size[0]:
            return at
