"""Appends JSON lines to a file, whole or not at all, and locks it for one process."""

from __future__ import annotations

import errno
import os

from ..runtime.errors import ClassifierError, OptionError

__all__ = ["WriteError", "lock", "write_line"]


class WriteError(ClassifierError, OSError):
    """A file that a long run writes cannot be written any more (disk full, say)."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def write_line(descriptor: int, line: bytes, length: int) -> None:
    """Appends one line with one system call; what a full disk leaves of it is cut off again.

    Args:
        descriptor: Opened for appending.
        line: With its newline.
        length: Length of the file so far, in bytes.

    Raises:
        OSError: If it cannot be written; the file then has the length it had.
    """
    written = 0
    try:
        while written < len(line):  # a second call only after a short write: disk full, or a signal
            written += os.write(descriptor, line[written:])
    except OSError:
        if written:
            os.ftruncate(descriptor, length)
        raise


def lock(descriptor: int, message: str) -> None:
    """Locks an open file for this process, where the system and the file system can.

    Raises:
        OptionError: With ``message``, if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise OptionError(message) from error
