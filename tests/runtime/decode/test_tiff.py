"""TIFF: right pixels or a sentence, whatever kind they are of, and nothing read in two ways."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.prediction import Status
from support.made_tiff import Kind, with_directory, write
from support.pictures import encoded, failure, jpeg_with_scans, tiff


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
    assert "27,962,026" in error.message


def test_bomb_in_a_tile_of_a_tiff() -> None:
    data = tiff([(259, 3, 1, 8), (322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 4096)])
    assert failure(data).status is Status.TOO_LARGE


COLOURS = {"grey inverted": (0, 1), "grey": (1, 1), "RGB": (2, 3), "palette": (3, 1), "mask": (4, 1), "CMYK": (5, 4),
           "YCbCr": (6, 3), "Lab": (8, 3), "ICC Lab": (9, 3), "colour filter array": (32803, 1)}  # fmt: skip
DEPTHS = [(1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (10, 1), (12, 1), (16, 1), (16, 2), (16, 3), (32, 1), (32, 2),
          (32, 3), (64, 3)]  # fmt: skip


def in_rgb(samples: Any, colour: int, bits: int) -> Any:
    """Returns the right pixels, as far as this test knows them without Pillow."""
    eight = samples >> (bits - 8) if bits >= 8 else samples * 255 // ((1 << bits) - 1)
    if colour in (0, 1):
        grey = eight[:, :, :1]
        return np.repeat(255 - grey if colour == 0 else grey, 3, axis=2)
    if colour == 3:
        return np.repeat(255 - samples[:, :, :1], 3, axis=2)
    if colour == 5:
        return np.asarray(Image.fromarray(eight[:, :, :4].astype(np.uint8), "CMYK").convert("RGB"), np.int64)
    if colour == 6:
        return np.asarray(Image.fromarray(eight.astype(np.uint8), "YCbCr").convert("RGB"), np.int64)
    return eight[:, :, :3] if colour == 2 else None


def decoded(data: bytes) -> Image.Image | ImageError:
    try:
        return decode(data)
    except ImageError as error:
        return error


@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,), (0, 0), (2, 0)], ids=str)
@pytest.mark.parametrize("colour", COLOURS)
def test_every_kind_of_pixels_is_right_or_named(colour: str, extra: tuple[int, ...]) -> None:
    """Bits, sample formats, planes, compression, strips, tiles and byte orders: never garbage, never "broken"."""
    number, channels = COLOURS[colour]
    rng = np.random.default_rng(0)
    read = 0
    for bits, sample_format in DEPTHS:
        if number == 3 and bits > 8:
            continue
        samples = rng.integers(0, 1 << min(bits, 24), (20, 24, channels + len(extra)))
        if 1 in extra or number == 8:  # what becomes of premultiplied alpha, and of Lab, is Pillow's affair
            samples[:, :, -1] = 255
        for planar, compression, (tile, rows), order in itertools.product(
            (1, 2), (1, 8), ((None, None), (None, 16), (16, None)), "<>" if bits in (8, 16) else "<"
        ):
            kind = Kind(number, bits, sample_format, extra, planar, compression, 1, tile, rows, order)
            got = decoded(write(samples, kind))
            if isinstance(got, ImageError):
                assert got.status is Status.UNSUPPORTED_FORMAT, (kind, got)
                assert f"{channels + len(extra)} x {bits} bit" in got.message
                continue
            read += 1
            assert sample_format == 1, kind
            expected = in_rgb(samples, number, bits)
            if expected is not None and 1 not in extra:
                assert np.abs(np.asarray(got, np.int64) - expected).max() <= 1, kind
    assert (read > 0) == (extra in READ_WITH[colour])


READ_WITH: dict[str, list[tuple[int, ...]]] = {
    "grey inverted": [()], "grey": [(), (0,), (2,)], "RGB": [(), (0,), (1,), (2,), (0, 0), (2, 0)],
    "palette": [(), (0,), (2,)], "mask": [], "CMYK": [(), (0,), (0, 0)], "YCbCr": [()], "Lab": [()], "ICC Lab": [],
    "colour filter array": [],
}  # fmt: skip


@pytest.mark.parametrize("kind", [Kind(bits=16, predictor=2, compression=8), Kind(predictor=2, compression=8, tile=16)])
def test_predictor(kind: Kind) -> None:
    samples = np.random.default_rng(1).integers(0, 1 << kind.bits, (40, 48, 3))
    assert np.array_equal(np.asarray(decode(write(samples, kind))), samples >> (kind.bits - 8))


GREY_8 = np.arange(64 * 64).reshape(64, 64, 1) % 251


def test_a_tag_of_any_integer_type_counts_as_libtiff_reads_it() -> None:
    """Pillow skips TileWidth as SLONG8, libtiff takes memory for it: 1.8 MB became 1.8 GiB."""
    kind = Kind(colour=1, compression=8, tile=64)
    usual = decode(write(GREY_8, kind)).tobytes()
    for number_type in (4, 16, 17):
        data = write(GREY_8, kind, {322: (number_type, [64]), 323: (number_type, [64]), 256: (number_type, [64])})
        assert decode(data).tobytes() == usual
        bomb = write(GREY_8, kind, {322: (number_type, [60_000]), 323: (number_type, [30_000])})
        assert failure(bomb).status is Status.TOO_LARGE


def test_of_two_equal_tags_the_first_counts() -> None:
    data = bytearray(write(GREY_8, Kind(colour=1), {65_000: (4, [60_000])}))
    at = data.index(struct.pack("<HHI", 65_000, 4, 1))
    data[at : at + 2] = struct.pack("<H", 256)  # a second ImageWidth, of 60,000
    assert decode(bytes(data)).size == (64, 64)


def test_metadata_and_further_pages_never_reach_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """An EXIF directory that claims 60 MB, a tag of a million fractions, a next page: none of it is read."""
    seen = {}
    load = TiffImageFile.load

    def spy(self: TiffImageFile) -> Any:
        seen.update(self.tag_v2)
        return load(self)

    monkeypatch.setattr(TiffImageFile, "load", spy)
    exif = {34_665: (4, [8]), 34_377: (3, [1] * 100_000), 700: (3, [7] * 50_000), 305: (3, [1, 2, 3])}
    assert decode(write(GREY_8, Kind(colour=1), exif)).size == (64, 64)
    assert seen
    assert not exif.keys() & seen.keys()


def test_strips_that_are_not_there_are_no_black_pixels() -> None:
    whole = Kind(colour=1, rows=16)
    assert decode(write(GREY_8, whole)).size == (64, 64)
    error = failure(write(GREY_8, whole, {273: (4, [8, 1032, 2056])}))
    assert error.status is Status.UNREADABLE
    assert "3 of its 4 strips" in error.message
    assert failure(write(GREY_8, whole, {273: (4, [8, 1032, 2056, 9_000_000])})).status is Status.UNREADABLE


def test_one_stretch_of_the_file_is_not_decoded_for_every_strip() -> None:
    """A megabyte of PackBits that say nothing, for each of 64 rows: the time would grow with their product."""
    empty = b"\x80" * (1 << 20) + b"\xc1\x07"
    rows = {273: (4, [8] * 64), 279: (4, [len(empty)] * 64), 278: (4, [1]), 259: (3, [32773])}
    plain = write(GREY_8, Kind(colour=1))
    tags = {256: (4, [64]), 257: (4, [64]), 258: (3, [8]), 262: (3, [1]), 277: (3, [1]), **rows}
    error = failure(with_directory(empty, tags))
    assert decode(plain).size == (64, 64)
    assert error.status is Status.UNREADABLE
    assert "longer than the file" in error.message


def test_a_pixel_of_millions_of_samples_costs_nothing() -> None:
    for samples in (303_169_682, 17, 0):
        error = failure(write(GREY_8, Kind(colour=1), {277: (4, [samples])}))
        assert error.status is Status.UNSUPPORTED_FORMAT
        assert f"{samples} samples" in error.message


def test_a_compression_that_is_not_read_is_named() -> None:
    error = failure(write(GREY_8, Kind(colour=1), {259: (3, [34925])}))
    assert error.status is Status.UNSUPPORTED_FORMAT
    assert "34925" in error.message


@pytest.mark.parametrize("order", ["<", ">"])
def test_bigtiff(order: str) -> None:
    """The same tags behind a header of 16 bytes, in entries of 20."""
    data = GREY_8.astype(np.uint8).tobytes()
    tags = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 273: 16, 277: 1, 278: 64, 279: len(data)}
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HHHQ", 43, 8, 0, 16 + len(data))
    entries = b"".join(struct.pack(order + "HHQQ", tag, 16, 1, value) for tag, value in tags.items())
    got = decode(head + data + struct.pack(order + "Q", len(tags)) + entries + bytes(8))
    assert np.array_equal(np.asarray(got)[:, :, 0], GREY_8[:, :, 0])
