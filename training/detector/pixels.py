"""The pixels of canvases: a scene, and over it, pixel by pixel, the topmost of the layers that cover it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Layers", "Scene", "compose"]


@dataclass
class Scene:
    """The pictures behind everything, one a canvas (B).

    Attributes:
        to_source: (B, 2, 3) canvas to picture pixels.
        level: (B, 4) of the picture at the reduction used: offset in the atlas, width, height, number of the level.
        size: (B, 2) width and height of the picture itself.
        fill: (B, 3) colour of what lies beyond it.
        filled: (B,) bool; where not, the border of the picture is continued.
    """

    to_source: Tensor
    level: Tensor
    size: Tensor
    fill: Tensor
    filled: Tensor


@dataclass
class Layers:
    """What lies over the scene, L a canvas, the later ones in front.

    Attributes:
        used: (B, L) bool.
        to_source: (B, L, 2, 3) canvas to picture pixels.
        level: (B, L, 4) as in :class:`Scene`.
        region: (B, L, 2, 3) canvas pixels to coordinates in which the layer is the unit circle or the square of side 2.
        oval: (B, L) bool: circle or square.
        softness: (B, L) how steeply the layer ends.
        gain: (B, L) factor on the picture's colours; 0 for a plain colour.
        bias: (B, L, 3) added to them.
    """

    used: Tensor
    to_source: Tensor
    level: Tensor
    region: Tensor
    oval: Tensor
    softness: Tensor
    gain: Tensor
    bias: Tensor


def _affine(maps: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Applies maps (6, ...) to x and y."""
    return maps[0] * x + maps[1] * y + maps[2], maps[3] * x + maps[4] * y + maps[5]


def _distance(maps: Tensor, oval: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """How far out in its region a pixel lies; inside below 1."""
    p, q = _affine(maps, x, y)
    return torch.where(oval, (p * p + q * q).sqrt(), torch.maximum(p.abs(), q.abs()))


def _sample(atlas: Tensor, level: Tensor, maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolates bilinearly in one level of the pictures, continued at the borders; (3, ...) in 0 to 255."""
    offset, width, height, number = level
    scale = torch.exp2(-number.float())
    u, v = _affine(maps, x, y)
    u, v = u * scale - 0.5, v * scale - 0.5
    left, top = u.floor(), v.floor()
    right_share, low_share = u - left, v - top
    columns = [torch.minimum((left.long() + k).clamp(min=0), width - 1) for k in (0, 1)]
    rows = [torch.minimum((top.long() + k).clamp(min=0), height - 1) for k in (0, 1)]
    result = torch.zeros(3, *u.shape, device=u.device)
    for row, vertical in zip(rows, (1 - low_share, low_share), strict=True):
        for column, horizontal in zip(columns, (1 - right_share, right_share), strict=True):
            packed = atlas[offset + row * width + column]  # red, green, blue from the lowest byte on
            channels = torch.stack([packed & 255, (packed >> 8) & 255, (packed >> 16) & 255])
            result += channels.float() * (vertical * horizontal)
    return result


def compose(atlas: Tensor, scene: Scene, layers: Layers, size: int) -> tuple[Tensor, Tensor]:
    """Returns the canvases (B, 3, size, size) in 0 to 255, and which layer is on top of each pixel (-1: none)."""
    batch, count = layers.used.shape
    line = torch.arange(size, device=atlas.device) + 0.5
    x, y = line[None, None], line[None, :, None]
    top = torch.full((batch, size, size), -1, dtype=torch.long, device=atlas.device)
    region = layers.region.flatten(2).permute(2, 0, 1)
    for index in range(count):
        inside = _distance(region[:, :, index, None, None], layers.oval[:, index, None, None], x, y) < 1
        top = torch.where(inside & layers.used[:, index, None, None], index, top)
    maps = scene.to_source.flatten(1).T[:, :, None, None]
    canvas = _sample(atlas, scene.level.T[:, :, None, None], maps, x, y)
    u, v = _affine(maps, x, y)
    beyond = (u < 0) | (v < 0) | (u > scene.size[:, 0, None, None]) | (v > scene.size[:, 1, None, None])
    canvas = torch.where(beyond & scene.filled[:, None, None], scene.fill.T[:, :, None, None], canvas)
    covered = top >= 0
    canvases, rows, columns = covered.nonzero(as_tuple=True)
    chosen = canvases * count + top[covered]
    x, y = line[columns], line[rows]
    oval = layers.oval.flatten()[chosen]
    depth = 1 - _distance(region.flatten(1)[:, chosen], oval, x, y)
    share = (depth * layers.softness.flatten()[chosen] * torch.where(oval, 1.0, 4.0)).clamp(0, 1)
    source = layers.to_source.flatten(2).permute(2, 0, 1).flatten(1)[:, chosen]
    colour = _sample(atlas, layers.level.flatten(0, 1).T[:, chosen], source, x, y)
    colour = colour * layers.gain.flatten()[chosen] + layers.bias.flatten(0, 1).T[:, chosen]
    behind = canvas[:, covered]
    canvas[:, covered] = behind + (colour - behind) * share
    return canvas.transpose(0, 1), top
