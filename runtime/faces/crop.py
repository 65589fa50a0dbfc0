"""Cuts a face out of a photograph, in training and in use alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from ..bundle.manifest import Framing
    from ..prediction import Box, Eyes

__all__ = [
    "DEFAULT_MARGIN",
    "LEVEL_FROM",
    "crop_box",
    "crop_eyes",
    "crop_face",
    "crop_square",
    "square_around",
    "tilt",
    "usable_eyes",
]

DEFAULT_MARGIN = 0.25
"""Margin around a face that is asked of a model for whole pictures, whose bundle names none."""

LEVEL_FROM = 10.0
"""Degrees of tilt from which a square around a box is turned until the eyes are level.

Below it the crop is that of training, pixel by pixel, and turning changes nothing for the better; from 20 degrees it
corrects far more answers than it spoils (``docs/faces.md``).
"""

NEAREST_EYES, FARTHEST_EYES = 0.2, 0.75
"""Distances of the eyes, in longer sides of the face box, beyond which they do not frame a face. Frontal faces lie near
0.34, and 98 % of all between 0.06 and 0.41 (docs/faces.md). Below the nearer limit are profiles, whose crop would show
little more than a cheek; the farther one leaves room for callers whose boxes are tighter than the detector's."""

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


def tilt(eyes: Sequence[tuple[float, float]]) -> float:
    """Returns by how many degrees a face is turned in the plane of the picture, clockwise, in (-180, 180].

    Args:
        eyes: ``(x, y)`` of the person's right eye and left eye first, in pixels; what follows is not looked at.
    """
    (right_x, right_y), (left_x, left_y) = eyes[0], eyes[1]
    return math.degrees(math.atan2(left_y - right_y, left_x - right_x))


def usable_eyes(box: Box, landmarks: Sequence[tuple[float, float]] | None) -> Eyes | None:
    """Returns the two eye points of a face if they can be those of the face in the box, else ``None``.

    Eyes lie inside the box, between :data:`NEAREST_EYES` and :data:`FARTHEST_EYES` of its longer side apart, and the
    middle between them lies above the box's centre or on it, where "above" goes by the line through the eyes: so a face
    that lies on its side is believed, and two eyes that were swapped are not.

    Args:
        box: ``(x0, y0, x1, y1)`` in pixels.
        landmarks: As :func:`tilt` takes them.
    """
    if landmarks is None or len(landmarks) < 2:
        return None
    x0, y0, x1, y1 = box
    (right_x, right_y), (left_x, left_y) = landmarks[0], landmarks[1]
    inside = all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in ((right_x, right_y), (left_x, left_y)))
    dx, dy = left_x - right_x, left_y - right_y
    side = max(x1 - x0, y1 - y0)
    if not inside or not NEAREST_EYES * side <= math.hypot(dx, dy) <= FARTHEST_EYES * side:
        return None
    up_x, up_y = dy, -dx
    above = ((right_x + left_x) - (x0 + x1)) * up_x + ((right_y + left_y) - (y0 + y1)) * up_y
    return ((right_x, right_y), (left_x, left_y)) if above >= 0 else None


def crop_eyes(image: Image.Image, eyes: Eyes, side: int, *, eye_distance: float, eye_line: float) -> Image.Image:
    """Turns, scales and cuts a picture so that the eyes lie level at fixed places: a similarity from two points.

    Where the picture is scaled down, it is averaged over whole pixels first (a box filter by the whole part of the
    ratio), then read at twice the wanted size (bicubic, less than one pixel a step, so that nothing is skipped), then
    averaged over 2 x 2. ``docs/faces.md`` says how little aliases.

    Args:
        image: An upright RGB picture.
        eyes: ``(x, y)`` of the person's right and left eye, two different points, in pixels.
        side: Of the result, in pixels.
        eye_distance: Of the eyes in the result, as a share of the side, in (0, 1).
        eye_line: Height of the eyes in the result from its top, as a share of the side, in (0, 1).

    Returns:
        A square RGB picture; black where the square reaches beyond the picture.
    """
    from PIL import Image as Pillow

    (right_x, right_y), (left_x, left_y) = eyes
    distance = math.hypot(left_x - right_x, left_y - right_y)
    along_x, along_y = (left_x - right_x) / distance, (left_y - right_y) / distance
    whole = distance / eye_distance  # side of the square in pixels of the picture
    up, aside = whole * eye_line, whole / 2
    corner_x = (right_x + left_x) / 2 - along_x * aside + along_y * up
    corner_y = (right_y + left_y) / 2 - along_y * aside - along_x * up
    ratio = whole / side
    factor = max(1, int(ratio))
    if factor > 1:
        xs, ys = zip(*((x * whole, y * whole) for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))), strict=True)
        across = [corner_x + along_x * x - along_y * y for x, y in zip(xs, ys, strict=True)]
        down = [corner_y + along_y * x + along_x * y for x, y in zip(xs, ys, strict=True)]
        # A few pixels more than the square, for the filters; a whole number of blocks.
        left, top = math.floor(min(across)) - 4 * factor, math.floor(min(down)) - 4 * factor
        width, height = (math.ceil(math.ceil(max(v) - min(v)) / factor) + 9 for v in (across, down))
        image = _reduced(image, factor, (left, top), (width, height))
        corner_x, corner_y, ratio = (corner_x - left) / factor, (corner_y - top) / factor, ratio / factor
    finer = 1 if ratio <= 1 else 2
    step = ratio / finer
    turned = image.transform(
        (side * finer, side * finer),
        Pillow.Transform.AFFINE,
        (along_x * step, -along_y * step, corner_x, along_y * step, along_x * step, corner_y),
        Pillow.Resampling.BICUBIC,
    )
    return turned if finer == 1 else turned.reduce(finer)


def _reduced(image: Image.Image, factor: int, corner: tuple[int, int], blocks: tuple[int, int]) -> Image.Image:
    """Averages blocks of pixels from a corner on; black beyond the picture, of which a cut block at the left or top is.

    A large face is not copied for it: that would take as much memory as a large picture does.
    """
    from PIL import Image as Pillow

    (left, top), (width, height) = corner, blocks
    first_x, first_y = max(0, -(left // factor)), max(0, -(top // factor))
    x0, y0 = left + first_x * factor, top + first_y * factor
    x1, y1 = min(image.width, left + width * factor), min(image.height, top + height * factor)
    reduced = Pillow.new("RGB", blocks)
    if x0 < x1 and y0 < y1:
        reduced.paste(image.reduce(factor, (x0, y0, x1, y1)), (first_x, first_y))
    return reduced


def crop_box(image: Image.Image, box: Box, margin: float, eyes: Eyes | None = None) -> Image.Image:
    """Cuts the square around a face, turned about its centre so that the eyes are level where they are far from it.

    Args:
        image: An upright RGB picture.
        box: As :func:`square_around` takes it.
        margin: As in :func:`square_around`.
        eyes: As :func:`tilt` takes them; without them nothing is turned.

    Returns:
        A square RGB picture; that of :func:`crop_square` for a tilt below :data:`LEVEL_FROM`. A turned face may come
        out smaller than its box where that has more than 1,535 pixels a side, margin included.
    """
    if eyes is None or abs(tilt(eyes)) < LEVEL_FROM:
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
    angle = math.radians(tilt(eyes))
    cos, sin, half, centre = math.cos(angle), math.sin(angle), side / 2, reach / factor
    # Where a pixel of the square comes from: turned about the centre.
    x0, y0 = centre - cos * half + sin * half, centre - sin * half - cos * half
    return region.transform(
        (side, side), Pillow.Transform.AFFINE, (cos, -sin, x0, sin, cos, y0), Pillow.Resampling.BILINEAR
    )


def crop_face(image: Image.Image, framing: Framing, side: int, box: Box, eyes: Eyes | None) -> Image.Image:
    """Returns what a classifier is to see of a face.

    Args:
        image: An upright RGB picture.
        framing: The bundle's; for ``image`` the square around the box at :data:`DEFAULT_MARGIN`.
        side: Pixels a side of an ``eyes`` crop: what the processor scales to, so that it has nothing left to scale.
        box: The face in pixels.
        eyes: What :func:`usable_eyes` returned; ``None`` makes ``eyes`` framing fall back to the box.
    """
    distance, line = framing.eye_distance, framing.eye_line
    if eyes is not None and distance is not None and line is not None:
        return crop_eyes(image, eyes, side, eye_distance=distance, eye_line=line)
    return crop_box(image, box, DEFAULT_MARGIN if framing.margin is None else framing.margin, eyes)
