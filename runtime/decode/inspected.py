"""Holds what is known of a picture before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import ImageError
from ..prediction import Status
from .costs import MOST_PIXELS
from .reader import Part

__all__ = ["Inspected", "unsupported_pixels"]


class Inspected(NamedTuple):
    """What a look through a file found.

    Attributes:
        parts: What Pillow may read of it: the pixels, and no metadata that they do not need. ``None`` for all of it.
        orientation: How the stored pixels are to be turned, 1 (as they are) to 8, as EXIF numbers it.
        most_pixels: How many pixels a picture of this kind may have by the default limits.
    """

    parts: Sequence[Part] | None = None
    orientation: int = 1
    most_pixels: int = MOST_PIXELS


def unsupported_pixels(name: str, what: str) -> ImageError:
    """Returns the error of a whole picture whose pixels are of a kind that cannot be read."""
    return ImageError(
        Status.UNSUPPORTED_FORMAT,
        f"{name} has pixels of a kind that cannot be read ({what}); save it with 8 bits per channel, as JPEG or PNG.",
    )
