"""The process's own three streams, made fit for answers about any path.

Python starts with ``None`` for a stream that the caller closed, encodes stdout as the locale says, and fails on what
that encoding lacks.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

__all__ = ["abandon_stdout", "prepare", "say"]

_ERRORS = "gender_classifier.path"


def prepare() -> None:
    """Makes the streams usable; called once, before anything is written."""
    _occupy()
    if sys.stderr is None:
        _abandon_stderr()
    codecs.register_error(_ERRORS, _as_it_came)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)


def say(message: str) -> None:
    """Prints one line for people on stderr; a stderr that nobody reads any more ends no run."""
    try:
        print(f"gender-classifier: {message}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        _abandon_stderr()


def _abandon_stderr() -> None:
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def abandon_stdout() -> None:
    """Points stdout to nowhere: it cannot be written, and Python would complain again when it flushes at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _occupy() -> None:
    """Opens the null device for a descriptor among 0, 1 and 2 that is closed.

    The next file to be opened would get its number, and what a C library complains of on stderr would end up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes what the encoding lacks: bytes of a path that are not UTF-8 as they came, characters as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all("\udc80" <= c <= "\udcff" for c in text):
        return bytes(ord(c) - 0xDC00 for c in text), error.end
    if "\udc80" <= text[0] <= "\udcff":  # one at a time where both kinds follow each other
        return bytes([ord(text[0]) - 0xDC00]), error.start + 1
    return text[0].encode("ascii", "backslashreplace").decode("ascii"), error.start + 1
