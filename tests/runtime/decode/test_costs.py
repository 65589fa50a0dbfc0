"""How many pixels a picture may have, and how long a side."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from gender_classifier.runtime.decode.costs import MOST_PIXELS
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support.pictures import (
    GREY,
    SECONDS,
    WHOLE,
    child_decodes,
    encoded,
    failure,
    jpeg_with_scans,
    png_bomb,
    sequential,
    textured,
    with_size,
)


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


def test_decompression_bomb() -> None:
    begun = time.monotonic()
    error = failure(png_bomb(100_000, 100_000))
    assert error.status is Status.TOO_LARGE
    assert "100000 x 100000" in error.message
    assert time.monotonic() - begun < 1


def longest(width: int) -> int:
    """Returns the rows that the default limit allows a picture of that width."""
    return (MOST_PIXELS + 512 * 65_535) // (512 + width)


TALL: list[tuple[str, str, dict[str, Any]]] = [
    ("PNG", "1", {}), ("PNG", "LA", {}), ("PNG", "RGB", {}), ("PNG", "I;16", {}), ("BMP", "1", {}), ("BMP", "RGB", {}),
    ("PPM", "1", {}), ("PPM", "L", {}), ("PPM", "RGB", {}), ("TIFF", "1", {}), ("TIFF", "LA", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
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
            assert "raise Limits(max_pixels=...)" in error.message
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


TELEPHONES = [(12_000, 9_000), (16_320, 12_240)]
"""108 and 200 megapixels, as telephones write them."""


@pytest.mark.parametrize("size", TELEPHONES)
def test_telephones_of_200_megapixels_are_read_by_default(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As baseline JPEG, which takes 4 bytes a pixel; what takes more is held to fewer pixels."""

    def reached(*_args: object) -> None:
        raise ValueError("pixels would be decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", reached)
    for components in (1, 3):
        assert "would be decoded" in failure(sequential(components, [(1, 2, 3)[:components]], size, frame=0xC0)).message
    others = [sequential(4, [(1, 2, 3, 4)], size), with_size(jpeg_with_scans(GREY, 0), *size), png_bomb(*size)]
    for data in others:
        error = failure(data)
        assert error.status is Status.TOO_LARGE
        assert f"{size[0]} x {size[1]} pixels, more than the {MOST_PIXELS:,} allowed for its kind" in error.message
        assert "would be decoded" in failure(data, Limits(max_pixels=3 * Limits.max_pixels)).message


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}], ids=["VP8", "VP8L", "VP8X"])
def test_a_webp_is_refused_before_pillow_takes_memory_for_it(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_args: object) -> None:
        raise ValueError("opened")

    data = encoded(textured(), "WEBP", **options)
    assert decode(data, Limits(max_pixels=160 * 120)).size == (160, 120)
    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", reached)
    error = failure(data, Limits(max_pixels=160 * 120 - 1))
    assert error.status is Status.TOO_LARGE
    assert "160 x 120" in error.message


def test_a_lower_limit_means_what_it_says() -> None:
    """Whatever its kind: what counts by default is not charged again."""
    for name in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "TGA"):
        assert decode(encoded(textured(), name), Limits(max_pixels=160 * 120)).size == (160, 120)


@pytest.mark.slow
@pytest.mark.parametrize(("turned", "most"), [(False, 4.5), (True, 8.5)])
def test_the_largest_photograph_takes_what_the_page_says(turned: bool, most: float, tmp_path: Path) -> None:
    width, height = TELEPHONES[-1]
    data = sequential(3, [(1, 2, 3)], (width, height), frame=0xC0)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    body = exif.tobytes()
    path = tmp_path / "large.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])
    status, seconds, peak = child_decodes(path)
    assert status == "ok"
    assert peak < most * width * height
    assert seconds < 1.5 * SECONDS
