"""Prints what an export is doing: one line per step, on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..runtime.escaping import printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["say", "step"]


def say(text: str) -> None:
    """Prints a message on stderr, safe for a terminal whatever a checkpoint brought."""
    print(f"export: {printable_lines(text)}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Prints what is about to be done, and afterwards how long it took when that was more than a second."""
    say(f"{text} ...")
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if seconds >= 1:
        say(f"{text}: {seconds:.0f} s")
