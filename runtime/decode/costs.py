"""What a pixel and a row cost in memory and time, by format, and the bound on a picture's size that follows.

The bounds on what else a file may ask for are in ``jpeg`` and ``containers``; docs/decode.md has the tables.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status

__all__ = ["BYTES_PER_PIXEL", "MOST_NANOSECONDS", "check_pixels", "pixel_cost", "raised"]

BYTES_PER_PIXEL = 12
"""Memory that decoding takes per pixel at its peak, in bytes: 4 for the pixels, 4 for their RGB copy or the rotated
picture, and up to 6 for the coefficients of a progressive JPEG before the copy is made (8 for CMYK). With the default
limit on pixels that is 1 GiB. Measured by ``benchmarks/decode.py formats``."""

MOST_NANOSECONDS = 10e9
"""Most time that any one picture may take by the default limits, in nanoseconds of one core: ten seconds."""

_COST = {
    # More memory per pixel than that.
    "WEBP": 22 / BYTES_PER_PIXEL,
    "AVIF": 16 / BYTES_PER_PIXEL,
    # Decoders that Pillow has in Python: 0.2 to 2 microseconds per pixel, where a JPEG takes 0.01. Ten seconds' worth.
    "bmp_rle": 4.0,
}
"""What a pixel costs by format, or by decoder, compared with one of a JPEG file: in memory, measured by
``benchmarks/decode.py formats``, or in time."""

_PYTHON_DECODER_COST = 16.0
"""Cost of a pixel in a decoder written in Python that the table does not name."""

_FREE_SIDE = 65_535
_SIDE_COST = 512
"""What a row beyond the 65,535 that a JPEG may have is charged, in pixels of 12 bytes; columns likewise, because EXIF
may turn them into rows. Pillow keeps a pointer to each row of each copy and fills rows up to four bytes: 36 bytes where
a picture is turned and converted. A resize takes up to 48 bytes for its coefficients, and with an older Pillow (10.1)
first makes all the rows as wide as the network's input: 2,400 bytes a row for 600 pixels."""


def pixel_cost(format_name: str, python_decoders: Iterable[str] = ()) -> float:
    """Returns what a pixel of a format takes, in memory or time, compared with one of a JPEG file: 1 or more.

    Args:
        format_name: Pillow's name of the format.
        python_decoders: Pillow's names of those of its decoders that the picture needs and that are written in Python.
    """
    return max(
        _COST.get(format_name, 1.0),
        *(_COST.get(decoder, _PYTHON_DECODER_COST) for decoder in python_decoders),
        1.0,
    )


def raised(limits: Limits) -> float:
    """Returns how many times the memory and the time of the default limits are allowed: 1, or more for more pixels."""
    return max(1.0, limits.max_pixels / Limits.max_pixels)


def check_pixels(size: tuple[int, int], name: str, limits: Limits, cost: float = 1.0) -> None:
    """Refuses a picture without pixels, with more than the limit, or with a side too long for it.

    Args:
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits.
        cost: What a pixel of this format takes, in memory or time, compared with one of a JPEG file; see
            :func:`pixel_cost`.

    Raises:
        ImageError: ``unreadable`` without pixels, ``too_large`` over the limit.
    """
    width, height = size
    if width <= 0 or height <= 0:
        raise ImageError(Status.UNREADABLE, f"{name} has no pixels: its size is {width} x {height}.")
    most = int(limits.max_pixels / cost)
    if width * height > most:
        which = "the limit" if cost == 1.0 else "the limit for its costly format"
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {width} x {height} pixels, more than {which} of {most:,}; "
            "raise the limit on pixels to read it.",
        )
    beyond = max(width, height) - _FREE_SIDE
    if beyond > 0 and width * height * cost + beyond * _SIDE_COST > limits.max_pixels:
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {width} x {height} pixels; a side that long takes more memory than the limit of "
            f"{limits.max_pixels:,} pixels allows; raise the limit on pixels to read it.",
        )
