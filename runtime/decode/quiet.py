"""Keeps Pillow's warnings about a broken picture off the screen, in this thread and for this decode only."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["pillow_silenced"]

_state = threading.local()
_lock = threading.Lock()


class _PillowHere:
    """Stands where a warning filter has the pattern of a module name; matches Pillow's, in a silenced thread."""

    def match(self, module: str) -> bool:
        return getattr(_state, "depth", 0) > 0 and module.startswith(("PIL.", "pillow_heif."))


# ``warnings.catch_warnings`` swaps the filters of the whole process, so two threads that use it undo each other's
# work. One permanent filter whose module pattern asks which thread is running has no such race, and it leaves the
# application's own use of Pillow as loud as it was.
_FILTER: Any = ("ignore", None, Warning, _PillowHere(), 0)


@contextmanager
def pillow_silenced() -> Iterator[None]:
    """Silences warnings that Pillow's modules raise in this thread, even where warnings are errors."""
    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    if not filters or filters[0] is not _FILTER:  # first use, or the application set filters since
        with _lock:
            if _FILTER in filters:
                filters.remove(_FILTER)
            filters.insert(0, _FILTER)
    _state.depth = getattr(_state, "depth", 0) + 1
    try:
        yield
    finally:
        _state.depth -= 1
