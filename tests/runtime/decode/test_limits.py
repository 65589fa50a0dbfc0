"""Bad files, hostile files, and files that are no files: one sentence each, in bounded time and memory."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from gender_classifier.runtime.decode import jpeg as scans
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.decode.opening import read_limited
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support import ROOT

SECONDS = 10.0
"""Longest that any file of the default size limit may take."""


def failure(source: Any, limits: Limits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(source, limits or Limits())
    error = caught.value
    assert error.message.endswith((".", "'."))
    assert "\n" not in error.message
    if isinstance(source, (str, Path)):
        assert Path(source).name.encode("unicode_escape").decode() in error.message or str(source) == ""
    return error


def encoded(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def textured(mode: str = "RGB", size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Something that does not compress to nothing, the same every time."""
    noise = np.random.default_rng(1).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA").resize(size, Image.Resampling.BICUBIC)
    return picture.convert("L").convert("1") if mode == "1" else picture.convert(mode)


# Paths


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


# Content


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    for source in (path, b"", io.BytesIO()):
        error = failure(source)
        assert error.status is Status.UNREADABLE
        assert "empty" in error.message


WHOLE = [
    ("JPEG", "RGB", {}), ("JPEG", "L", {}), ("JPEG", "CMYK", {}), ("JPEG", "RGB", {"progressive": True}),
    ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "LA", {}), ("PNG", "1", {}),
    ("GIF", "P", {}), ("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True}),
    ("TIFF", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "RGB", {"compression": "tiff_deflate"}), ("TIFF", "1", {"compression": "group4"}),
    ("BMP", "RGB", {}), ("TGA", "RGB", {"compression": "tga_rle"}), ("PPM", "RGB", {}),
    ("DIB", "RGB", {}), ("AVIF", "RGB", {}), ("ICO", "RGBA", {}), ("ICO", "RGBA", {"bitmap_format": "bmp"}),
    ("MPO", "RGB", {}),
]  # fmt: skip


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "LOAD_TRUNCATED_IMAGES"])
@pytest.mark.parametrize(("format_name", "mode", "options"), WHOLE)
def test_truncated_is_never_half_a_picture(
    format_name: str, mode: str, options: dict[str, Any], lenient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the file is cut: all the pixels, or none and a sentence."""
    data = encoded(textured(mode), format_name, **options)
    whole = decode(data).tobytes()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    refused, statuses = 0, set()
    for cut in sorted({len(data) * tenth // 20 for tenth in range(1, 20)} | {len(data) - 1, len(data) - 2}):
        try:
            assert decode(data[:cut]).tobytes() == whole, f"cut at {cut} of {len(data)}"
        except ImageError as error:
            refused += 1
            statuses.add((error.status, cut < 40))
    assert statuses <= {
        (Status.UNREADABLE, False), (Status.UNREADABLE, True),
        (Status.UNSUPPORTED_FORMAT, True),  # cut within its signature
    }  # fmt: skip
    assert refused >= 5


# Limits


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


@pytest.mark.parametrize(("format_name", "mode", "options"), WHOLE)
def test_pixels_over_the_limit(
    format_name: str, mode: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(textured(mode), format_name, **options)
    decoded = decode(data)
    if format_name != "ICO":  # whose sizes are checked apart, before they are opened

        def forbidden(*_args: object) -> None:
            raise AssertionError("pixels were decoded")

        monkeypatch.setattr(ImageFile.ImageFile, "load", forbidden)
    error = failure(data, Limits(max_pixels=decoded.width * decoded.height - 1))
    assert error.status is Status.TOO_LARGE
    assert f"{decoded.width} x {decoded.height}" in error.message


def test_pixel_limit_holds_for_pictures_and_arrays() -> None:
    limits = Limits(max_pixels=99)
    assert failure(np.zeros((10, 10, 3), np.uint8), limits).status is Status.TOO_LARGE
    assert failure(Image.new("RGB", (10, 10)), limits).status is Status.TOO_LARGE
    assert decode(Image.new("RGB", (9, 11)), limits).size == (9, 11)


def test_limits_above_pillows_own_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses at twice its process-wide limit; ours is ours, and Pillow's stays as it was."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(encoded(textured(), "PNG")).size == (160, 120)
    assert Image.MAX_IMAGE_PIXELS == 100


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_decompression_bomb() -> None:
    begun = time.monotonic()
    error = failure(png_bomb(100_000, 100_000))
    assert error.status is Status.TOO_LARGE
    assert "100000 x 100000" in error.message
    assert time.monotonic() - begun < 1


# Long sides: Pillow keeps a pointer to each row, so that a file of 174 KB once took 1.8 GiB


def child_decodes(path: Path, *arguments: str) -> tuple[str, float, int]:
    """Returns status, CPU seconds and memory in bytes at the peak of a decode in a process of its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    status, seconds, peak = json.loads(done.stdout)
    return status, seconds, peak


def longest(width: int) -> int:
    """Returns the rows that the default limit allows a picture of that width."""
    return (Limits().max_pixels + 512 * 65_535) // (512 + width)


TALL: list[tuple[str, str, dict[str, Any]]] = [
    ("PNG", "1", {}), ("PNG", "LA", {}), ("PNG", "RGB", {}), ("PNG", "I;16", {}), ("BMP", "1", {}), ("BMP", "RGB", {}),
    ("PPM", "1", {}), ("PPM", "L", {}), ("PPM", "RGB", {}), ("TIFF", "1", {}), ("TIFF", "LA", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "F", {}),
]  # fmt: skip


@pytest.mark.parametrize("turned", [False, True], ids=["tall", "wide"])
@pytest.mark.parametrize(("format_name", "mode", "options"), TALL)
def test_a_side_too_long_for_the_memory(
    format_name: str, mode: str, options: dict[str, Any], turned: bool, tmp_path: Path
) -> None:
    """At the limit in little memory, beyond it refused by the header: rows count, not only pixels."""
    rows = longest(1)
    path = tmp_path / "long"
    for length in (rows, rows + 1):
        size = (length, 1) if turned else (1, length)
        Image.new(mode, size).save(path, format_name, **options)
        if length > rows:
            error = failure(path)
            assert error.status is Status.TOO_LARGE
            assert f"{size[0]} x {size[1]}" in error.message
            assert "raise the limit on pixels" in error.message
            assert decode(path, Limits(max_pixels=2 * Limits().max_pixels)).size == size
        else:
            assert decode(path).size == size


@pytest.mark.parametrize("mode", ["1", "LA"])
def test_the_largest_tall_picture_takes_little_memory(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "tall.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # three copies: stored, turned, converted
    Image.new(mode, (1, longest(1))).save(path, exif=exif)
    status, seconds, peak = child_decodes(path)
    assert status == "ok"
    assert peak < 100 << 20
    assert seconds < SECONDS


@pytest.mark.slow
def test_the_tall_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pixels as the limit, one in a row; in 174 KB."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "tall.png"
    Image.new("1", (1, Limits().max_pixels)).save(path)
    status, seconds, peak = child_decodes(path)
    assert status == "too_large"
    assert peak < 10 << 20
    assert seconds < 1


def test_a_long_side_counts_for_pictures_and_arrays_too() -> None:
    assert failure(np.zeros((longest(1) + 1, 1, 3), np.uint8)).status is Status.TOO_LARGE
    assert failure(Image.new("L", (longest(1) + 1, 1))).status is Status.TOO_LARGE
    # A side that a JPEG may have costs nothing extra, whatever the limit.
    assert decode(Image.new("L", (65_535, 1)), Limits(max_pixels=65_535)).size == (65_535, 1)


# Scans: each goes over the whole picture, and may hold next to no data


def jpeg_with_scans(picture: Image.Image, more: int, **options: Any) -> bytes:
    """Returns a progressive JPEG whose last scan is repeated so many times."""
    data = encoded(picture, "JPEG", progressive=True, **options)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * more + data[-2:]


GREY = Image.new("L", (64, 64), 128)
SCANS = encoded(GREY, "JPEG", progressive=True).count(b"\xff\xda")


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Returns a JPEG whose header states another size; what its scans lack is grey."""
    at = next(at for at in range(len(jpeg)) if jpeg[at] == 0xFF and jpeg[at + 1] in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)) + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def mpo(jpeg: bytes) -> bytes:
    """Returns a file of two pictures; the first is the JPEG."""
    two = encoded(GREY, "MPO", save_all=True, append_images=[GREY])
    assert two[2:4] == b"\xff\xe0"
    end = 4 + int.from_bytes(two[4:6], "big")
    index = end + 2 + int.from_bytes(two[end + 2 : end + 4], "big")
    return two[:index] + jpeg[2:] + two[two.rindex(b"\xff\xd8\xff") :]


def test_more_scans_than_any_program_writes() -> None:
    assert decode(jpeg_with_scans(GREY, 500 - SCANS)).size == GREY.size
    for data in (jpeg_with_scans(GREY, 501 - SCANS), mpo(jpeg_with_scans(GREY, 501 - SCANS))):
        error = failure(data)
        assert error.status is Status.UNREADABLE
        assert "scans" in error.message


@pytest.mark.parametrize("container", ["JPEG", "MPO"])
def test_more_scans_than_ten_seconds_allow(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_args: object) -> None:
        raise ValueError("pixels would be decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", reached)
    wrap = {"JPEG": lambda data: data, "MPO": mpo}[container]
    bomb = wrap(with_size(jpeg_with_scans(GREY, 200), 9400, 9400))
    error = failure(bomb)
    assert error.status is Status.TOO_LARGE
    assert f"9400 x 9400 pixels in {SCANS + 200} scans" in error.message
    # Twice the pixels, twice the time.
    assert "pixels would be decoded" in failure(bomb, Limits(max_pixels=2 * Limits().max_pixels)).message


def test_as_many_scans_as_programs_write_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred scans at the largest size: libjpeg's, mozjpeg's and jpegli's scripts have up to a few dozen."""

    def reached(*_args: object) -> None:
        raise ValueError("pixels would be decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", reached)
    assert "pixels would be decoded" in failure(with_size(jpeg_with_scans(GREY, 100 - SCANS), 9459, 9459)).message


def test_scans_of_what_is_behind_the_picture_and_in_its_segments_do_not_count() -> None:
    """A telephone's video behind the picture, a thumbnail in the EXIF."""
    data = jpeg_with_scans(GREY, 0)
    many = b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 1000
    segment = b"\xff\xe5" + struct.pack(">H", 2 + len(many)) + many
    assert decode(data[:2] + segment + data[2:] + many).size == GREY.size


@pytest.mark.parametrize("hide", [b"\xff\x02\xff\xff", b"\xff\xff\xff", b"\xff\x01\xff\xff", b"\xff\xd8\xff\xff"])
def test_scans_cannot_hide_behind_a_marker_without_a_segment(hide: bytes) -> None:
    data = jpeg_with_scans(GREY, 600)
    at = data.rindex(b"\xff\xda", 0, len(data) // 10)
    with pytest.raises(ImageError, match="more than the 500"):
        decode(data[:at] + hide + data[at:])


def sequential(components: int, scans: list[tuple[int, ...]], size: int = 64, frame: int = 0xC1) -> bytes:
    """Returns a sequential JPEG of scans without data, each of some of the components."""
    segment = lambda kind, data: b"\xff" + bytes([kind]) + struct.pack(">H", len(data) + 2) + data  # noqa: E731
    codes = bytes([0, 3, *[0] * 14]) + bytes([0, 1, 2])
    return (
        b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC4, b"\0" + codes) + segment(0xC4, b"\x10" + codes)
        + segment(frame, struct.pack(">BHHB", 8, size, size, components)
                  + b"".join(bytes([number + 1, 0x11, 0]) for number in range(components)))
        + b"".join(segment(0xDA, bytes([len(scan)]) + b"".join(bytes([c, 0]) for c in scan) + b"\0\x3f\0")
                   for scan in scans) + b"\xff\xd9"
    )  # fmt: skip


def test_a_sequential_jpeg_of_several_scans_counts_too() -> None:
    assert decode(sequential(3, [(1,), (2,), (3,)])).size == (64, 64)
    assert failure(sequential(3, [(1,), (2,)] * 300)).status is Status.UNREADABLE
    assert failure(sequential(4, [(1, 2, 3)] * 100, 9400)).status is Status.TOO_LARGE
    assert failure(sequential(3, [(1,), (2,), (3,)] * 10, 9400, frame=0xC9)).status is Status.TOO_LARGE


@pytest.mark.parametrize("options", [{}, {"quality": 95, "subsampling": 0}], ids=["4:2:0", "4:4:4"])
def test_an_ordinary_jpeg_is_not_searched_for_scans(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*_args: object) -> None:
        raise ValueError("the whole file was searched")

    monkeypatch.setattr(scans, "count_scans", searched)
    for mode in ("RGB", "L", "CMYK"):
        data = encoded(textured(mode), "JPEG", **options)
        assert decode(data).size == decode(mpo(data)).size == (160, 120)
    assert "searched" in failure(encoded(textured(), "JPEG", progressive=True)).message


def tiff_of_jpegs(jpeg: bytes, width: int, rows: int, strips: int) -> bytes:
    """Returns a grey TIFF whose strips are all the same JPEG."""
    at = 8 + 2 + 12 * 9 + 4
    body = at + 8 * strips
    entries = [(256, 4, 1, width), (257, 4, 1, rows * strips), (258, 3, 1, 8), (259, 3, 1, 7), (262, 3, 1, 1),
               (273, 4, strips, at), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, strips, at + 4 * strips)]  # fmt: skip
    return (
        b"II*\0" + struct.pack("<IH", 8, 9) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
        + struct.pack(f"<{strips}I", *[body] * strips) + struct.pack(f"<{strips}I", *[len(jpeg)] * strips) + jpeg
    )  # fmt: skip


def test_strips_of_a_tiff_cannot_hold_many_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    """libtiff allows each strip a hundred; up to 28 megapixels of them take ten seconds."""
    strip = Image.new("L", (1024, 64), 128)
    one, many = encoded(strip, "JPEG"), jpeg_with_scans(strip, 50)
    assert decode(tiff_of_jpegs(many, 1024, 64, 4)).size == (1024, 256)
    assert decode(tiff_of_jpegs(one, 1024, 64, 500)).size == (1024, 32_000)  # 33 megapixels
    error = failure(tiff_of_jpegs(many, 1024, 64, 500))
    assert error.status is Status.TOO_LARGE
    assert "costly" in error.message


@pytest.mark.slow
def test_scan_bombs_cost_little(tmp_path: Path) -> None:
    """The worst that is let through: as many scans as the time allows, at the largest size."""
    path = tmp_path / "bomb.jpg"
    path.write_bytes(jpeg_with_scans(Image.new("L", (9400, 9400), 128), 200))
    status, seconds, peak = child_decodes(path)
    assert (status, seconds < 1, peak < 100 << 20) == ("too_large", True, True)
    path.write_bytes(jpeg_with_scans(Image.new("L", (9400, 9400), 128), 115))
    status, seconds, peak = child_decodes(path)
    assert status == "ok"
    assert seconds < 1.5 * SECONDS  # the cores may be busy with other work
    assert peak < 1 << 30


BITMAP_BOMB = struct.pack("<IiiHHI", 40, 60_000, 120_000, 1, 24, 0) + bytes(60)


@pytest.mark.parametrize("inner", [png_bomb(60_000, 60_000), BITMAP_BOMB])
def test_bomb_inside_an_icon(inner: bytes) -> None:
    ico = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert failure(ico).status is Status.TOO_LARGE


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    basic = {256: (3, 1, 64), 257: (3, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
             277: (3, 1, 1), 278: (3, 1, 64), 279: (4, 1, 4096)}  # fmt: skip
    basic.update({tag: (kind, count, value) for tag, kind, count, value in entries})
    directory = b"".join(struct.pack("<HHII", tag, *basic[tag]) for tag in sorted(basic))
    return b"II*\0" + struct.pack("<IH", 8, len(basic)) + directory + bytes(4) + tail


def test_bomb_in_a_tile_of_a_tiff() -> None:
    data = tiff([(259, 3, 1, 8), (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 4096)])
    error = failure(data)
    assert error.status is Status.TOO_LARGE


def repeated(piece: bytes, mebibytes: int = 100) -> bytes:
    return piece * (mebibytes * 1024 * 1024 // len(piece))


def hostile(kind: str) -> bytes:
    jpeg, png = encoded(textured(), "JPEG"), encoded(textured(), "PNG")
    gif, progressive = encoded(textured("P"), "GIF"), encoded(textured(), "JPEG", progressive=True)
    colours = 13 + (3 << ((gif[10] & 7) + 1))
    text = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    empty = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    profile = b"k\0\0" + zlib.compress(bytes(500_000_000), 1)
    cases = {
        "jpeg-empty-segments": lambda: jpeg[:2] + repeated(b"\xff\xe5\0\2") + jpeg[2:],
        "jpeg-padding": lambda: jpeg[:2] + b"\xff" + repeated(b"\0" * 1024) + jpeg[2:],
        "jpeg-segments-between-scans": lambda: progressive[:-2] + repeated(b"\xff\xe5\0\2") + b"\xff\xd9",
        "jpeg-exif-segments": lambda: jpeg[:2] + repeated(b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) + jpeg[2:],
        "png-empty-texts": lambda: png[:33] + repeated(text) + png[33:],
        "png-empty-pixels": lambda: png[:33] + repeated(empty) + png[33:],
        "png-profile-bomb": lambda: png[:33] + struct.pack(">I", len(profile)) + b"iCCP" + profile
        + struct.pack(">I", zlib.crc32(b"iCCP" + profile)) + png[33:],
        "gif-comments": lambda: gif[:colours] + b"!\xfe" + repeated(b"\xff" + bytes(255)) + b"\0" + gif[colours:],
        "ppm-comment": lambda: b"P6\n#" + repeated(b"a" * 1024) + b"\n8 8 255\n" + bytes(192),
        "tiff-offsets": lambda: tiff([(273, 4, 25_000_000, 200), (279, 4, 25_000_000, 200)], bytes(100 << 20)),
        "tiff-ratios": lambda: tiff([(282, 5, 12_500_000, 200)], bytes(100 << 20)),
        "text": lambda: repeated(b"one line of a very long log file\n"),
        "zeros": lambda: bytes(100 << 20),
    }  # fmt: skip
    return cases[kind]()


HOSTILE = [
    "jpeg-empty-segments", "jpeg-padding", "jpeg-segments-between-scans", "jpeg-exif-segments", "png-empty-texts",
    "png-empty-pixels", "png-profile-bomb", "gif-comments", "ppm-comment", "tiff-offsets",
    "tiff-ratios", "text", "zeros",
]  # fmt: skip

MEASURE = """
import json, sys, time
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
before, begun = peak(), time.process_time()
try:
    decode(sys.argv[1])
    status = "ok"
except ImageError as error:
    status = error.status.value
print(json.dumps([status, time.process_time() - begun, peak() - before]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file_of_100_mib_costs_little(kind: str, tmp_path: Path) -> None:
    """Made to keep a parser busy or to fill the memory: refused within seconds, in no more memory than it is long."""
    path = tmp_path / "hostile"
    path.write_bytes(hostile(kind))
    status, seconds, peak = child_decodes(path)
    path.unlink()
    assert status in ("unreadable", "unsupported_format")
    assert seconds < SECONDS
    assert peak < 105 << 20
