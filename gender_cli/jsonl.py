"""Keeps an append-only file of JSON lines: whole lines or none, one process at a time, readable after a kill."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, final

from ..runtime.errors import ClassifierError, OptionError
from ..runtime.escaping import printable

__all__ = ["JsonLines", "WriteError", "sync", "write_all"]

# File descriptors all through, which pathlib has no methods for:

_LONGEST = 1 << 26
"""Bytes of the longest line that is read: a result of ten thousand people takes three million."""


class WriteError(ClassifierError, OSError):
    """A file that a long run writes cannot be written any more (disk full, say)."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


@final
class JsonLines:
    """An open file of JSON lines, locked for this process where the system and the file system can lock.

    Read it with :meth:`lines` first, then :meth:`cut` what a kill left torn, then :meth:`append`.

    Attributes:
        name: Its path as people read it.
        descriptor: Of the open file; -1 once it is closed.
        length: Where its last whole line ends, in bytes.
        tail: What follows there, at most some millions of bytes.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, create: bool = False, write: bool = True, private: bool = False
    ) -> None:
        """Opens the file, and locks it for writing.

        Args:
            path: A regular file; anything else is neither waited for nor touched.
            create: Make it if it is not there; its folder must be.
            write: Whether :meth:`append` will be called.
            private: Refuse symbolic links, and create the file so that only its owner may open it.

        Raises:
            FileNotFoundError: If it is not there and is not to be made.
            OptionError: If it cannot be opened, is in use, is not a regular file or was removed meanwhile.
        """
        self.name = printable(os.fspath(path))
        self.length = 0
        self.tail = b""
        flags = (os.O_RDWR | os.O_APPEND if write else os.O_RDONLY) | (os.O_CREAT if create else 0)
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        flags |= getattr(os, "O_NOFOLLOW", 0) if private else 0
        look = os.lstat if private else os.stat
        try:
            with suppress(FileNotFoundError):
                self._check_regular(look(path))
            self.descriptor = os.open(path, flags, 0o600 if private else 0o666)
        except FileNotFoundError:
            if create:
                raise OptionError(f"{self.name} cannot be written: there is no such folder.") from None
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            reason = error.strerror if isinstance(error, OSError) else error
            raise OptionError(f"{self.name} cannot be opened: {reason}.") from error
        try:
            self._check_regular(os.fstat(self.descriptor))  # something else may have taken its place since
            if write:
                self._lock()
                self._check_there(look, path)
        except BaseException:
            self.close()
            raise

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yields each whole line with its offset, from the start. At the end :attr:`tail` is known."""
        self.length = 0
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(0)
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                yield self.length, line
                self.length += len(line)
        self.tail = line

    def is_torn(self, is_start: Callable[[bytes], bool]) -> bool:
        """Returns whether :attr:`tail` is what a kill or a power cut leaves of a line.

        Args:
            is_start: Whether bytes are the start of a line of this file.
        """
        start = self.tail.rstrip(b"\0")  # a power cut can leave zeros where a line should be
        if not start:
            return not self.tail or self.length > 0
        return len(self.tail) < _LONGEST and is_start(start)

    def cut(self, length: int | None = None) -> None:
        """Cuts off :attr:`tail`, or all that follows a length."""
        self.length = self.length if length is None else length
        os.ftruncate(self.descriptor, self.length)
        self.tail = b""

    def line_at(self, offset: int) -> bytes:
        """Returns the line that starts at an offset."""
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            return file.readline(_LONGEST)

    def append(self, *records: Mapping[str, Any], durable: bool = False) -> int:
        """Writes lines with one system call, and returns the offset of the first.

        Args:
            records: What the lines hold; paths of any bytes survive (lone surrogates).
            durable: Return only when all lines are on the disk.

        Raises:
            WriteError: If they cannot be written; the file then ends with the line before.
        """
        lines = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records).encode("ascii")
        offset = self.length
        try:
            try:
                write_all(self.descriptor, lines)
            except OSError:
                with suppress(OSError):  # the next run cuts it off
                    os.ftruncate(self.descriptor, offset)
                raise
            self.length += len(lines)
            if durable:
                sync(self.descriptor)
        except OSError as error:
            raise WriteError(f"{self.name} cannot be written: {error.strerror}.") from error
        return offset

    def close(self) -> None:
        """Hands the lines to the disk and closes the file."""
        if self.descriptor >= 0:
            with suppress(OSError):
                os.fsync(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1

    def _check_regular(self, info: os.stat_result) -> None:
        if not stat.S_ISREG(info.st_mode):
            raise OptionError(f"{self.name} is not a regular file; name another one.")

    def _check_there(self, look: Callable[..., os.stat_result], path: str | os.PathLike[str]) -> None:
        """Makes sure that the file locked is the one of that name: the process that had it may have removed it."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self.descriptor), look(path)):
                return
        raise OptionError(f"{self.name} was taken away while it was being opened; start again.")

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not a POSIX system
            return
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise OptionError(
                    f"{self.name} is in use: another run is still running. Wait for it, or name another file."
                ) from error


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of some bytes, where one system call may take a part: on a disk that is nearly full, say.

    Raises:
        OSError: If they cannot be written; some of them may be.
    """
    while data:
        data = data[os.write(descriptor, data) :]


def sync(descriptor: int) -> None:
    """Returns when what was written is on the disk, where the file system can tell.

    Raises:
        OSError: If it could not be written after all: some file systems notice a full disk only now.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
