"""The file of a journal: opened if it is a regular one, locked, under which name it waits, and safe on the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from ...runtime.errors import OptionError
from ..jsonl import lock

__all__ = [
    "FOR_READING",
    "FOR_WRITING",
    "claim",
    "open_regular",
    "sync_file",
    "sync_folder",
    "waiting_place",
    "waiting_places",
]

# Paths as they are in the journal, and a file descriptor:
# ruff: noqa: PTH116, PTH118, PTH119, PTH120

FOR_WRITING = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
"""How a journal is opened that is gone on with."""

FOR_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
"""How a journal is opened that is only looked at."""


def open_regular(path: str, flags: int, shown: str) -> int:
    """Opens a regular file; anything else is neither waited for nor touched.

    Raises:
        FileNotFoundError: If it is not there.
        OptionError: If it cannot be opened, or is something else.
    """
    something_else = OptionError(
        f"{shown} is no regular file, so it is no journal of a sort; name another with --journal."
    )
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise something_else
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    except FileNotFoundError:
        if flags & os.O_CREAT:
            raise OptionError(f"The journal {shown} cannot be written: there is no such folder.") from None
        raise
    except OptionError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OptionError(f"The journal {shown} cannot be opened: {reason}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it took the file's place after the look
        os.close(descriptor)
        raise something_else
    return descriptor


def claim(descriptor: int, place: str, shown: str) -> None:
    """Locks an open journal for this process.

    Raises:
        OptionError: If another process has it.
        FileNotFoundError: If another process removed it, or moved it, before the lock was taken.
    """
    lock(descriptor, f"{shown} belongs to a sort that is still running.")
    if not os.path.samestat(os.fstat(descriptor), os.stat(place)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)


def waiting_place(path: str, made: Iterable[str]) -> str | None:
    """Returns where a journal waits that lies in a folder of ``made``; ``None`` if it lies in none of them."""
    outermost = next(iter(made), None)
    resolved = _resolved(path)
    if outermost is None or not resolved.startswith(outermost + os.sep):
        return None
    return os.path.join(os.path.dirname(outermost), _aside_name(resolved))


def waiting_places(path: str) -> Iterator[str]:
    """Yields every place where this journal may wait."""
    resolved = _resolved(path)
    folder = os.path.dirname(resolved)
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        yield os.path.join(folder, _aside_name(resolved))


def _aside_name(path: str) -> str:
    return f".gender-classifier-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.jsonl"


def _resolved(path: str) -> str:
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def sync_file(descriptor: int) -> None:
    """Returns when what was written is on the disk, where the file system can tell.

    Raises:
        OSError: If it could not be written after all: some file systems notice a full disk only now.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise


def sync_folder(folder: str) -> None:
    """Returns when the names in a folder are on the disk, where the system can do that."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder or os.curdir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
