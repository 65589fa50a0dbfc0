"""Files that are no files, and streams: one sentence each, and nothing is waited for."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.decode.opening import read_limited
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support.pictures import encoded, failure, textured


def test_missing_file(tmp_path: Path) -> None:
    assert failure(tmp_path / "nobody.jpg").status is Status.NOT_FOUND
    assert failure(str(tmp_path / "no" / "where.jpg")).status is Status.NOT_FOUND
    (tmp_path / "file").touch()
    assert failure(tmp_path / "file" / "below.jpg").status is Status.NOT_FOUND
    assert failure("").status is Status.NOT_FOUND
    assert failure("x" * 5000).status is Status.NOT_FOUND
    assert failure("nul\0byte.jpg").status is Status.NOT_FOUND


def test_url_is_not_fetched() -> None:
    error = failure("https://example.org/photo.jpg")
    assert error.status is Status.NOT_FOUND
    assert "not fetched from the network" in error.message


def test_folder(tmp_path: Path) -> None:
    error = failure(tmp_path)
    assert error.status is Status.NOT_A_FILE
    assert "a folder" in error.message


def test_fifo_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.jpg"
    os.mkfifo(fifo)
    begun = time.monotonic()
    error = failure(fifo)
    assert error.status is Status.NOT_A_FILE
    assert "pipe" in error.message
    assert time.monotonic() - begun < 1


def test_file_that_becomes_a_fifo_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the opening, somebody may put a pipe in the picture's place."""
    fifo, file = tmp_path / "pipe.jpg", tmp_path / "photo.jpg"
    os.mkfifo(fifo)
    file.write_bytes(b"x")
    look = file.stat()
    monkeypatch.setattr(os, "stat", lambda *_args, **_options: look)
    begun = time.monotonic()
    assert failure(fifo).status is Status.NOT_A_FILE
    assert time.monotonic() - begun < 1


def test_socket_is_not_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        assert failure("s.jpg").status is Status.NOT_A_FILE


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_device_is_not_a_file(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"no {device} here")
    error = failure(device)
    assert error.status is Status.NOT_A_FILE
    assert "a device" in error.message


def test_symlinks(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(encoded(textured(), "PNG"))
    (tmp_path / "link.png").symlink_to(good)
    assert decode(tmp_path / "link.png").size == (160, 120)
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    error = failure(tmp_path / "a.png")
    assert error.status is Status.NOT_A_FILE
    assert "leads back to itself" in error.message
    (tmp_path / "dangling.png").symlink_to("gone.png")
    assert failure(tmp_path / "dangling.png").status is Status.NOT_FOUND


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    if os.geteuid() == 0:  # root may read anything: let the system call say what others would hear

        def denied(*_args: object, **_options: object) -> int:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "open", denied)
    else:
        path.chmod(0)
    assert failure(path).status is Status.PERMISSION_DENIED


def test_kernel_file_without_a_size_is_empty() -> None:
    """Reading some of them waits for ever."""
    if not Path("/proc/kmsg").exists():
        pytest.skip("no /proc here")
    assert failure("/proc/kmsg").status in (Status.UNREADABLE, Status.PERMISSION_DENIED)


@pytest.mark.parametrize("name", ["new\nline.jpg", "smile 😀.jpg", "tab\there.jpg", os.fsdecode(b"\xff\xfe.jpg")])
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(textured(), "JPEG"))
    assert decode(str(path)).size == (160, 120)
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        decode(path)
    caught.value.message.encode("utf-8")  # can be printed and written as JSON
    assert "\n" not in caught.value.message


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    for source in (path, b"", io.BytesIO()):
        error = failure(source)
        assert error.status is Status.UNREADABLE
        assert "empty" in error.message


def test_bytes_over_the_limit(tmp_path: Path) -> None:
    data = encoded(textured(), "PNG")
    path = tmp_path / "big.png"
    path.write_bytes(data)
    exact, less = Limits(max_bytes=len(data)), Limits(max_bytes=len(data) - 1)
    for source in (path, data, memoryview(data), io.BytesIO(data)):
        assert decode(source, exact).size == (160, 120)
        error = failure(source, less)
        assert error.status is Status.TOO_LARGE
        assert f"{len(data):,} bytes" in error.message


def test_sparse_terabyte_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    begun = time.monotonic()
    assert failure(path).status is Status.TOO_LARGE
    assert time.monotonic() - begun < 1


def test_endless_stream_is_read_up_to_the_limit() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            return len(buffer)

    stream = Endless()
    assert failure(stream, Limits(max_bytes=1_000_000)).status is Status.TOO_LARGE
    assert stream.given <= 1_000_001


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time, as a pipe does, and remembers how many it was asked for at most."""

    def __init__(self, data: bytes) -> None:
        self.data, self.most = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.most = max(self.most, len(buffer))
        size = min(7, len(buffer))
        part, self.data = self.data[:size], self.data[size:]
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("most", [10**12, 99999999999999999999], ids=["terabyte", "beyond-64-bits"])
def test_memory_for_a_stream_is_what_arrives(most: int) -> None:
    """A limit is no size: neither a terabyte nor a number beyond 64 bits may be asked of a stream in one call."""
    data = encoded(textured(), "PNG")
    stream = Trickle(data)
    assert decode(stream, Limits(max_bytes=most)).size == (160, 120)
    assert stream.most <= 1 << 20
    assert decode(io.BytesIO(data), Limits(max_bytes=most)).size == (160, 120)


@pytest.mark.parametrize(("limit", "given"), [(0, 1), (6, 7), (7, 8), (49, 50), (99, 100), (100, 100), (10**30, 100)])
def test_a_stream_is_read_to_one_byte_beyond_the_limit(limit: int, given: int) -> None:
    data = bytes(range(100))
    assert read_limited(Trickle(data), limit) == data[:given]
    assert read_limited(io.BytesIO(data), limit) == data[:given]


def test_a_pipe_with_nothing_to_give_yet_is_unreadable() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    with open(read, "rb", buffering=0) as stream:  # noqa: PTH123 - a descriptor
        assert failure(stream).status is Status.UNREADABLE
    os.close(write)
