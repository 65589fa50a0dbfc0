"""Opens and reads regular files within bounds, and hashes what is read; ONNX files in a form that can be loaded."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

__all__ = ["MAX_TEXT_BYTES", "OnnxFile", "digest_of", "open_onnx", "open_regular", "read_bounded", "sha256_of"]

MAX_TEXT_BYTES: Final = 8 << 20
"""A configuration, manifest or model card beyond this is something else, and is not read."""

_CHUNK: Final = 1 << 20
_IN_MEMORY: Final = 16 << 20
"""Bytes. onnxruntime copies a model that it gets as bytes twice: 346 MB took 1038 MiB that way, 420 MiB as a path."""

_EXTERNAL: Final = b"location"


class OnnxFile(NamedTuple):
    """An ONNX file whose bytes were read once, and what they say.

    Attributes:
        model: What onnxruntime loads: the bytes, or a path that leads to the very file that was read.
        size: In bytes.
        sha256: Of its content, lower-case hex.
        external: Whether it refers to other files, or to memory, for its weights.
        words: Those of the words looked for that it contains.
    """

    model: bytes | str
    size: int
    sha256: str
    external: bool
    words: frozenset[bytes]


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a regular file, through links too; never waits on a pipe and never touches a device.

    Raises:
        OSError: If it cannot be opened, or is something else.
    """
    flags = os.O_RDONLY
    for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, flag, 0)
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - opening a device may already have an effect
        descriptor = os.open(path, flags) if regular else -1
    except ValueError as error:  # a NUL character, or a name that this file system's encoding cannot write
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error
    if descriptor >= 0 and stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    if descriptor >= 0:
        os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))


def read_bounded(path: str | os.PathLike[str], limit: int = MAX_TEXT_BYTES) -> bytes:
    """Reads a whole regular file of at most ``limit`` bytes.

    Raises:
        OSError: If it cannot be read, is larger, or is something else.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) if size <= limit else b""
    if max(size, len(content)) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", os.fspath(path))
    return content


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a regular file's content as lower-case hex, reading a megabyte at a time.

    Raises:
        OSError: If it cannot be read, or is something else.
    """
    import hashlib  # it loads OpenSSL, which is slow, and --version hashes nothing

    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(hashes: Mapping[str, str]) -> str:
    """Returns one sha256 over files, by name: of the lines ``<sha256>  <name>``, as ``sha256sum`` prints them."""
    import hashlib

    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()


@contextmanager
def open_onnx(path: Path, words: tuple[bytes, ...] = ()) -> Iterator[OnnxFile]:
    """Reads an ONNX file once, and keeps what was read at hand for onnxruntime while the context is open.

    A small file is loaded from memory. A larger one is loaded through the descriptor that it was read by, so that a
    file put in its place meanwhile is never taken for it; one that was touched meanwhile is an error.

    Args:
        path: Of the file.
        words: Of at most 16 bytes, to look for.

    Raises:
        OSError: If it cannot be read, or is not a regular file.
        BlockingIOError: If it was changed before the context was left.
    """
    import hashlib

    with open_regular(path) as file:
        before = _state(os.fstat(file.fileno()))
        digest, size, tail, external, found = hashlib.sha256(), 0, b"", False, set[bytes]()
        content = file.read() if before[2] <= _IN_MEMORY else None
        chunk = file.read(_CHUNK) if content is None else content
        while chunk:
            digest.update(chunk)
            window = tail + chunk if tail else chunk
            external = external or _names_external_data(window)
            found.update(word for word in words if word in window)
            size += len(chunk)
            tail = chunk[-16:]  # a word may lie across two chunks
            chunk = file.read(_CHUNK) if content is None else b""
        own = f"/proc/self/fd/{file.fileno()}"
        has_own = Path(own).exists()  # Linux
        model = content if content is not None else own if has_own else str(path)
        yield OnnxFile(model, size, digest.hexdigest(), external, frozenset(found))
        if content is None and before != _state(os.fstat(file.fileno()) if has_own else path.stat()):
            raise BlockingIOError(errno.EAGAIN, "it was changed while it was being loaded", str(path))


def _names_external_data(content: bytes) -> bool:
    """Whether a part of an ONNX file has the key of ``TensorProto.external_data`` that names another file.

    In protobuf the key stands behind its length, 8, whose last byte is 8, or 0 where it was written longer than need
    be. onnxruntime does not guard against it: given bytes it looks for the other file in the current folder, and up to
    1.23 it follows absolute paths and addresses in memory.
    """
    at = content.find(_EXTERNAL)
    while at >= 0:
        if at and content[at - 1] in (0, 8):
            return True
        at = content.find(_EXTERNAL, at + 1)
    return False


def _state(info: os.stat_result) -> tuple[int, int, int, int, int]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
