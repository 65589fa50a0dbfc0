"""Looks through the smaller formats: BMP and DIB, the PPM family, PSD, ICO."""

from __future__ import annotations

import re
import struct

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .costs import MOST_PIXELS, check_pixels
from .inspected import Inspected, unsupported_pixels
from .reader import GuardedReader

__all__ = ["check_run_lengths", "inspect_ico", "inspect_ppm", "inspect_psd", "largest_in_icon"]

_PPM_HEAD = 64 << 10
_PPM_TOKEN = re.compile(rb"#[^\r\n]*|[^\s#]+")
_PPM_COMMENTS = 10_000
_PPM_SLACK = 1 << 20
_BYTES_PER_SAMPLE = 16
"""Bytes of text that a sample of a plain PPM may take, with its spaces: "65535" has five digits."""

_PSD_COLOURS = {0: "bitmap", 1: "grey", 2: "indexed", 3: "RGB", 4: "CMYK", 7: "multichannel", 8: "duotone", 9: "Lab"}
_PSD_READ = frozenset({(0, 1), (1, 8), (2, 8), (3, 8), (4, 8), (8, 8), (9, 8)})
"""Colour mode and bits that Pillow reads right; of a duotone the grey picture."""


def largest_in_icon(file: GuardedReader) -> tuple[bytes, int]:
    """Returns the entry of the picture that counts in an icon, without its last four bytes, and where that lies.

    It is the one that Pillow takes: the largest, of those the one of the fewest colours, of those the first.

    Args:
        file: The file.

    Raises:
        struct.error: If the header is cut off.
        EndlessError: If it takes more reads or bytes than ``file`` allows.
    """
    file.seek(4)
    (count,) = struct.unpack("<H", file.read(2))
    data = file.read(16 * count)
    entries = [data[at : at + 16] for at in range(0, len(data) - 15, 16)]
    if not entries:
        raise struct.error("an icon without pictures")

    def rank(entry: bytes) -> tuple[int, int]:
        width, height, colours, bits = struct.unpack_from("<BBB3xH", entry)
        return -(width or 256) * (height or 256), bits or (colours and (colours - 1).bit_length()) or 256

    chosen = min(entries, key=rank)
    return chosen[:12], struct.unpack_from("<I", chosen, 12)[0]


def inspect_ico(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Finds the largest picture of an icon, whose size may differ from what its directory says.

    Args:
        file: The file.
        name: The picture's name in the sentence.
        limits: The limits.

    Raises:
        ImageError: ``too_large``.
        struct.error: If the header is cut off.
        EndlessError: If it takes more reads or bytes than ``file`` allows.
    """
    entry, at = largest_in_icon(file)
    file.seek(at)
    check_pixels(_bitmap_size(file.read(16)), name, limits, MOST_PIXELS)
    head = b"\0\0\1\0\1\0" + entry + struct.pack("<I", 22)
    return Inspected([head, (at, max(0, file.length() - at))])


def _bitmap_size(head: bytes) -> tuple[int, int]:
    """Returns the size that the first bytes of a DIB state; (1, 1) for anything else."""
    if head[:4] not in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x40\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return 1, 1
    width, height = struct.unpack_from("<HH" if head[0] == 12 else "<ii", head, 4)
    return max(1, abs(width)), max(1, abs(height) // 2)  # colours and mask, one above the other


def inspect_ppm(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Takes the comments out of a plain (text) picture of the PPM family, and bounds its bytes by its pixels.

    Pillow reads such a file in Python, in time that grows with the square of the comments' number.

    Args:
        file: The file.
        name: The picture's name in the sentence.
        limits: The limits.

    Raises:
        ImageError: ``unreadable`` for more text than the samples need, ``too_large``, or ``unsupported_format`` for
            samples that are floating-point numbers.
    """
    head = file.read(_PPM_HEAD)
    if head[:2] in (b"Pf", b"PF"):
        raise unsupported_pixels(name, "floating-point numbers")
    if head[:2] not in (b"P1", b"P2", b"P3"):
        return Inspected()
    tokens = [token for token in _PPM_TOKEN.findall(head) if not token.startswith(b"#")][1:3]
    if len(tokens) < 2 or not all(token.isdigit() and len(token) < 10 for token in tokens):
        return Inspected()  # Pillow says what is wrong
    size = int(tokens[0]), int(tokens[1])
    check_pixels(size, name, limits, MOST_PIXELS)
    samples = size[0] * size[1] * (3 if head[:2] == b"P3" else 1)
    if file.length() > samples * _BYTES_PER_SAMPLE + _PPM_SLACK:
        raise _busy(name, f"{file.length():,} bytes of text for {size[0]} x {size[1]} pixels")
    file.seek(0)
    data = file.read()
    if (comments := data.count(b"#")) > _PPM_COMMENTS:
        raise _busy(name, f"{comments:,} comments")
    return Inspected([re.sub(rb"#[^\r\n]*", b" ", data)])


def check_run_lengths(length: int, size: tuple[int, int], name: str) -> None:
    """Refuses a BMP whose run lengths take more bytes than its pixels can need: Pillow reads each in Python.

    Args:
        length: Bytes from the first run to the end of the file.
        size: Width and height, in pixels.
        name: The picture's name in the sentence.

    Raises:
        ImageError: ``unreadable``.
    """
    width, height = size
    if length > 2 * width * height + 4 * height + (64 << 10):  # a run of one pixel has two bytes
        raise _busy(name, f"{length:,} bytes of run lengths for {width} x {height} pixels")


def inspect_psd(file: GuardedReader, name: str, _limits: Limits) -> Inspected:
    """Finds the flattened picture of a Photoshop file, without its layers and resources.

    Args:
        file: The file.
        name: The picture's name in the sentence.

    Raises:
        ImageError: ``unsupported_format`` for pixels or a compression that are not read.
        struct.error: If the header is cut off.
    """
    version, _, _, _, bits, colour = struct.unpack(">H6xHIIHH", file.read(26)[4:])
    if version != 1:
        raise unsupported_pixels(name, "a large document, PSB")
    if (colour, bits) not in _PSD_READ:
        raise unsupported_pixels(name, f"{_PSD_COLOURS.get(colour, f'colours of number {colour}')} of {bits} bits")
    (palette,) = struct.unpack(">I", file.read(4))
    at = 30 + palette
    for _ in range(2):  # resources, layers
        file.seek(at)
        at += 4 + struct.unpack(">I", file.read(4))[0]
    file.seek(at)
    (compression,) = struct.unpack(">H", file.read(2))
    if compression not in (0, 1):
        raise unsupported_pixels(name, "compressed as ZIP")
    return Inspected([(0, 30 + palette), bytes(8), (at, file.length() - at)])


def _busy(name: str, what: str) -> ImageError:
    return ImageError(Status.UNREADABLE, f"{name} has {what}; it is made to keep a decoder busy.")
