"""AVIF and HEIC: what is decoded is what is counted, not what the container states."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_classifier.runtime.decode.coded_size import av1_pixels, hevc_pixels
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.decode.heif import inspect_avif, inspect_heif
from gender_classifier.runtime.decode.reader import GuardedReader, Pieces
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support.made_heif import (
    Item,
    av1,
    av1_sequence,
    box,
    container,
    full,
    grid,
    hevc,
    hevc_parameters,
    ispe,
    obu,
)  # fmt: skip
from support.pictures import failure, textured

TILE = Image.merge("RGB", [Image.linear_gradient("L").rotate(90 * turn).resize((64, 64)) for turn in range(3)])
"""Slow gradients, which survive lossy coding; another picture when it is turned."""
CODINGS = [(b"avif", av1), (b"heic", hevc)]
coding = pytest.mark.parametrize(("brand", "encode"), CODINGS, ids=["avif", "heic"])


def same(left: Image.Image, right: Image.Image, tolerance: float = 3) -> bool:
    return left.size == right.size and bool(
        np.abs(np.asarray(left, np.int16) - np.asarray(right, np.int16)).mean() < tolerance
    )


def av1_stream(width: int, height: int, frames: int = 1, **options: Any) -> Item:
    return Item(b"av01", av1_sequence(width, height, **options) + obu(6, b"\x30") * frames, (ispe(64, 64),))


def hevc_stream(width: int, height: int, pictures: int = 1) -> Item:
    unit = b"\x26\1\xaf"  # the first slice of a picture that needs no other
    sps = hevc_parameters(width, height)
    configuration = bytes(21) + b"\xff\1" + b"\xa1" + struct.pack(">HH", 1, len(sps)) + sps
    data = (struct.pack(">I", len(unit)) + unit) * pictures
    return Item(b"hvc1", data, (ispe(64, 64), box(b"hvcC", configuration)))


MADE = [(b"avif", av1_stream), (b"heic", hevc_stream)]
made = pytest.mark.parametrize(("brand", "stream"), MADE, ids=["avif", "heic"])


@coding
def test_a_picture_put_together_by_hand_is_read(brand: bytes, encode: Any) -> None:
    assert same(decode(container(brand, [encode(TILE)])), TILE)
    assert same(decode(container(brand, [encode(TILE)]), Limits(max_pixels=64 * 64)), TILE)


@coding
@pytest.mark.parametrize("in_meta", [False, True])
def test_a_grid_is_read(brand: bytes, encode: Any, in_meta: bool) -> None:
    tiles = [encode(TILE.rotate(90 * each)) for each in range(4)]
    data = container(brand, [grid(2, 2, 128, 128, in_meta=in_meta), *tiles], [(b"dimg", 1, [2, 3, 4, 5])])
    got = decode(data)
    assert got.size == (128, 128)
    assert same(got.crop((64, 0, 128, 64)), TILE.rotate(90))


def test_a_picture_as_telephones_write_it() -> None:
    """A grid that is turned by a property, which the EXIF repeats; a thumbnail, a gain map, XMP; metadata first."""
    exif = Item(b"Exif", bytes(4) + b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    xmp = Item(b"mime", b'<x tiff:Orientation="6"/>')
    whole = grid(2, 2, 128, 128)
    whole = replace(whole, properties=(*whole.properties, box(b"irot", b"\3")))
    tiles = [hevc(TILE.rotate(90 * each)) for each in range(4)]
    gain = full(b"auxC", b"urn:com:apple:photo:2020:aux:hdrgainmap\0")
    small = hevc(TILE)
    items = [exif, xmp, *tiles, whole, small, replace(small, properties=(*small.properties, gain))]
    links = [(b"cdsc", 1, [7]), (b"cdsc", 2, [7]), (b"dimg", 7, [3, 4, 5, 6]), (b"thmb", 8, [7]), (b"auxl", 9, [7])]
    got = decode(container(b"heic", items, links, primary=7))
    assert got.size == (128, 128)
    assert same(got.crop((64, 0, 128, 64)), TILE.rotate(270)), "the first tile, turned clockwise to the right"


@made
def test_a_frame_larger_than_it_says(brand: bytes, stream: Any) -> None:
    """3.5 kB that state 64 x 64 took 984 MiB."""
    error = failure(container(brand, [stream(16_384, 16_384)]))
    assert error.status is Status.TOO_LARGE
    assert "268,435,456 pixels to be decoded" in error.message
    assert failure(container(brand, [stream(12_000, 2_000)]), Limits(max_pixels=64 * 64)).status is Status.TOO_LARGE


@made
def test_frames_that_are_never_shown_count(brand: bytes, stream: Any) -> None:
    error = failure(container(brand, [stream(1920, 1080, 100)]))
    assert error.status is Status.TOO_LARGE
    assert f"{100 * 1920 * 1080:,}" in error.message


@made
def test_a_grid_of_large_or_many_tiles(brand: bytes, stream: Any) -> None:
    """Each cell of 64 x 64 holds a large frame; or one small item stands in every of 65,536 cells, for hours."""
    large = [grid(16, 16, 1024, 1024), stream(1024, 1024)]
    assert failure(container(brand, large, [(b"dimg", 1, [2] * 256)])).status is Status.TOO_LARGE
    small = [grid(256, 256, 16_384, 4_096), stream(64, 64)]
    assert failure(container(brand, small, [(b"dimg", 1, [2] * 65_535)])).status is Status.TOO_LARGE


@made
def test_transparency_counts_too(brand: bytes, stream: Any) -> None:
    items = [stream(64, 64), stream(16_384, 16_384)]
    assert failure(container(brand, items, [(b"auxl", 2, [1])])).status is Status.TOO_LARGE


@made
def test_a_canvas_larger_than_its_tiles(brand: bytes, stream: Any) -> None:
    items = [grid(1, 1, 60_000, 60_000), stream(64, 64)]
    assert failure(container(brand, items, [(b"dimg", 1, [2])])).status is Status.TOO_LARGE


@made
def test_items_made_of_each_other_are_broken(brand: bytes, stream: Any) -> None:
    items = [grid(1, 2, 64, 64), grid(1, 2, 64, 64), stream(64, 64)]
    error = failure(container(brand, items, [(b"dimg", 1, [2, 2]), (b"dimg", 2, [1, 1])]))
    assert error.status is Status.UNREADABLE
    deep = [*[grid(1, 2, 64, 64)] * 60, stream(64, 64)]
    chain = [(b"dimg", number, [number + 1] * 2) for number in range(1, 61)]
    assert failure(container(brand, deep, chain)).status is Status.UNREADABLE


@made
def test_what_decoders_could_read_in_two_ways_is_broken(brand: bytes, stream: Any) -> None:
    item = stream(64, 64)
    data = container(brand, [item])
    twice = full(b"pitm", b"\0\1")
    at = data.index(b"meta") + 8
    longer = data[: at - 12] + struct.pack(">I", struct.unpack_from(">I", data, at - 12)[0] + 14) + data[at - 8 : at]
    assert failure(longer + twice + data[at:]).status is Status.UNREADABLE
    assert failure(data + data[data.index(b"meta") - 4 :]).status is Status.UNREADABLE, "a second meta box"


def test_a_picture_of_another_coding_is_named() -> None:
    for kind in (b"jpeg", b"unci", b"avc1", b"av01"):
        error = failure(container(b"heic", [Item(kind, bytes(99), (ispe(64, 64),))]))
        assert error.status is Status.UNSUPPORTED_FORMAT or "heif" in error.message
        assert kind.decode() in error.message or "heif" in error.message
    error = failure(box(b"ftyp", b"avis" + bytes(4) + b"avis") + box(b"moov", bytes(99)))
    assert error.status is Status.UNSUPPORTED_FORMAT
    assert "video" in error.message


@coding
def test_metadata_is_hidden_from_the_decoder(brand: bytes, encode: Any) -> None:
    """An EXIF of 20 MB would take 28 bytes of memory for each; its orientation is not that of the picture."""
    exif = Item(b"Exif", bytes(4) + b"MM\0*\0\0\0\x08\xff\xff" + bytes(20_000_000))
    data = container(brand, [encode(TILE), exif], [(b"cdsc", 2, [1])])
    assert same(decode(data), TILE)
    look = {b"avif": inspect_avif, b"heic": inspect_heif}[brand]
    parts = look(GuardedReader(io.BytesIO(data), reads=1000), "x", Limits()).parts
    assert parts is not None
    assert b"Exif" not in Pieces(io.BytesIO(data), parts).read()


def test_an_animation_is_read_as_a_still_picture() -> None:
    buffer = io.BytesIO()
    frames = [TILE, TILE.rotate(90)]
    av1(TILE)
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:])
    data = buffer.getvalue()
    assert data[8:12] == b"avis"
    assert same(decode(data), TILE)
    at = data.index(b"moov")
    assert same(decode(data[: at + 4] + b"\xff" * 200 + data[at + 204 :]), TILE), "its tracks are not looked at"


@pytest.mark.parametrize("size", [(1, 1), (64, 48), (65_536, 65_536), (12_345, 7)])
def test_the_size_in_a_sequence_header(size: tuple[int, int]) -> None:
    width, height = size
    frame = obu(3, b"\0") + obu(4, b"\0")
    data = obu(2, b"") + av1_sequence(*size) + frame
    assert av1_pixels(Pieces(io.BytesIO(data), [(0, len(data))]), len(data)) == width * height
    data = obu(2, b"") + av1_sequence(*size, still=False) + frame * 3
    assert av1_pixels(Pieces(io.BytesIO(data), [(0, len(data))]), len(data)) == 3 << 32, "what a frame may state"
    for layers in (0, 1, 6):
        sps = hevc_parameters(width, height, layers=layers)
        unit = struct.pack(">I", len(sps)) + sps + struct.pack(">I", 3) + b"\x26\1\x80"
        assert hevc_pixels(Pieces(io.BytesIO(unit), [(0, len(unit))]), len(unit), b"") == width * height


def test_what_encoders_write_is_counted_exactly() -> None:
    for size in ((64, 48), (200, 120)):
        item = av1(textured(size=size))
        assert av1_pixels(Pieces(io.BytesIO(item.data), [(0, len(item.data))]), len(item.data)) == size[0] * size[1]
        item = hevc(textured(size=size))
        count = hevc_pixels(
            Pieces(io.BytesIO(item.data), [(0, len(item.data))]), len(item.data), item.properties[2][8:]
        )
        assert size[0] * size[1] <= count <= (size[0] + 63) * (size[1] + 63)


@coding
def test_boxes_cut_off_anywhere_are_a_sentence(brand: bytes, encode: Any) -> None:
    data = container(brand, [grid(1, 1, 64, 64), encode(TILE)], [(b"dimg", 1, [2])])
    end = data.index(b"mdat")
    for cut in range(20, end, 3):
        assert failure(data[:cut]).status in (Status.UNREADABLE, Status.UNSUPPORTED_FORMAT)


@made
def test_boxes_of_nothing_end_soon(brand: bytes, stream: Any) -> None:
    item = stream(64, 64)
    empty = box(b"free", b"")
    assert failure(container(brand, [item], extra=empty * 500_000)).status is Status.UNREADABLE
    many = replace(item, data=(obu(15, b"") if brand == b"avif" else b"\0\0\0\3\x4e\1\0") * 300_000)
    assert failure(container(brand, [many])).status is Status.UNREADABLE
