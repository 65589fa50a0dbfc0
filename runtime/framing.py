"""How a face is cut out of a photograph, in training and in use alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from runtime.prediction import Box

__all__ = ["crop_square", "square_around"]


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
