"""Bounds a picture's size by what its pixels and rows cost in memory and time, which depends on the format.

The bounds on what else a file may ask for stand in the modules of the formats; docs/decode.md has the tables.
"""

from __future__ import annotations

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status

__all__ = ["MOST_BYTES_A_PIXEL", "MOST_NANOSECONDS", "MOST_PIXELS", "MOST_PIXELS_OF", "check_pixels", "raised"]

MOST_BYTES = 1 << 30
"""Memory that decoding may take by the default limits; measured by ``benchmarks/decode.py formats``. A baseline JPEG,
which takes 4 bytes for a pixel, or 8 where it is turned, may have 201 million: that is what telephones write."""

MOST_NANOSECONDS = 10e9
"""Time that any one picture may take by the default limits, in nanoseconds of one core: ten seconds."""

MOST_PIXELS = MOST_BYTES // 12
"""Pixels of most formats by the default limits. A pixel takes 12 bytes: 4 as it is stored, 4 turned, 4 in RGB; or 6 to
8 for the coefficients of a progressive JPEG."""

MOST_BYTES_A_PIXEL = 22
"""What a pixel of the costliest format takes while it is decoded, WebP; a baseline JPEG's takes 8 at most."""

MOST_PIXELS_OF = {
    "WEBP": MOST_BYTES // MOST_BYTES_A_PIXEL,
    "AVIF": MOST_BYTES // 16,
    # Decoders that Pillow has in Python: 0.3 and up to 2 microseconds for a pixel, where a JPEG takes 0.01.
    "bmp_rle": 22_369_621,
    "ppm": 5_592_405,
    "ppm_plain": 5_592_405,
}
"""The same for formats and decoders that take more memory or time."""

_FREE_SIDE = 65_535
_SIDE_COST = 512
"""What a row beyond the 65,535 that a JPEG may have is charged, in pixels of 12 bytes; columns likewise, because EXIF
may turn them into rows. Pillow keeps a pointer to each row of each copy and fills rows up to four bytes: 36 bytes where
a picture is turned and converted. A resize takes up to 48 bytes for its coefficients."""


def raised(limits: Limits) -> float:
    """Returns how many times the memory and the time of the default limits are allowed: 1, or more for more pixels."""
    return max(1.0, limits.max_pixels / Limits.max_pixels)


def check_pixels(size: tuple[int, int], name: str, limits: Limits, most: int | None = None) -> None:
    """Refuses a picture without pixels, with more than the limit, or with a side too long for it.

    Args:
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits.
        most: Pixels that a picture of this kind may have by the default limits; as many as ``limits`` say if ``None``.

    Raises:
        ImageError: ``unreadable`` without pixels, ``too_large`` over the limit.
    """
    width, height = size
    if width <= 0 or height <= 0:
        raise ImageError(Status.UNREADABLE, f"{name} has no pixels: its size is {width} x {height}.")
    if width * height > limits.max_pixels:
        raise _too_large(size, name, f"more than the limit of {limits.max_pixels:,}")
    if most is not None and width * height > (allowed := int(most * raised(limits))):
        raise _too_large(size, name, f"more than the {allowed:,} allowed for its kind, which costs more memory or time")
    beyond = max(width, height) - _FREE_SIDE
    if beyond > 0 and width * height + beyond * _SIDE_COST > MOST_PIXELS * raised(limits):
        raise _too_large(size, name, "and a side that long takes too much memory")


def _too_large(size: tuple[int, int], name: str, why: str) -> ImageError:
    return ImageError(
        Status.TOO_LARGE,
        f"{name} has {size[0]} x {size[1]} pixels, {why}; raise Limits(max_pixels=...) to read it.",
    )
