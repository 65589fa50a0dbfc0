"""Looks through a PNG file: finds the orientation, and leaves Pillow the chunks that make the pixels.

Metadata and further frames never reach Pillow, so that they can neither cost memory nor make good pixels unreadable.
Chunks are those of PNG (Third Edition).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from ..options import Limits
from .exif import MOST_EXIF, MOST_XMP, orientation
from .inspected import Inspected, unsupported_pixels
from .reader import GuardedReader, Part

__all__ = ["inspect"]

_PIXELS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
"""``tRNS`` is not among them: transparency is dropped."""
_XMP = b"XML:com.adobe.xmp\0"
_OLD_EXIF = b"Raw profile type exif\0"
"""The keyword under which ImageMagick kept EXIF, as hexadecimal text, before there was ``eXIf``."""


def inspect(file: GuardedReader, name: str, _limits: Limits) -> Inspected:
    """Finds the pixels and the orientation of a PNG or the first picture of an APNG.

    Args:
        file: The file.
        name: The picture's name in the sentence.

    Raises:
        ImageError: ``unsupported_format`` for Apple's variant of the format.
        EndlessError: If there are more chunks than ``file`` allows reads.
    """
    parts: list[Part] = [(0, 8)]
    exif = xmp = b""
    for kind, at, length in _chunks(file):
        if kind == b"CgBI":
            raise unsupported_pixels(name, "a PNG as Apple's tools pack it into apps")
        if kind in _PIXELS:
            last = parts[-1]
            if isinstance(last, tuple) and sum(last) == at - 8:
                parts[-1] = (last[0], last[1] + length + 12)
            else:
                parts.append((at - 8, length + 12))
        elif kind == b"eXIf":
            exif = exif or file.read(min(length, MOST_EXIF))
        elif kind == b"iTXt" and not xmp:
            xmp = _international_text(file.read(min(length, MOST_XMP)))
        elif kind in (b"tEXt", b"zTXt") and not exif:
            exif = _old_exif(file.read(min(length, len(_OLD_EXIF) + 4 * MOST_EXIF)))
    return Inspected(parts, orientation(exif, xmp))


def _chunks(file: GuardedReader) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, position and length of the data of each chunk; the file stands at the data."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += length + 12


def _international_text(chunk: bytes) -> bytes:
    """Returns the XMP in an ``iTXt`` chunk, or nothing if it holds another text."""
    if not chunk.startswith(_XMP):
        return b""
    flag, _, rest = chunk[len(_XMP) : len(_XMP) + 1], chunk[len(_XMP) + 1], chunk[len(_XMP) + 2 :]
    text = rest.split(b"\0", 2)[-1]  # behind language and translated keyword
    return _inflated(text, MOST_XMP) if flag == b"\1" else text


def _old_exif(chunk: bytes) -> bytes:
    """Returns the EXIF that ImageMagick put into a ``tEXt`` or ``zTXt`` chunk, or nothing if it holds another text."""
    if not chunk.startswith(_OLD_EXIF):
        return b""
    text = chunk[len(_OLD_EXIF) :]
    if text.startswith(b"\0"):  # zTXt: the method of compression
        text = _inflated(text[1:], 4 * MOST_EXIF)
    digits = b"".join(text.split(b"\n")[3:])  # behind an empty line, the name and the length
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""
