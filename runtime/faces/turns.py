"""Turns a picture by quarters, and what was found in it back: for scans that lie on their side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .yunet import Candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["TURNS", "back", "turned"]

TURNS: Final = (90, 270, 180)
"""Degrees, counterclockwise. Pictures lie on a side far more often than they stand on their head."""


def turned(image: Image.Image, degrees: int) -> Image.Image:
    """Turns a picture counterclockwise by one of :data:`TURNS`, pixel by pixel."""
    from PIL import Image as Pillow

    turns = {
        90: Pillow.Transpose.ROTATE_90,
        180: Pillow.Transpose.ROTATE_180,
        270: Pillow.Transpose.ROTATE_270,
    }
    return image.transpose(turns[degrees])


def back(found: Candidates, degrees: int, size: tuple[int, int]) -> Candidates:
    """Says where in a picture lies what was found after :func:`turned`.

    Args:
        found: In pixels of the turned picture.
        degrees: As it was turned.
        size: Width and height of the picture before.

    Returns:
        The same candidates in pixels of the picture before; the landmarks keep their order.
    """
    corners = _back(found.boxes.reshape(-1, 2, 2), degrees, size)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Candidates(boxes, found.scores, _back(found.landmarks, degrees, size))


def _back(points: NDArray[np.float32], degrees: int, size: tuple[int, int]) -> NDArray[np.float32]:
    width, height = np.float32(size[0]), np.float32(size[1])
    x, y = points[..., 0], points[..., 1]
    moved = {90: (width - y, x), 180: (width - x, height - y), 270: (y, height - x)}
    return np.stack(moved[degrees], axis=-1)
