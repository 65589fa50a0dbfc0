"""At which sizes, and in which pieces, the detector looks at a picture.

A face detector sees faces of some sizes: in a group photograph scaled to its input the faces at the back vanish, and at
full size the one at the front no longer fits. So a large picture is looked at twice: whole, and larger in overlapping
tiles.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OVERLAP", "Tile", "fit", "levels", "tiles"]

OVERLAP = 0.2
"""Share of a tile's side that it has in common with its neighbour.

A face up to that size is whole in at least one tile; a larger one is found in the whole picture, where it measures
less by the ratio of the two sizes.
"""

LEAST_STEP = 1.25
"""A second look is worth its cost only if it shows the picture at least so much larger."""


class Tile(NamedTuple):
    """One piece of a picture in pixels; the sides that are marked lie inside the picture and may cut a face."""

    left: int
    top: int
    right: int
    bottom: int
    inner: tuple[bool, bool, bool, bool]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


def fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Returns the size of a picture scaled down, not up, to fit into a box; the ratio of its sides stays.

    Args:
        size: Width and height of the picture.
        box: Width and height of the room there is.
    """
    scale = min(1.0, box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def levels(size: tuple[int, int], tile: tuple[int, int], detect_size: int) -> tuple[tuple[int, int], ...]:
    """Returns the sizes at which a picture is looked at: whole, then larger when it is larger.

    Args:
        size: Width and height of the picture.
        tile: Width and height that the detector takes at once.
        detect_size: Longest side that the larger look has at most.
    """
    whole = fit(size, (min(tile[0], detect_size), min(tile[1], detect_size)))
    large = fit(size, (detect_size, detect_size))
    return (whole, large) if max(large) >= LEAST_STEP * max(whole) else (whole,)


def tiles(size: tuple[int, int], tile: tuple[int, int]) -> tuple[Tile, ...]:
    """Cuts a picture into the fewest pieces of at most the tile's size that overlap by :data:`OVERLAP` or more.

    Args:
        size: Width and height of the picture.
        tile: Width and height of a piece.

    Returns:
        The pieces row by row; together they cover every pixel.
    """
    columns, rows = _spans(size[0], tile[0]), _spans(size[1], tile[1])
    return tuple(
        Tile(x0, y0, x1, y1, (x0 > 0, y0 > 0, x1 < size[0], y1 < size[1])) for y0, y1 in rows for x0, x1 in columns
    )


def _spans(length: int, piece: int) -> list[tuple[int, int]]:
    """Spreads pieces evenly over a length."""
    if length <= piece:
        return [(0, length)]
    step = max(1, piece - round(piece * OVERLAP))
    count = -(-(length - piece) // step) + 1
    starts = [round(i * (length - piece) / (count - 1)) for i in range(count)]
    return [(start, start + piece) for start in starts]
