"""Looks through a JPEG file: finds the orientation, and bounds the scans that are decoded.

Each scan goes over the whole picture, even where it holds no data, so that a small file can ask for hours. T.81 is the
JPEG standard, ITU-T T.81 (ISO/IEC 10918-1).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .costs import MOST_NANOSECONDS, MOST_PIXELS, check_pixels, raised
from .exif import MOST_EXIF, orientation
from .inspected import Inspected, unsupported_pixels
from .reader import EndlessError, GuardedReader, Part, Pieces

__all__ = ["check_scans", "count_scans", "inspect", "one_scan_of"]

_MOST_SCANS = 500
"""Most scans of a JPEG, whatever its size; libjpeg-turbo's own fuzzers stop at this number (``TJPARAM_SCANLIMIT``).
Encoders write 10 to 20."""
_NS_PIXEL, _NS_PASS, _NS_PASS_ARITHMETIC, _NS_BYTE = 20.0, 0.75, 6.0, 33.0
"""Nanoseconds that a JPEG of several scans takes at most: for each pixel, for each pixel of each component of each scan
(which may hold next to no data), and for each byte. Measured by ``benchmarks/decode.py scans``; that of the arithmetic
coder is an estimate, from 130 binary decisions in a block of 64 pixels: such files are not met."""

_HEAD = 64 << 10
"""Bytes in which the first scan of a JPEG without metadata begins: behind its tables and its frame."""
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker of JPEG that ends the data of a scan: in it, FF is followed by 00 or a restart marker (T.81, B.1.1.2)."""
_MOST_MARKERS = 256_000
"""Far more segments than any encoder writes."""

_SOI, _EOI, _SOS, _APP0, _APP1, _APP14, _APP15, _COM = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xC9, 0xCB})
_HIERARCHICAL = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a segment: TEM, restarts, another start."""
_METADATA = frozenset({*range(_APP0 + 1, _APP15 + 1), _COM}) - {_APP14}
"""APP0 (JFIF) and APP14 (Adobe) say what the colours are."""


def inspect(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Finds the pixels and the orientation of a JPEG file, or of the first picture of an MPO.

    Args:
        file: The file.
        name: The picture's name in the sentence.
        limits: The limits; time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``unsupported_format`` for samples or components that are not read; ``unreadable`` or
            ``too_large`` as :func:`check_scans`.
        EndlessError: If there are more segments than any encoder writes.
    """
    parts: list[Part] = [(0, 2), b"\xff\xfe\0\2"]  # an empty comment: Pillow wants a marker behind the start
    exif = xmp = b""
    kept = 2
    for marker, at, length in _headers(file):
        if marker in _FRAMES:
            _check_frame(marker, file.read(6), name)
        if marker not in _METADATA:
            continue
        parts.append((kept, at - kept))
        kept = at + length
        if marker == _APP1:
            data = file.read(min(length - 4, MOST_EXIF))
            if data.startswith(b"Exif\0\0"):
                exif = exif or data
            elif data.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
                xmp = data
    parts.append((kept, file.length() - kept))
    components = one_scan_of(Pieces(file, parts).read(_HEAD))
    if not components:
        file.seek(0)
        check_scans(file.read(), name, limits)
    return Inspected(parts, orientation(exif, xmp), Limits.max_pixels if components in (1, 3) else MOST_PIXELS)


def _headers(file: GuardedReader) -> Iterator[tuple[int, int, int]]:
    """Yields marker, position and length of each segment before the first scan; the file stands at what it holds.

    Ends at the first thing that is not a segment.
    """
    at = 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0, _SOS, _EOI):
            return
        if head[1] == 0xFF:  # a marker may be filled up with FF
            at += 1
        elif head[1] in _ALONE:
            at += 2
        else:
            length = 2 + max(2, int.from_bytes(head[2:], "big"))
            yield head[1], at, length
            at += length


def _check_frame(marker: int, head: bytes, name: str) -> None:
    """Names what the first six bytes of a frame (T.81, B.2.2) say that is not read."""
    if marker in _HIERARCHICAL:
        raise unsupported_pixels(name, "a hierarchical JPEG")
    if head[:1] not in (b"\x08", b""):
        raise unsupported_pixels(name, f"a JPEG of {head[0]} bits")
    if head[5:] not in (b"\1", b"\3", b"\4", b""):
        raise unsupported_pixels(name, f"a JPEG of {head[5]} components")


def check_scans(data: bytes, name: str, limits: Limits) -> None:
    """Refuses a JPEG whose scans take too long: each goes over the whole picture, even where it holds no data.

    Args:
        data: A JPEG file of several scans.
        name: The picture's name in the sentence.
        limits: The limits; time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``unreadable`` beyond the number of scans that any encoder writes, ``too_large`` where they would
            take more than ten seconds.
        EndlessError: If there are more segments than any encoder writes.
    """
    (width, height), scans, nanoseconds = count_scans(data)
    if width * height:
        check_pixels((width, height), name, limits, MOST_PIXELS)
    if scans > _MOST_SCANS:
        raise ImageError(
            Status.UNREADABLE,
            f"{name} has {scans:,} scans, more than the {_MOST_SCANS} that any camera or program may write; "
            "it is made to keep a decoder busy.",
        )
    if nanoseconds > MOST_NANOSECONDS * raised(limits):
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {width} x {height} pixels in {scans} scans, which would take about "
            f"{nanoseconds / 1e9:.0f} seconds to decode; raise Limits(max_pixels=...) to read it.",
        )


def count_scans(data: bytes) -> tuple[tuple[int, int], int, float]:
    """Returns width and height of a JPEG, how many scans it has, and the nanoseconds that they take at most.

    Args:
        data: A JPEG file, with or without something behind its picture.

    Raises:
        EndlessError: If there are more segments than any encoder writes.
    """
    width = height = scans = passes = 0
    length, per_pass = len(data), _NS_PASS
    for marker, at in _segments(data):
        if marker == _SOS:
            scans += 1
            passes += min(data[at + 2], 4)
        elif marker == _EOI:
            length = at  # behind it, a telephone keeps a video
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            if marker in _ARITHMETIC:
                per_pass = _NS_PASS_ARITHMETIC
    return (width, height), scans, width * height * (_NS_PIXEL + passes * per_pass) + length * _NS_BYTE


def one_scan_of(head: bytes) -> int:
    """Returns how many components a JPEG has that is known to have one scan: sequential, and the first one holds all.

    Args:
        head: Its first bytes.

    Returns:
        0 where there are several scans, or the first begins behind ``head``.

    Raises:
        EndlessError: If there are more segments than any encoder writes.
    """
    components = 0
    for marker, at in _segments(head):
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL:
                return 0
            components = head[at + 7]
        elif marker == _SOS:
            return components if head[at + 2] == components else 0
    return 0


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
    raise EndlessError
