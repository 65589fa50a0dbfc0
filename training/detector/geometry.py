"""Similarities between canvases and pictures, for batches of them, and what they do to boxes and landmarks."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ellipse_region", "move", "push", "similarity"]

_MIRRORED = [1, 0, 2, 4, 3]
"""The landmarks of a mirrored face: right and left change places."""


def similarity(scale: Tensor, angle: Tensor, mirror: Tensor, stretch: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Returns maps from canvas to picture pixels, (..., 2, 3).

    Args:
        scale: (...) canvas pixels for one of the picture.
        angle: (...) radians, by which the picture is turned.
        mirror: (...) bool.
        stretch: (...) factor on the picture's x.
        source: (..., 2) the point of the picture that comes to lie at ``target``.
        target: (..., 2) in canvas pixels.
    """
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    side = torch.where(mirror, -1.0, 1.0) * stretch
    linear = torch.stack([torch.stack([side * cos, side * sin], -1), torch.stack([-sin, cos], -1)], -2)
    shift = source - (linear @ target[..., None])[..., 0]
    return torch.cat([linear, shift[..., None]], -1)


def push(to_source: Tensor, points: Tensor) -> Tensor:
    """Moves points (..., K, 2) of the picture to the canvas."""
    return (points - to_source[..., None, :, 2]) @ torch.linalg.inv(to_source[..., :2]).transpose(-1, -2)


def move(to_source: Tensor, boxes: Tensor, marks: Tensor, mirror: Tensor) -> tuple[Tensor, Tensor]:
    """Moves boxes (..., K, 4) and landmarks (..., K, 10) to the canvas.

    A box turns as the ellipse in it does: the box around a turned face, not around its turned box.
    """
    centres = push(to_source, (boxes[..., :2] + boxes[..., 2:]) / 2)
    half = (boxes[..., 2:] - boxes[..., :2]) / 2
    linear = torch.linalg.inv(to_source[..., :2])[..., None, :, :]
    half = ((linear[..., 0] * half[..., :1]) ** 2 + (linear[..., 1] * half[..., 1:]) ** 2).sqrt()
    points = push(to_source[..., None, :, :], marks.unflatten(-1, (5, 2)))
    points = torch.where(mirror[..., None, None, None], points[..., _MIRRORED, :], points)
    return torch.cat([centres - half, centres + half], -1), points.flatten(-2)


def ellipse_region(centre: Tensor, radius_x: Tensor, radius_y: Tensor, angle: Tensor) -> Tensor:
    """Returns maps (..., 2, 3) from canvas pixels to coordinates in which a turned ellipse is the unit circle."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    linear = torch.stack(
        [torch.stack([cos / radius_x, sin / radius_x], -1), torch.stack([-sin / radius_y, cos / radius_y], -1)], -2
    )
    return torch.cat([linear, -(linear @ centre[..., None])], -1)
