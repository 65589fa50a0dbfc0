"""AVIF and HEIC files put together by hand around streams that encoders wrote."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import pytest
from PIL import Image


@dataclass(frozen=True)
class Item:
    """One item: its type, its data, its properties as whole boxes; ``in_meta`` keeps the data in ``idat``."""

    kind: bytes
    data: bytes
    properties: tuple[bytes, ...] = ()
    in_meta: bool = False


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, body: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + body)


def ispe(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def grid(rows: int, columns: int, width: int, height: int, *, in_meta: bool = True) -> Item:
    data = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", width, height)
    return Item(b"grid", data, (ispe(width, height),), in_meta)


def container(
    brand: bytes,
    items: list[Item],
    references: list[tuple[bytes, int, list[int]]] | None = None,
    *,
    primary: int = 1,
    extra: bytes = b"",
) -> bytes:
    """Returns a file of items, numbered from 1; ``extra`` is more boxes at the top."""
    brands = box(b"ftyp", brand + bytes(4) + brand + b"mif1miaf")
    kinds = b"".join(
        full(b"infe", struct.pack(">HH4s", number, 0, item.kind) + b"\0", 2) for number, item in enumerate(items, 1)
    )
    known: list[bytes] = []
    links = b""
    for number, item in enumerate(items, 1):
        known += [each for each in item.properties if each not in known]
        indices = bytes(known.index(each) + 1 for each in item.properties)
        links += struct.pack(">HB", number, len(indices)) + indices
    names = b"".join(
        box(kind, struct.pack(">HH", source, len(targets)) + struct.pack(f">{len(targets)}H", *targets))
        for kind, source, targets in references or []
    )

    def meta(at: int) -> bytes:
        inside, outside, places = 0, at, b""
        for number, item in enumerate(items, 1):
            begun = inside if item.in_meta else outside
            places += struct.pack(">HHHHII", number, item.in_meta, 0, 1, begun, len(item.data))
            inside += len(item.data) * item.in_meta
            outside += len(item.data) * (not item.in_meta)
        return full(
            b"meta",
            full(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full(b"pitm", struct.pack(">H", primary))
            + full(b"iloc", b"\x44\0" + struct.pack(">H", len(items)) + places, 1)
            + full(b"iinf", struct.pack(">H", len(items)) + kinds)
            + (full(b"iref", names) if names else b"")
            + box(b"iprp", box(b"ipco", b"".join(known)) + full(b"ipma", struct.pack(">I", len(items)) + links))
            + (box(b"idat", inner) if inner else b""),
        )

    inner = b"".join(item.data for item in items if item.in_meta)
    data = b"".join(item.data for item in items if not item.in_meta)
    before = len(brands) + len(extra)
    return brands + extra + meta(before + len(meta(0)) + 8) + box(b"mdat", data)


def av1(picture: Image.Image) -> Item:
    """Returns an item of a picture that Pillow encodes; skips the test where it cannot."""
    features = pytest.importorskip("PIL.features")
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    buffer = io.BytesIO()
    picture.save(buffer, "AVIF", speed=10, subsampling="4:4:4")
    return _first_item(buffer.getvalue(), b"av01", (b"ispe", b"pixi", b"av1C"))


def hevc(picture: Image.Image) -> Item:
    """Returns an item of a picture that pillow-heif encodes; skips the test where it is absent."""
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=-1)
    return _first_item(buffer.getvalue(), b"hvc1", (b"ispe", b"pixi", b"hvcC"))


def _first_item(data: bytes, kind: bytes, wanted: tuple[bytes, ...]) -> Item:
    properties = []
    for name in wanted:
        at = data.index(name) - 4
        properties.append(data[at : at + struct.unpack_from(">I", data, at)[0]])
    at = data.index(b"mdat") + 4
    end = at - 8 + struct.unpack_from(">I", data, at - 8)[0]
    return Item(kind, data[at:end], tuple(properties))


def obu(kind: int, data: bytes) -> bytes:
    """Returns a unit of AV1 with its size."""
    size, number = b"", len(data)
    while number > 127:
        size, number = size + bytes([number & 127 | 128]), number >> 7
    return bytes([kind << 3 | 2]) + size + bytes([number]) + data


def bits(*fields: tuple[int, int]) -> bytes:
    """Returns bytes of numbers and their bits, filled up with zeros."""
    text = "".join(f"{number:0{count}b}" for number, count in fields)
    return int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big")


def av1_sequence(width: int, height: int, *, still: bool = True) -> bytes:
    """Returns a sequence header of 16 bits for each side; without ``still`` with everything that may stand in it."""
    sides = ((15, 4), (15, 4), (width - 1, 16), (height - 1, 16), (0, 99))
    if still:
        return obu(1, bits((0, 3), (1, 1), (1, 1), (8, 5), *sides))
    timing = ((1, 1), (1, 32), (25, 32), (1, 1), (0b00101, 5), (1, 1), (9, 5), (1, 32), (9, 5), (9, 5))
    point = ((0, 12), (12, 5), (1, 1), (1, 1), (0, 21), (1, 1), (3, 4))
    return obu(1, bits((0, 3), (0, 1), (0, 1), *timing, (1, 1), (1, 5), *point, *point, *sides))


def exponential(number: int) -> tuple[int, int]:
    """Returns a number in Exp-Golomb code, and its bits."""
    return number + 1, 2 * (number + 1).bit_length() - 1


def hevc_parameters(width: int, height: int, *, layers: int = 0) -> bytes:
    """Returns a sequence parameter set of HEVC, in which zeros are kept from being a start."""
    levels = ((0b11, 2),) * layers + (((0, 2 * (8 - layers)),) if layers else ()) + ((0, 96),) * layers
    sizes = (exponential(0), exponential(1), exponential(width), exponential(height), (0, 64))
    data = bits((0, 4), (layers, 3), (1, 1), (0, 96), *levels, *sizes)
    kept = b""
    for byte in data:
        if kept.endswith(b"\0\0") and byte <= 3:
            kept += b"\3"
        kept += bytes([byte])
    return b"\x42\1" + kept
