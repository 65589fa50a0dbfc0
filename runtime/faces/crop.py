"""How a face is cut out of a photograph, in training and in use alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from ..prediction import Box

__all__ = ["LEVEL_FROM", "crop_face", "crop_square", "square_around", "tilt"]

LEVEL_FROM = 10.0
"""Degrees of tilt from which the eyes are made level.

Below it the crop is that of training, pixel by pixel, and turning changes nothing for the better; from 20 degrees it
corrects far more answers than it spoils (``docs/faces.md``).
"""

_TURNED_SIDE = 768
"""Pixels; a larger square is scaled down by a whole number before it is turned, which is ten times faster for the face
of a 48 megapixel portrait. Networks look at less."""


def square_around(box: Box, margin: float) -> tuple[int, int, int, int]:
    """Returns the square that a classifier sees around a face box.

    The side is the longer side of the box, plus ``margin`` of it on either side; the square shares the box's centre.

    Args:
        box: ``(x0, y0, x1, y1)`` in pixels, possibly reaching beyond the picture.
        margin: Share of the longer side added on each side; 0.25 makes a square 1.5 times as long.

    Returns:
        ``(left, top, right, bottom)`` in whole pixels, at least one pixel wide, possibly reaching beyond the picture.
    """
    x0, y0, x1, y1 = box
    side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * margin)))
    left = round((x0 + x1) / 2 - side / 2)
    top = round((y0 + y1) / 2 - side / 2)
    return left, top, left + side, top + side


def crop_square(image: Image.Image, box: Box, margin: float) -> Image.Image:
    """Cuts the square around a face; what lies beyond the picture is black, and nothing is stretched.

    Args:
        image: An upright RGB picture.
        box: The face, as :func:`square_around` takes it.
        margin: As in :func:`square_around`.

    Returns:
        A square RGB picture.
    """
    return image.crop(square_around(box, margin))


def tilt(landmarks: Sequence[tuple[float, float]]) -> float:
    """Returns by how many degrees a face is turned in the plane of the picture, clockwise, in (-180, 180].

    Args:
        landmarks: ``(x, y)`` of the person's right eye and left eye first, in pixels.
    """
    (right_x, right_y), (left_x, left_y) = landmarks[0], landmarks[1]
    return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


def crop_face(
    image: Image.Image, box: Box, margin: float, landmarks: Sequence[tuple[float, float]] | None = None
) -> Image.Image:
    """Cuts the square around a face, turned about its centre so that the eyes are level where they are far from it.

    Args:
        image: An upright RGB picture.
        box: As :func:`square_around` takes it.
        margin: As in :func:`square_around`.
        landmarks: As :func:`tilt` takes them; without them nothing is turned.

    Returns:
        A square RGB picture; that of :func:`crop_square` for a tilt below :data:`LEVEL_FROM`. A turned face may come
        out smaller than its box where that has more than 1,535 pixels a side, margin included.
    """
    if landmarks is None or abs(tilt(landmarks)) < LEVEL_FROM:
        return crop_square(image, box, margin)
    from PIL import Image as Pillow

    left, top, right, _ = square_around(box, margin)
    side = right - left
    # A larger square with the same centre holds every pixel that the turned one needs.
    reach = math.ceil(side * math.sqrt(0.5)) + 1
    x, y = round(left + side / 2), round(top + side / 2)
    region = image.crop((x - reach, y - reach, x + reach, y + reach))
    factor = max(1, side // _TURNED_SIDE)
    if factor > 1:
        region = region.reduce(factor)
    side //= factor
    angle = math.radians(tilt(landmarks))
    cos, sin, half, centre = math.cos(angle), math.sin(angle), side / 2, reach / factor
    # Where a pixel of the square comes from: turned about the centre.
    x0, y0 = centre - cos * half + sin * half, centre - sin * half - cos * half
    return region.transform(
        (side, side), Pillow.Transform.AFFINE, (cos, -sin, x0, sin, cos, y0), Pillow.Resampling.BILINEAR
    )
