"""The headers of a JPEG 2000 picture: the blocks, tiles and layers that they ask for, and the bound on them.

OpenJPEG makes lists of all of them before it decodes anything: a header of a hundred bytes can ask for gigabytes.
T.800 is the standard, ITU-T T.800 (ISO/IEC 15444-1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .costs import BYTES_PER_PIXEL, MOST_NANOSECONDS, raised
from .opening import GuardedReader

__all__ = ["check_jpeg2000"]

_SIZ, _COD, _COC, _SOT, _POC, _SOD, _EOC = (
    0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF5F, 0xFF93, 0xFFD9
)  # fmt: skip
_MARKERS = frozenset({*range(0xFF50, 0xFF54), *range(0xFF55, 0xFF5A), *range(0xFF5C, 0xFF62), 0xFF63, 0xFF64})
_MARKERS |= {0xFF74, 0xFF75, 0xFF77, 0xFF78, _SOT}
"""Markers that OpenJPEG knows by their length; past any other it searches for the next, where we would not follow."""
_READ = frozenset({_SIZ, _COD, _COC, _SOT, _POC})
_BYTES_PIXEL, _BYTES_BLOCK, _BYTES_TILE, _BYTES_TILE_COMPONENT = 25, 600, 9_000, 1_200
"""Memory of OpenJPEG 2.5: for each pixel, for each code block or precinct (which may be a single pixel) of each
component, and for each tile, of which a header of a hundred bytes may ask for 65,535. Measured by hand."""
_NS_PACKET = 50.0
"""Nanoseconds for each packet: a block's share of a quality layer, of which there may be 65,535, without any data.
Measured by hand."""


def check_jpeg2000(file: GuardedReader, start: int, name: str, limits: Limits) -> None:
    """Refuses a JPEG 2000 picture cut into so many code blocks, tiles or layers that their lists are the cost of it.

    Args:
        file: The file.
        start: Where the picture begins in it, in bytes.
        name: The picture's name in the sentence.
        limits: The limits; memory and time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``too_large`` beyond 1 GiB or ten seconds, or ``unreadable`` at an unknown marker.
        EndlessError: If its headers take more reads than ``file`` allows.
        struct.error: If a box or a segment of fixed length is cut off.
        IndexError: If a coding style is cut off.
    """
    pixels = components = tiles = 0
    layers = orders = 1
    density = 0.0
    for marker, body in _segments(file, _codestream(file, start), name):
        if marker == _SIZ:
            x1, y1, x0, y0, width, height, left, top, components = struct.unpack_from(">8IH", body, 2)
            pixels = max(0, x1 - x0) * max(0, y1 - y0)
            tiles = -(-(x1 - left) // max(1, width)) * -(-(y1 - top) // max(1, height))
        elif marker == _POC:  # each goes over all packets again, to find those that were not read yet
            orders += len(body) // 7
        elif marker == _COD:
            layers = max(layers, struct.unpack_from(">H", body, 2)[0])
            density = max(density, _blocks_per_pixel(body[5:], precincts=bool(body[0] & 1)))
        elif marker == _COC:
            at = 1 if components < 257 else 2
            density = max(density, _blocks_per_pixel(body[at + 1 :], precincts=bool(body[at] & 1)))
    # Each tile has a block at least in each of up to 33 resolutions.
    blocks = components * (pixels * density + tiles * 33)
    memory = pixels * (_BYTES_PIXEL + components * density * _BYTES_BLOCK) + tiles * (
        _BYTES_TILE + components * _BYTES_TILE_COMPONENT
    )
    nanoseconds = blocks * layers * orders * _NS_PACKET
    more = raised(limits)
    if memory > BYTES_PER_PIXEL * Limits.max_pixels * more or nanoseconds > MOST_NANOSECONDS * more:
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} is cut into {tiles:,} tiles, about {blocks:,.0f} blocks and {layers:,} layers, which would take "
            f"about {memory / (1 << 30):.1f} GiB of memory and {nanoseconds / 1e9:,.0f} seconds; "
            "raise the limit on pixels to read it.",
        )


def _blocks_per_pixel(style: bytes, *, precincts: bool) -> float:
    """Returns the number of code blocks per pixel that a coding style asks for (T.800, tables A.15 and A.20)."""
    levels, width, height = style[0], (style[1] & 15) + 2, (style[2] & 15) + 2
    blocks = 0.0
    for level in range(levels + 1):
        size = style[5 + level] if precincts else 0xFF
        halved = int(level > 0)  # a precinct lies over three sub-bands of half its size
        bits = max(0, min(width, (size & 15) - halved)) + max(0, min(height, (size >> 4) - halved))
        blocks += 4.0 ** (level - levels) / (1 << bits)
    return blocks


def _codestream(file: GuardedReader, start: int) -> int:
    """Returns where the codestream begins: at once, or in the box ``jp2c`` (T.800, annex I)."""
    file.seek(start)
    if file.read(4) == b"\xff\x4f\xff\x51":
        return start
    while True:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            header = 16
        if kind == b"jp2c":
            return start + header
        start += max(8, length)


def _segments(file: GuardedReader, at: int, name: str) -> Iterator[tuple[int, bytes]]:
    """Yields markers and what they hold from the main header and those of all tile parts (T.800, annex A).

    Raises:
        ImageError: ``unreadable`` at a marker that OpenJPEG does not know.
    """
    at += 2  # SOC
    end_of_part = 0
    while True:
        file.seek(at)
        head = file.read(4)
        marker, length = struct.unpack(">HH", head) if len(head) == 4 else (_EOC, 0)
        if marker == _EOC or (marker == _SOD and end_of_part <= at):
            return
        if marker == _SOD:
            at = end_of_part
            continue
        if marker not in _MARKERS:
            raise ImageError(
                Status.UNREADABLE,
                f"{name} is broken: its header has a marker {marker:04X}; copy it again from its source.",
            )
        body = file.read(max(0, length - 2)) if marker in _READ else b""
        if marker == _SOT:
            (part,) = struct.unpack_from(">I", body, 2)
            end_of_part = at + part if part else 0
        yield marker, body
        at += 2 + max(2, length)
