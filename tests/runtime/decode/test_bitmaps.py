"""BMP, PPM, PSD, TGA and ICO: bytes bounded by pixels, and kinds of pixels that are not read."""

from __future__ import annotations

import io
import random
import struct
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.prediction import Status
from support.pictures import encoded, failure, plain, png_bomb, psd, textured

BITMAP_BOMB = struct.pack("<IiiHHI", 40, 60_000, 120_000, 1, 24, 0) + bytes(60)


@pytest.mark.parametrize("inner", [png_bomb(60_000, 60_000), BITMAP_BOMB])
def test_bomb_inside_an_icon(inner: bytes) -> None:
    ico = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert failure(ico).status is Status.TOO_LARGE


def icon(*pictures: tuple[int, int, int, int, bytes]) -> bytes:
    """Returns an icon of pictures: width and height (0 means 256), colours, bits, content."""
    entries, data = b"", b""
    for width, height, colours, bits, content in pictures:
        at = 6 + 16 * len(pictures) + len(data)
        entries += struct.pack("<BBBBHHII", width, height, colours, 0, 1, bits, len(content), at)
        data += content
    return struct.pack("<HHH", 0, 1, len(pictures)) + entries + data


def test_the_picture_of_an_icon_is_the_one_that_pillow_takes() -> None:
    def png(red: int, side: int) -> bytes:
        return encoded(Image.new("RGBA", (side, side), (red, 0, 0, 255)), "PNG")

    def dib(red: int, side: int) -> bytes:
        data = encoded(
            Image.new("RGBA", (side, side), (red, 0, 0, 255)), "ICO", bitmap_format="bmp", sizes=[(side, side)]
        )
        return data[22:]

    rng = random.Random(0)
    for _ in range(60):
        pictures = []
        for red in range(10, 10 + rng.randrange(1, 5)):
            side, bits, colours = rng.choice((16, 16, 48, 256)), rng.choice((0, 8, 32)), rng.choice((0, 2, 16, 255))
            content = (png if rng.random() < 0.5 or side == 256 else dib)(red, side)
            pictures.append((side % 256, side % 256, colours, bits if content[:4] == b"\x89PNG" else 32, content))
        data = icon(*pictures)
        with Image.open(io.BytesIO(data)) as theirs:
            assert decode(data).tobytes() == theirs.convert("RGB").tobytes()


def test_a_png_in_an_icon_is_looked_through_like_any_other() -> None:
    """Animation chunks behind a second header took 3.4 GiB with Pillow before 13, in 180 bytes."""
    whole = encoded(textured(), "PNG")
    chunks = struct.pack(">I", 8) + b"acTL" + struct.pack(">III", 2, 0, 0)
    profile = struct.pack(">I", 9) + b"iCCP" + bytes(13)
    assert (
        decode(icon((16, 16, 0, 32, whole[:33] + chunks + profile + whole[33:]))).tobytes() == decode(whole).tobytes()
    )
    bomb = png_bomb(60_000, 60_000)
    assert failure(icon((16, 16, 0, 32, whole[:33] + bomb[8:]))).status is Status.TOO_LARGE


def bmp(width: int, height: int, *, bits: int = 8, compression: int = 1, data: bytes = b"") -> bytes:
    palette = b"".join(bytes([each, 255 - each, each // 2, 0]) for each in range(256 if bits == 8 else 0))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    at = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + head + palette + data


def test_run_lengths_of_a_bmp() -> None:
    one_by_one = b"".join(bytes([1, each]) for each in range(64)) + b"\0\0"
    got = decode(bmp(64, 64, data=one_by_one * 64 + b"\0\1"))
    assert got.size == (64, 64)
    assert got.getpixel((3, 0)) == (1, 252, 3)


@pytest.mark.parametrize("empty", [b"\0\2\0\0", b"\0\0"], ids=["moves by nothing", "ends of lines"])
def test_run_lengths_that_say_nothing_are_not_read_for_seconds(empty: bytes) -> None:
    """120 MB of them kept Pillow's Python loop, and with it every thread, busy for 23 seconds."""
    begun = time.monotonic()
    error = failure(bmp(8, 8, data=empty * (20 << 20)))
    assert error.status is Status.UNREADABLE
    assert "run lengths for 8 x 8 pixels" in error.message
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"BM" + bytes(8) + struct.pack("<II", 30, 16) + bytes(40), "BMP header type (16)"),
        (bmp(8, 8, bits=24, compression=4, data=bytes(99)), "BMP compression (4)"),
        (bmp(8, 8, bits=2, compression=0, data=bytes(99)), "BMP pixel depth (2)"),
    ],
)
def test_a_kind_of_bmp_that_is_not_read_is_named(data: bytes, what: str) -> None:
    error = failure(data)
    assert error.status is Status.UNSUPPORTED_FORMAT
    assert what in error.message


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("comment", [b"", b"# one in each line\n", b"#\n#\r\n"], ids=["none", "long", "empty"])
def test_plain_ppm_with_comments(mode: str, comment: bytes) -> None:
    picture = textured(mode)
    assert decode(plain(picture, comment=comment)).tobytes() == picture.convert("RGB").tobytes()


def test_plain_bitmap_without_spaces() -> None:
    assert np.asarray(decode(b"P1\n3 2\n#c\n011\n1 0 0\n"))[:, :, 0].tolist() == [[255, 0, 0], [0, 255, 255]]


@pytest.mark.parametrize(
    "data",
    [
        b"P3\n8 8\n255\n" + b"#\n" * 500_000 + b"1 " * 192,
        b"P2\n8 8\n255\n" + b" " * (100 << 20) + b"1 " * 64,
        b"P6\n#" + b"a" * (100 << 20) + b"\n8 8 255\n" + bytes(192),
        b"P6\n" + b"#\n" * 10_000_000 + b"8 8 255\n" + bytes(192),
    ],
    ids=["comments", "spaces", "one comment in the header", "comments in the header"],
)
def test_text_of_a_ppm_is_bounded_by_its_pixels(data: bytes) -> None:
    """A megabyte of comments took 8.7 seconds, a hundred a thousand times as long."""
    begun = time.monotonic()
    assert failure(data).status in (Status.UNREADABLE, Status.UNSUPPORTED_FORMAT)
    assert time.monotonic() - begun < 2


def test_photoshop_files_are_read_without_their_resources() -> None:
    got = np.asarray(decode(psd(8, 3, 3, resources=5_000_000)))
    assert got.shape == (20, 30, 3)
    assert got[0, :5, 0].tolist() == [0, 1, 2, 3, 4]
    assert decode(psd(8, 3, 5)).tobytes() == decode(psd(8, 3, 3)).tobytes()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"bits": 16, "colour": 3}, "RGB of 16 bits"), ({"bits": 32, "colour": 3}, "RGB of 32 bits"),
        ({"bits": 8, "colour": 7}, "multichannel"), ({"bits": 8, "colour": 3, "compression": 2}, "ZIP"),
        ({"bits": 8, "colour": 3, "version": 2}, "PSB"), ({"bits": 8, "colour": 6}, "colours of number 6"),
    ],
)  # fmt: skip
def test_a_kind_of_photoshop_file_that_is_not_read_is_named(options: dict[str, Any], what: str) -> None:
    error = failure(psd(channels=3, **options))
    assert error.status is Status.UNSUPPORTED_FORMAT
    assert what in error.message


def test_floating_point_pictures_are_named() -> None:
    error = failure(encoded(Image.new("F", (8, 8)), "PPM"))
    assert error.status is Status.UNSUPPORTED_FORMAT
    assert "floating-point" in error.message


def test_a_kind_of_tga_that_is_not_read_is_named() -> None:
    data = bytearray(encoded(textured(), "TGA"))
    data[16] = 8  # 8 bits a pixel, but true colour
    error = failure(io.BytesIO(bytes(data)))
    assert error.status is Status.UNSUPPORTED_FORMAT
    assert "TGA" in error.message
