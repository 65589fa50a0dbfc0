"""Looks through a WebP file: finds the orientation, and leaves Pillow the chunks of the first picture.

The container is that of RFC 9649.
"""

from __future__ import annotations

import struct

from ..options import Limits
from .costs import MOST_PIXELS_OF, check_pixels
from .exif import MOST_EXIF, MOST_XMP, orientation
from .inspected import Inspected
from .reader import GuardedReader, Part

__all__ = ["inspect"]

_PIXELS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})


def inspect(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Finds the pixels and the orientation of a WebP file, or of the first frame of an animation.

    Args:
        file: The file.
        name: The picture's name in the sentence.
        limits: The limits; Pillow takes memory for all pixels when it opens the file.

    Raises:
        ImageError: ``too_large``.
        EndlessError: If there are more chunks than ``file`` allows reads.
    """
    parts: list[Part] = []
    exif = xmp = b""
    frames = length = 0
    end, at = file.length(), 12
    while at + 8 <= end:
        file.seek(at)
        kind, size = struct.unpack("<4sI", file.read(8))
        whole = 8 + size + size % 2
        frames += kind == b"ANMF"
        if kind in _PIXELS and (kind != b"ANMF" or frames == 1):
            parts.append((at, whole))
            length += whole
            if kind in (b"VP8X", b"VP8 ", b"VP8L"):
                check_pixels(_size(kind, file.read(10)), name, limits, MOST_PIXELS_OF["WEBP"])
        elif kind == b"EXIF":
            exif = exif or file.read(min(size, MOST_EXIF))
        elif kind == b"XMP ":
            xmp = xmp or file.read(min(size, MOST_XMP))
        at += whole
    head = struct.pack("<4sI4s", b"RIFF", min(length + 4, 0xFFFFFFFE), b"WEBP")
    return Inspected([head, *parts], orientation(exif, xmp), MOST_PIXELS_OF["WEBP"])


def _size(kind: bytes, head: bytes) -> tuple[int, int]:
    """Returns width and height that the first ten bytes of a chunk state (RFC 9649; RFC 6386, section 9.1)."""
    if len(head) < 10:
        return 1, 1
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 6)
    return max(1, width & 0x3FFF), max(1, height & 0x3FFF)
