"""The scans of a JPEG file, counted from marker to marker, and the bound on how many are decoded.

Each scan goes over the whole picture, even where it holds no data, so that a small file can ask for hours. T.81 is the
JPEG standard, ITU-T T.81 (ISO/IEC 10918-1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .costs import MOST_NANOSECONDS, raised
from .opening import EndlessError, GuardedReader

__all__ = ["check_jpeg", "count_scans", "has_one_scan"]

_MOST_SCANS = 500
"""Most scans of a JPEG, whatever its size; libjpeg-turbo's own fuzzers stop at this number (``TJPARAM_SCANLIMIT``).
Encoders write 10 to 20."""
_NS_PIXEL, _NS_PASS, _NS_PASS_ARITHMETIC, _NS_BYTE = 20.0, 0.75, 6.0, 33.0
"""Nanoseconds that a JPEG of several scans takes at most: for each pixel, for each pixel of each component of each scan
(which may hold next to no data), and for each byte. Measured by ``benchmarks/decode.py scans``; that of the arithmetic
coder is an estimate, from 130 binary decisions in a block of 64 pixels: nobody writes such files."""

_HEAD = 256 << 10
"""Bytes in which the first scan of nearly every JPEG begins: behind EXIF with its thumbnail, XMP and a profile."""
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker of JPEG that ends the data of a scan: in it, FF is followed by 00 or a restart marker (T.81, B.1.1.2)."""
_MOST_MARKERS = 256_000
"""Far more segments than any encoder writes; as many as there may be reads in a header."""

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xC9, 0xCB})
_ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}


def check_jpeg(file: GuardedReader, size: tuple[int, int], name: str, limits: Limits) -> None:
    """Checks the scans of a JPEG file; most have one, as the header tells, and are not gone through.

    Args:
        file: A JPEG file, or one that begins with a JPEG picture (MPO).
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits; time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``unreadable`` or ``too_large``, as :func:`check_scans`.
        EndlessError: If there are more segments than any encoder writes.
    """
    file.seek(0)
    if has_one_scan(file.read(_HEAD)):
        return
    file.seek(0)
    check_scans(file.read(), size, name, limits)


def check_scans(data: bytes, size: tuple[int, int], name: str, limits: Limits) -> None:
    """Refuses a JPEG whose scans take too long: each goes over the whole picture, even where it holds no data.

    Args:
        data: A JPEG file of several scans.
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits; time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``unreadable`` beyond the number of scans that any encoder writes, ``too_large`` where they would
            take more than ten seconds.
        EndlessError: If there are more segments than any encoder writes.
    """
    scans, nanoseconds = count_scans(data, size[0] * size[1])
    if scans > _MOST_SCANS:
        raise ImageError(
            Status.UNREADABLE,
            f"{name} has {scans:,} scans, more than the {_MOST_SCANS} that any camera or program may write; "
            "it is made to keep a decoder busy.",
        )
    if nanoseconds > MOST_NANOSECONDS * raised(limits):
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {size[0]} x {size[1]} pixels in {scans} scans, which would take about "
            f"{nanoseconds / 1e9:.0f} seconds to decode; raise the limit on pixels to read it.",
        )


def count_scans(data: bytes, pixels: int) -> tuple[int, float]:
    """Returns the number of scans in a JPEG file, and the nanoseconds that decoding them takes at most.

    Args:
        data: A JPEG file, with or without something behind its picture.
        pixels: Width times height.

    Raises:
        EndlessError: If there are more segments than any encoder writes.
    """
    scans = passes = 0
    length, per_pass = len(data), _NS_PASS
    for marker, at in _segments(data):
        if marker == _SOS:
            scans += 1
            passes += min(data[at + 2], 4)
        elif marker in _ARITHMETIC:
            per_pass = _NS_PASS_ARITHMETIC
        elif marker == _EOI:
            length = at  # behind it, a telephone keeps a video
    return scans, pixels * (_NS_PIXEL + passes * per_pass) + length * _NS_BYTE


def has_one_scan(head: bytes) -> bool:
    """Whether a JPEG is known to have one scan: a sequential one whose first scan holds all its components.

    Args:
        head: Its first bytes; where the first scan begins behind them, the answer is no.

    Raises:
        EndlessError: If there are more segments than any encoder writes.
    """
    components = 0
    for marker, at in _segments(head):
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL:
                return False
            components = head[at + 7]
        elif marker == _SOS:
            return head[at + 2] == components
    return False


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the markers of the first picture in JPEG data, and where their segments begin (T.81, annex B).

    What libjpeg skips between segments and in the data of a scan is skipped; that includes the reserved markers below
    C0, which have no segment that scans could hide in. The end of the picture is the last one; a segment of which the
    first eight bytes are not all there is left out.

    Raises:
        EndlessError: If there are more than any encoder writes.
    """
    at = 0
    for _ in range(_MOST_MARKERS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, at = data[found.end() - 1], found.end()
        if marker == _EOI:
            yield marker, at
        if marker == _EOI or at + 8 > len(data):
            return
        if marker >= 0xC0 and marker != _SOI:
            yield marker, at
            at += max(2, data[at] << 8 | data[at + 1])
    raise EndlessError("it is made of too many pieces")
