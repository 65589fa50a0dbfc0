"""Prepares the process's three streams and prints what people read.

Python starts with ``None`` for a stream that the caller closed, encodes stdout as the locale says, and fails on what
that encoding lacks.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

from ..runtime.escaping import printable, printable_lines

__all__ = ["abandon_stdout", "finish", "for_machines", "prepare", "say", "show"]

_ERRORS = "gender_classifier.path"


def prepare() -> None:
    """Makes the streams usable; called once, before anything is written."""
    _open_closed_descriptors()
    if sys.stderr is None:
        _abandon_stderr()
    codecs.register_error(_ERRORS, _encode_leftover)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)


def for_machines() -> None:
    """Makes stdout UTF-8 with plain line ends, whatever the locale: a table must mean the same everywhere."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors=_ERRORS, newline="\n")


def say(message: str) -> None:
    """Prints a message for people on stderr; a stderr that is no longer read ends no run."""
    try:
        print(f"gender-classifier: {printable_lines(message)}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        _abandon_stderr()


def show(*lines: str) -> None:
    """Prints lines for people on stdout.

    Raises:
        SystemExit: When they cannot be written: nothing more is worth doing then, and no caller's handler of file
            errors may take it for a fault of the file at hand. With 0 when the reader has what it wanted (``| head``).
    """
    try:
        print(*map(printable, lines), sep="\n", flush=True)  # noqa: T201
    except BrokenPipeError:
        abandon_stdout()
        raise SystemExit(0) from None
    except OSError as error:
        say(f"the answers cannot be written: {error.strerror}.")
        abandon_stdout()
        raise SystemExit(2) from None


def _abandon_stderr() -> None:
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - pathlib is slow to import


def finish() -> None:
    """Writes what is left for stdout; if that fails, nothing more is said of it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        abandon_stdout()


def abandon_stdout() -> None:
    """Points stdout to nowhere: it cannot be written, and Python would complain again when it flushes at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_descriptors() -> None:
    """Opens the null device for a descriptor among 0, 1 and 2 that is closed.

    The next file to be opened would get its number, and what a C library complains of on stderr would end up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _encode_leftover(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes what the encoding lacks: bytes of a path that are not UTF-8 as they came, characters as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all("\udc80" <= c <= "\udcff" for c in text):
        return bytes(ord(c) - 0xDC00 for c in text), error.end
    if "\udc80" <= text[0] <= "\udcff":  # one at a time where both kinds follow each other
        return bytes([ord(text[0]) - 0xDC00]), error.start + 1
    return text[0].encode("ascii", "backslashreplace").decode("ascii"), error.start + 1
