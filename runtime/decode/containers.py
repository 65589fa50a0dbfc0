"""Checks the pictures inside an icon and a TIFF before a pixel is decoded.

What lies inside may be of another size than the file says, or of another cost: an icon holds whole files, and each tile
of a TIFF may be a JPEG of many scans.
"""

from __future__ import annotations

import struct
from typing import Any

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .costs import check_pixels
from .jpeg import has_one_scan
from .opening import GuardedReader

__all__ = ["check_ico", "check_tiff_directory", "check_tiff_tiles"]

_TIFF_VALUES = 1 << 20
"""Most numbers in one tag of a TIFF directory. Pillow makes a Python tuple of them, 36 bytes each; 89 megapixels in
tiles of 16 x 16 need 350,000 offsets."""

_TIFF_SCANS_COST = 3.2
"""Cost of a pixel, compared with one of a JPEG file, where the strips or tiles of a TIFF are JPEG of several scans:
libtiff allows a hundred, and they take up to 0.32 microseconds. Measured by hand on made files."""

_TILE_HEAD = 4 << 10
"""Bytes of a JPEG tile in which its first scan is looked for: before it are tables and a frame, and no EXIF."""


def check_ico(file: GuardedReader, name: str, limits: Limits) -> None:
    """Checks the pictures inside an icon, whose sizes may differ from what its directory says.

    Args:
        file: The file, at any position.
        name: The picture's name in the sentence.
        limits: The limits.

    Raises:
        ImageError: ``too_large``.
        struct.error: If the header is cut off.
        EndlessError: If it takes more reads or bytes than ``file`` allows.
    """
    file.seek(4)
    (count,) = struct.unpack("<H", file.read(2))
    entries = file.read(16 * count)
    for at in range(12, len(entries) - 3, 16):
        file.seek(struct.unpack_from("<I", entries, at)[0])
        check_pixels(_embedded_size(file.read(64)), name, limits)


def check_tiff_directory(file: GuardedReader, name: str) -> None:
    """Refuses a first directory with tags of more values than any picture has use for (TIFF 6.0, section 2).

    Args:
        file: The file, at any position.
        name: The picture's name in the sentence.

    Raises:
        ImageError: ``unreadable``.
        struct.error: If the header is cut off.
        EndlessError: If it takes more reads or bytes than ``file`` allows.
    """
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43  # BigTIFF
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    file.seek(offset)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    size = 20 if big else 12
    entries = file.read(size * min(count, 65_535))
    for at in range(0, len(entries) - size + 1, size):
        kind, values = struct.unpack_from(order + ("HQ" if big else "HI"), entries, at + 2)
        if kind not in (1, 2, 6, 7) and values > _TIFF_VALUES:  # BYTE, ASCII, SBYTE, UNDEFINED stay bytes
            raise ImageError(Status.UNREADABLE, f"{name} has a TIFF tag of {values:,} values; it is broken.")


def check_tiff_tiles(tags: Any, file: GuardedReader, size: tuple[int, int], name: str, limits: Limits) -> None:
    """Checks the tiles of a TIFF: libtiff takes memory for a whole one, and each may be a JPEG of many scans.

    libtiff allows a hundred scans, and none in the older kind of JPEG (compression 6), so that a picture of ordinary
    size needs no look at its tiles.

    Args:
        tags: The tags of the directory, by number, as Pillow's plugin read them.
        file: The file, at any position.
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits.

    Raises:
        ImageError: ``too_large``.
        EndlessError: If there are more tiles than ``file`` allows reads.
    """
    width, height = tags.get(322), tags.get(323)
    if isinstance(width, int) and isinstance(height, int):
        check_pixels((max(width, 1), max(height, 1)), name, limits)
    if tags.get(259) != 7 or size[0] * size[1] * _TIFF_SCANS_COST <= limits.max_pixels:
        return
    offsets = tags.get(324) or tags.get(273) or ()
    for offset in {offsets} if isinstance(offsets, int) else set(offsets):
        file.seek(offset)
        if not has_one_scan(file.read(_TILE_HEAD)):
            check_pixels(size, name, limits, _TIFF_SCANS_COST)


def _embedded_size(head: bytes) -> tuple[int, int]:
    """Returns the size that the first bytes of a PNG or DIB picture state; (1, 1) for anything else."""
    if len(head) < 64:
        return 1, 1
    if head.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", head, 16)
    elif head[:4] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x40\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        width, height = struct.unpack_from("<HH" if head[0] == 12 else "<ii", head, 4)
        height //= 2  # colours and mask, one above the other
    else:
        return 1, 1
    return max(1, abs(width)), max(1, abs(height))
