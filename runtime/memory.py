"""Bounds the pixels that are decoded at once by the memory this process may use.

A container is killed at its limit without a word, and threads that are counted by CPUs know nothing of it. Two limits
count: the tightest cgroup's on the way to the root (versions 1 and 2), and the address space (``RLIMIT_AS``).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .threads import CGROUP_ROOT, SELF_CGROUP, cgroup_folders

__all__ = ["Budget", "available_memory", "return_large_blocks"]

_SHARE: Final = 0.75
"""Of what is left once the model is loaded; the rest is for crops, tensors and the network's run."""
_M_MMAP_THRESHOLD: Final = -3  # malloc.h
_UNLIMITED: Final = 1 << 60
"""Version 1 writes "no limit" as a number near 2**63."""


class Budget:
    """Bytes of pixels that may be in memory at once. A picture that needs more than all of it gets it alone."""

    def __init__(self, total: int | None) -> None:
        """Takes the number of bytes; ``None`` bounds nothing."""
        self._total = total
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yields a function to call once, with the bytes a picture will take; it waits until they are to be had.

        They are given back when the block is left.
        """
        held = 0

        def claim(count: int) -> None:
            nonlocal held
            if self._total is None:
                return
            total = self._total
            with self._changed:
                self._changed.wait_for(lambda: self._taken == 0 or self._taken + count <= total)
                self._taken += count
                held = count

        try:
            yield claim
        finally:
            if held:
                with self._changed:
                    self._taken -= held
                    self._changed.notify_all()


def available_memory(root: Path = CGROUP_ROOT, membership: Path = SELF_CGROUP) -> int | None:
    """Returns the bytes that decoded pictures may take now, or ``None`` where nothing limits this process."""
    if sys.platform == "win32":
        return None
    import resource

    limits = [limit for folder in cgroup_folders("memory", root, membership) if (limit := _limit_of(folder))]
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        size, resident = (int(pages) for pages in Path("/proc/self/statm").read_text("ascii").split()[:2])
    except (OSError, ValueError):
        return None
    page = resource.getpagesize()
    left = [limit - resident * page for limit in limits]
    if space != resource.RLIM_INFINITY:
        left.append(space - size * page)
    return max(1, int(min(left) * _SHARE)) if left else None


def return_large_blocks() -> None:
    """Makes glibc give the memory of every large block back at once.

    It raises its threshold for that as blocks are freed, up to the size of Pillow's, and keeps one picture a thread.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def _limit_of(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            limit = int((folder / name).read_text("ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if limit < _UNLIMITED:
            return limit
    return None
