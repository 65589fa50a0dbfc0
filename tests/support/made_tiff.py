"""TIFF files of any kind of pixels, written without a library."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

SHORT, LONG = 3, 4


@dataclass(frozen=True)
class Kind:
    """How the pixels of a TIFF are written; the numbers are those of TIFF 6.0."""

    colour: int = 2
    bits: int = 8
    sample_format: int = 1
    extra: tuple[int, ...] = ()
    planar: int = 1
    compression: int = 1
    predictor: int = 1
    tile: int | None = None
    rows: int | None = None
    order: str = "<"


def write(samples: Any, kind: Kind, tags: dict[int, tuple[int, list[int]]] | None = None) -> bytes:
    """Returns a TIFF.

    Args:
        samples: Array of shape (height, width, samples).
        kind: How to write it.
        tags: More tags, or others than those that would be written: type and values.
    """
    height, width, number = samples.shape
    planes = [samples] if kind.planar == 1 else [samples[:, :, at : at + 1] for at in range(number)]
    pieces = [_packed(part, kind) for plane in planes for part in _cut(plane, kind)]
    offsets, data = [], b""
    for piece in pieces:
        offsets.append(8 + len(data))
        data += piece + b"\0" * (len(piece) % 2)
    all_tags = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [kind.bits] * number),
        259: (SHORT, [kind.compression]), 262: (SHORT, [kind.colour]), 277: (SHORT, [number]),
        284: (SHORT, [kind.planar]), 317: (SHORT, [kind.predictor]),
        339: (SHORT, [kind.sample_format] * number),
    }  # fmt: skip
    sizes = [len(piece) for piece in pieces]
    if kind.tile:
        all_tags |= {322: (LONG, [kind.tile]), 323: (LONG, [kind.tile]), 324: (LONG, offsets), 325: (LONG, sizes)}
    else:
        all_tags |= {273: (LONG, offsets), 278: (LONG, [kind.rows or height]), 279: (LONG, sizes)}
    if kind.extra:
        all_tags[338] = (SHORT, list(kind.extra))
    if kind.colour == 3:
        all_tags[320] = (SHORT, [257 * (255 - each) for _ in range(3) for each in range(1 << kind.bits)])
    if kind.colour == 6:
        all_tags[530] = (SHORT, [1, 1])
    return with_directory(data, all_tags | (tags or {}), kind.order)


def with_directory(data: bytes, tags: dict[int, tuple[int, list[int]]], order: str = "<") -> bytes:
    """Returns a TIFF of data, which begins at 8, and a directory behind it; types are 3, 4, 16 and 17."""
    layouts = {3: "H", 4: "I", 16: "Q", 17: "q"}
    behind = 8 + len(data) + 2 + 12 * len(tags) + 4
    entries = values = b""
    for tag, (kind, numbers) in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(numbers)}{layouts[kind]}", *numbers)
        if len(raw) > 4:
            entries += struct.pack(order + "HHII", tag, kind, len(numbers), behind + len(values))
            values += raw
        else:
            entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + raw.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data))
    return head + data + struct.pack(order + "H", len(tags)) + entries + bytes(4) + values


def _cut(plane: Any, kind: Kind) -> list[Any]:
    height, width, number = plane.shape
    if kind.tile is None:
        rows = kind.rows or height
        return [plane[top : top + rows] for top in range(0, height, rows)]
    parts = []
    for top in range(0, height, kind.tile):
        for left in range(0, width, kind.tile):
            part = np.zeros((kind.tile, kind.tile, number), plane.dtype)
            here = plane[top : top + kind.tile, left : left + kind.tile]
            part[: here.shape[0], : here.shape[1]] = here
            parts.append(part)
    return parts


def _packed(part: Any, kind: Kind) -> bytes:
    if kind.predictor == 2:
        part = np.diff(part.astype(np.int64), axis=1, prepend=0) & ((1 << kind.bits) - 1)
    if kind.bits in (8, 16, 32, 64):
        letter = {1: "u", 2: "i", 3: "f"}[kind.sample_format]
        data = part.astype(f"{kind.order}{letter}{kind.bits // 8}").tobytes()
    else:
        lines = ["".join(f"{int(each):0{kind.bits}b}" for each in row.flat) for row in part]
        data = b"".join(int(line + "0" * (-len(line) % 8), 2).to_bytes(-(-len(line) // 8), "big") for line in lines)
    return zlib.compress(data) if kind.compression == 8 else data
