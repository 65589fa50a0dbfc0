"""Opens paths, bytes and streams safely."""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import IO, Any

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status

__all__ = [
    "check_bytes",
    "open_bytes",
    "open_path",
    "open_stream",
    "read_limited",
    "shown",
]

_PIECE = 1 << 20
"""Most bytes asked for in one call, because a file object may set aside as many as it is asked for."""

_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)


def shown(path: str | bytes) -> str:
    """Returns a path as error sentences show it: in quotes, control characters and stray bytes escaped."""
    return repr(os.fsdecode(path))


def check_bytes(size: int, name: str, limits: Limits) -> None:
    """Refuses an empty file and one over the limit.

    Raises:
        ImageError: ``unreadable`` for an empty file, ``too_large`` over the limit.
    """
    if size == 0:
        raise ImageError(Status.UNREADABLE, f"{name} is empty (0 bytes).")
    if size > limits.max_bytes:
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {size:,} bytes, more than the limit of {limits.max_bytes:,}; "
            "raise Limits(max_bytes=...) to read it.",
        )


def open_path(path: str | bytes, limits: Limits) -> IO[bytes]:
    """Opens a regular file for reading; never waits on a pipe, never opens a device.

    Raises:
        ImageError: ``not_found``, ``permission_denied``, ``not_a_file`` (folder, FIFO, socket, device, symlink loop),
            ``unreadable`` (empty, input/output error) or ``too_large``.
    """
    name = shown(path)
    try:
        # First a look that touches nothing: opening a device may already have an effect.
        _check_kind(os.stat(path).st_mode, name)  # noqa: PTH116 - the path may be bytes
        # It may have become a FIFO since; without O_NONBLOCK that open would wait for a writer for ever.
        flags = os.O_RDONLY
        for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
            flags |= getattr(os, flag, 0)
        descriptor = os.open(path, flags)
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_open(error, name) from error
    try:
        info = os.fstat(descriptor)
        _check_kind(info.st_mode, name)
        check_bytes(info.st_size, name, limits)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_bytes(data: bytes | bytearray | memoryview, limits: Limits) -> IO[bytes]:
    """Opens the bytes of a picture file.

    Raises:
        ImageError: ``unreadable`` when there are none, ``too_large`` when there are too many.
    """
    check_bytes(data.nbytes if isinstance(data, memoryview) else len(data), "The picture", limits)
    return io.BytesIO(data)


def open_stream(stream: IO[bytes], limits: Limits) -> tuple[IO[bytes], str]:
    """Reads a caller's binary file into memory, up to the limit, and returns it with its name.

    A seekable file is read from its beginning, whatever its position, which is restored; any other is read from
    where it stands. The file is not closed.

    Raises:
        ImageError: If it is empty, too large, or cannot be read.
        TypeError: If it is open in text mode.
    """
    if isinstance(stream, io.TextIOBase):
        raise TypeError("The picture file is open in text mode; open it in binary mode ('rb').")
    path = getattr(stream, "name", None)
    name = shown(path) if isinstance(path, (str, bytes)) else "The picture"
    try:
        data = _read_from_start(stream, limits.max_bytes)
    except TypeError:
        raise
    except MemoryError as error:
        raise ImageError(Status.TOO_LARGE, f"{name} needs more memory than there is to be read.") from error
    except Exception as error:  # the file may be of the caller's own making, and raise what it likes
        raise ImageError(Status.UNREADABLE, f"{name} cannot be read: {error or type(error).__name__}.") from error
    check_bytes(len(data), name, limits)
    return io.BytesIO(data), name


def read_limited(stream: IO[bytes], limit: int) -> bytes:
    """Reads a binary file from where it stands to its end, or to one byte beyond a limit.

    Memory grows with what arrives, not with the limit.

    Args:
        stream: A binary file; a raw one may give less than it is asked for, as a pipe does.
        limit: Most bytes wanted, of any size.

    Returns:
        What there is; ``limit + 1`` bytes say that there is more than the limit.

    Raises:
        TypeError: If the file gives anything but bytes.
        BlockingIOError: If it is in non-blocking mode and has nothing to give yet.
        OSError: If it cannot be read.
    """
    data = io.BytesIO()
    while (have := data.tell()) <= limit:
        part: Any = stream.read(min(_PIECE, limit + 1 - have))
        if part is None:
            raise BlockingIOError(errno.EAGAIN, "it is in non-blocking mode and has nothing to give yet")
        if not isinstance(part, bytes):
            raise TypeError(f"A picture file gives bytes, not {type(part).__name__}; open it in binary mode ('rb').")
        if not part:
            break
        data.write(part)
    return data.getvalue()


def _read_from_start(stream: IO[bytes], limit: int) -> bytes:
    try:
        position = stream.tell()
        stream.seek(0)
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError: a pipe, a socket's file
        return read_limited(stream, limit)
    try:
        return read_limited(stream, limit)
    finally:
        stream.seek(position)


def _check_kind(mode: int, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        sentence = f"{name} is a folder, not a picture."
    elif stat.S_ISFIFO(mode):
        sentence = f"{name} is a named pipe, not a picture file; nothing was read from it."
    elif stat.S_ISSOCK(mode):
        sentence = f"{name} is a socket, not a picture file."
    else:
        sentence = f"{name} is a device, not a picture file."
    raise ImageError(Status.NOT_A_FILE, sentence)


def _cannot_open(error: OSError | ValueError, name: str) -> ImageError:
    code = error.errno if isinstance(error, OSError) else errno.EINVAL
    if code in (errno.EACCES, errno.EPERM):
        return ImageError(Status.PERMISSION_DENIED, f"{name} may not be read: permission denied.")
    if code == errno.ELOOP:
        return ImageError(Status.NOT_A_FILE, f"{name} is a symbolic link that leads back to itself.")
    if code in (errno.ENXIO, errno.EISDIR):
        return ImageError(Status.NOT_A_FILE, f"{name} is not a regular file.")
    if code in _NOT_FOUND:
        # ValueError: a NUL character, or a name that this file system's encoding cannot write.
        hint = " Pictures are not fetched from the network." if "://" in name else ""
        return ImageError(Status.NOT_FOUND, f"There is no file {name}.{hint}")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ImageError(Status.UNREADABLE, f"{name} cannot be opened: {reason}.")
