"""Looks through a WebP file: finds the orientation, and leaves Pillow the chunks of the first picture.

The container is that of RFC 9649, section 2.
"""

from __future__ import annotations

import struct

from ..options import Limits
from .costs import MOST_PIXELS_OF
from .exif import MOST_EXIF, MOST_XMP, orientation
from .inspected import Inspected
from .reader import GuardedReader, Part

__all__ = ["inspect"]

_PIXELS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})


def inspect(file: GuardedReader, _name: str, _limits: Limits) -> Inspected:
    """Finds the pixels and the orientation of a WebP file, or of the first frame of an animation.

    Args:
        file: The file.

    Raises:
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
        elif kind == b"EXIF":
            exif = exif or file.read(min(size, MOST_EXIF))
        elif kind == b"XMP ":
            xmp = xmp or file.read(min(size, MOST_XMP))
        at += whole
    head = struct.pack("<4sI4s", b"RIFF", min(length + 4, 0xFFFFFFFE), b"WEBP")
    return Inspected([head, *parts], orientation(exif, xmp), MOST_PIXELS_OF["WEBP"])
