"""Ends the program quietly on Ctrl-C, at any moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["INTERRUPTED", "end_at_once", "ending_at_once"]

INTERRUPTED = 128 + signal.SIGINT
"""The exit code, as shells report it."""


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Lets Ctrl-C end the process on the spot: where nothing has begun, and imports are all there is.

    argparse and numpy take a ``KeyboardInterrupt`` in the middle of their work for an error of their own.
    """
    before = signal.getsignal(signal.SIGINT)
    end_at_once()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, before)


def end_at_once() -> None:
    """Lets Ctrl-C end the process on the spot from now on, unless it was told to ignore it, or to do something else."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with suppress(ValueError):  # only the main thread may say so
            signal.signal(signal.SIGINT, _end)


def _end(*_: Any) -> None:
    os._exit(INTERRUPTED)
