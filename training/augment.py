"""Draws training views from chips, in batches, on the device that trains.

Each chip is read once, through one sampling grid that holds turn, zoom, shift, squeeze and a smooth warp. The grid also
says where each pixel of the view lies on the face, which is what the masks for hair, collar and background need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.config import Recipe
from training.soft import EYE_DISTANCE, EYE_LINE, SIDE

__all__ = ["Geometry", "Mixing", "Views", "companion", "mixing", "round_waves"]

_FACE = (0.41, 0.54)
"""Half width and height of a face in half sides of its chip."""
_EYES, _MOUTH = -0.23, 0.28
"""Height of eyes and mouth, in half heights of the face from its centre."""


@dataclass(frozen=True)
class Geometry:
    """How each view of a batch strays from its framing; all (n,), float32.

    Attributes:
        turn: Radians.
        scale: Side of the view over that of the framing's square.
        dx, dy: Shift in half sides of the square.
    """

    turn: Tensor
    scale: Tensor
    dx: Tensor
    dy: Tensor

    def undone(self, share: Tensor) -> Geometry:
        """Returns how a camera inside the view has to move to undo a share, (n,) in [0, 1], of the straying."""
        back = torch.exp(-share * torch.log(self.scale).clamp(-0.3, 0.3))
        return Geometry(-share * self.turn, back, -share * self.dx / self.scale, -share * self.dy / self.scale)

    @classmethod
    def none(cls, n: int, device: torch.device) -> Geometry:
        """No straying."""
        zero = torch.zeros(n, device=device)
        return cls(zero, zero + 1, zero, zero)


@dataclass(frozen=True)
class Mixing:
    """How a batch is mixed with itself: ``mask`` (n, 1, 1 or h, 1 or w) of the view, the rest of view ``other``."""

    mask: Tensor
    share: Tensor
    other: Tensor

    def __call__(self, views: Tensor) -> Tensor:
        """Mixes (n, 3, h, w)."""
        return self.mask * views + (1 - self.mask) * views[self.other]

    def values(self, values: Tensor) -> Tensor:
        """Mixes (n,)."""
        return self.share * values + (1 - self.share) * values[self.other]


def companion(views: Tensor, camera: Geometry, framing: tuple[float, float]) -> Tensor:
    """Cuts the CC0 network's view out of a student's.

    Args:
        views: (n, 3, s, s), float32, in [0, 1].
        camera: Where it looks, against the middle of the student's view.
        framing: Distance and height of the eyes in the student's view.

    Returns:
        (n, 3, 32, 32), float32.
    """
    k = framing[0] / EYE_DISTANCE
    down = 2 * ((framing[1] - 0.5) - (EYE_LINE - 0.5) * k)  # its middle lies lower by this many half sides
    sin, cos, size = torch.sin(camera.turn), torch.cos(camera.turn), camera.scale * k
    theta = torch.stack(
        [
            torch.stack([cos * size, -sin * size, camera.dx - down * sin], 1),
            torch.stack([sin * size, cos * size, camera.dy + down * cos], 1),
        ],
        1,
    )
    # Halved first: from there to 32 pixels the ratio is below 1.5, which bilinear reading bears.
    halved = F.avg_pool2d(views, 2)
    grid = F.affine_grid(theta, [len(views), 3, SIDE, SIDE], align_corners=False)
    return F.grid_sample(halved, grid, align_corners=False, padding_mode="border")


def round_waves(pictures: Tensor, steps: Tensor) -> Tensor:
    """Rounds the cosine transform of blocks of 8 x 8, as JPEG does.

    Args:
        pictures: (n, channels, s, s), s a multiple of 8.
        steps: (n, 8, 8), of which each coefficient becomes a multiple.
    """
    n, channels, size, _ = pictures.shape
    k = torch.arange(8.0, device=pictures.device)
    basis = torch.cos(math.pi * (2 * k + 1) * k[:, None] / 16) / 2
    basis[0] /= math.sqrt(2)
    blocks = pictures.view(n, channels, size // 8, 8, size // 8, 8).transpose(3, 4)
    steps = steps[:, None, None, None]
    blocks = basis.T @ ((basis @ blocks @ basis.T / steps).round() * steps) @ basis
    return blocks.transpose(3, 4).reshape(n, channels, size, size)


class Views:
    """Draws views of a pool of chips."""

    def __init__(self, chips: Tensor, recipe: Recipe) -> None:
        """Prepares what does not change between batches.

        Args:
            chips: (n, 3, s, s), uint8, on the device that is to draw.
            recipe: How far to stray, and the size of a view.
        """
        self.chips, self.device = chips, chips.device
        self.config, self.size, self.half = recipe.augment, recipe.resolution, 1 / recipe.faces.wide
        self._eye_distance = recipe.faces.eyes[0]
        self._ramp = torch.linspace(-1, 1, self.size, device=self.device)
        u = torch.arange(8.0, device=self.device)
        # A plain slope stands in for the luminance table: it is what matters that high frequencies go first.
        self._quant = (2 + u[:, None] + u[None, :]) / 255
        self._luma = torch.tensor([0.299, 0.587, 0.114], device=self.device).view(1, 3, 1, 1)

    def rand(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1)."""
        return torch.rand(*shape, device=self.device)

    def randn(self, *shape: int) -> Tensor:
        """Normal draws, cut at 2.2 standard deviations."""
        return torch.randn(*shape, device=self.device).clamp(-2.2, 2.2)

    def chance(self, n: int, probability: float) -> Tensor:
        """(n,) booleans, each true with the given probability."""
        return self.rand(n) < probability

    def plain(self, chosen: Tensor) -> Tensor:
        """The framing's square as the product sees it: (n, 3, size, size), float32, in [0, 1]."""
        theta = torch.zeros(len(chosen), 2, 3, device=self.device)
        theta[:, 0, 0] = theta[:, 1, 1] = self.half
        grid = F.affine_grid(theta, [len(chosen), 3, self.size, self.size], align_corners=False)
        return F.grid_sample(self.chips[chosen].float(), grid, align_corners=False) / 255

    def geometry(self, n: int) -> Geometry:
        """Draws how far off a detector's eyes are, and what is crooked besides."""
        c = self.config
        jitter = torch.where(self.chance(n, c.jittery), c.jitter_more, c.jitter)
        turn = self.randn(n) * jitter * math.sqrt(2) + self.randn(n) * math.radians(c.rotate)
        scale = torch.exp(self.randn(n) * jitter * math.sqrt(2) + self.randn(n) * c.zoom)
        # The middle of two points errs by 0.7 of each; in half sides of the square.
        off = jitter * self._eye_distance * 0.7 * 2
        dx, dy = self.randn(n) * (off + 0.02), self.randn(n) * (off + 0.025)
        box = self.chance(n, c.box)
        return Geometry(
            torch.where(box, self.randn(n) * math.radians(10), turn),
            torch.where(box, torch.exp(self.rand(n) * 0.5 - 0.22), scale),
            torch.where(box, self.randn(n) * 0.1, dx),
            torch.where(box, self.randn(n) * 0.1, dy),
        )

    def __call__(self, chosen: Tensor) -> tuple[Tensor, Tensor, Geometry]:
        """Draws a view of each chosen chip.

        Returns:
            The views before and after they were spoilt, (n, 3, size, size), float32, in [0, 1]; and how they stray.
        """
        geometry = self.geometry(len(chosen))
        grid = self._grid(geometry)
        views = F.grid_sample(self.chips[chosen].float(), grid, align_corners=False) / 255
        good = self._colour(self._cover(views, grid))
        return good, self._spoil(good), geometry

    def _grid(self, g: Geometry) -> Tensor:
        """Where each pixel of a view is read: (n, size, size, 2), in half sides of the chip."""
        c, n = self.config, len(g.turn)
        aspect, shear = torch.exp(self.randn(n) * c.aspect), self.randn(n) * c.shear
        mirror = torch.where(self.chance(n, 0.5), -1.0, 1.0)
        sx, sy = self.half * g.scale * aspect, self.half * g.scale / aspect
        cos, sin = torch.cos(g.turn), torch.sin(g.turn)
        theta = torch.stack(
            [
                torch.stack([cos * sx, (shear * cos - sin) * sy, g.dx * self.half], 1) * mirror[:, None],
                torch.stack([sin * sx, (shear * sin + cos) * sy, g.dy * self.half], 1),
            ],
            1,
        )
        grid = F.affine_grid(theta, [n, 3, self.size, self.size], align_corners=False)
        field = F.interpolate(self.randn(n, 2, 5, 5) * c.warp, grid.shape[1:3], mode="bilinear", align_corners=True)
        return grid + field.permute(0, 2, 3, 1)

    def _cover(self, views: Tensor, grid: Tensor) -> Tensor:
        """Hides background, hair, collar, eyes, mouth, borders: what tells the set or the suit and not the face."""
        c, n = self.config, len(views)
        x, y = grid[..., 0] / _FACE[0], grid[..., 1] / _FACE[1]

        def some(where: Tensor, probability: float) -> Tensor:
            return where & self.chance(n, probability)[:, None, None]

        tilt = self.randn(n, 1, 1) * 0.1
        outside = (x / (0.95 + 0.35 * self.rand(n, 1, 1))) ** 2 + (y / (0.98 + 0.3 * self.rand(n, 1, 1))) ** 2 > 1
        hidden = some(outside, c.background)
        hidden |= some(y + tilt * x < -(0.45 + 0.55 * self.rand(n, 1, 1)), c.hair)
        hidden |= some(y + tilt * x > 0.75 + 0.45 * self.rand(n, 1, 1), c.collar)
        band = ((y - _EYES).abs() < 0.12 + 0.08 * self.rand(n, 1, 1)) & (x.abs() < 0.9)
        field = (y > _MOUTH - 0.1 + 0.2 * self.rand(n, 1, 1)) & (x.abs() < 0.95) & (y < 1.1)
        worn = some(band, c.glasses) | some(field, c.mask)
        # Fills are another picture of the batch, a plain colour (often dark), or noise.
        kind = self.rand(n, 1, 1, 1)
        plain = self.rand(n, 3, 1, 1) * torch.where(self.rand(n, 1, 1, 1) < 0.4, 0.25, 1.0)
        rough = F.interpolate(self.rand(n, 3, 6, 6), views.shape[-2:], mode="bilinear", align_corners=False)
        fill = torch.where(kind < 0.4, views.roll(1, 0).flip(-1), torch.where(kind < 0.75, plain, rough))
        out = torch.where(hidden[:, None], fill, views)
        out = torch.where(worn[:, None], plain, out)
        # A border is a fixed side of the source picture, so it follows turn and warp.
        sides = (self.rand(n, 4) < 0.45) & self.chance(n, c.border)[:, None]
        left, right, top, bottom = torch.where(sides, 0.85 + 0.4 * self.rand(n, 4), 99.0).T[:, :, None, None]
        return out.masked_fill(((-x > left) | (x > right) | (-y > top) | (y > bottom))[:, None], 0.0)

    def _colour(self, out: Tensor) -> Tensor:
        c, n = self.config, len(out)
        grey = (out * self._luma).sum(1, keepdim=True)
        saturation = torch.exp(self.randn(n, 1, 1, 1) * c.colour)
        saturation = saturation.masked_fill(self.chance(n, c.grey).view(-1, 1, 1, 1), 0.0)
        out = grey + (out - grey) * saturation
        gain = torch.exp(self.randn(n, 1, 1, 1) * c.colour * 0.7)
        balance = torch.exp(self.randn(n, 3, 1, 1) * c.colour * 0.22)
        mean = out.mean((1, 2, 3), keepdim=True)
        level = self.randn(n, 1, 1, 1) * c.colour * 0.2
        out = ((out - mean) * gain * balance + mean * balance + level).clamp(1e-3, 1)
        dark = self.chance(n, c.dark).view(-1, 1, 1, 1)
        gamma = torch.exp(self.randn(n, 1, 1, 1) * c.colour * 0.7)
        out = out ** torch.where(dark, gamma * 1.8, gamma)
        # Light from one side, which portraits never have and photographs do.
        tilt = self.randn(n, 2, 1, 1) * c.colour * 0.6
        light = 1 + tilt[:, :1] * self._ramp.view(1, 1, 1, -1) + tilt[:, 1:] * self._ramp.view(1, 1, -1, 1)
        return (out * light.clamp(0.2, 1.8) * torch.where(dark, 0.25 + 0.6 * self.rand(n, 1, 1, 1), 1.0)).clamp(0, 1)

    def _parts(self, n: int, share: float, parts: int) -> tuple[Tensor, ...]:
        """A share of n, drawn, in so many parts: what differs between parts only is drawn once for each."""
        return torch.randperm(n, device=self.device)[: round(n * share)].chunk(parts)

    def _spoil(self, views: Tensor) -> Tensor:
        """Low resolution, blur, JPEG blocks, a rectangle, noise."""
        c, n, size = self.config, len(views), self.size
        out = views.clone()
        for number, part in enumerate(self._parts(n, c.lowres, 6)):
            small = round(14 + (size * 0.8 - 14) * float(torch.rand(())) ** 1.6)
            tiny = F.interpolate(out[part], (small, small), mode="bilinear", antialias=True, align_corners=False)
            way = "bicubic" if number % 2 else "bilinear"
            out[part] = F.interpolate(tiny, (size, size), mode=way, align_corners=False).clamp(0, 1)
        taps = torch.arange(-4.0, 5.0, device=self.device)
        for part in self._parts(n, c.blur, 3):
            kx, ky = (torch.exp(-((taps / (0.4 + 2 * float(torch.rand(())))) ** 2) / 2) for _ in range(2))
            soft = F.pad(out[part], (4, 4, 4, 4), mode="replicate")
            soft = F.conv2d(soft, (kx / kx.sum()).expand(3, 1, 1, 9), groups=3)
            out[part] = F.conv2d(soft, (ky / ky.sum()).view(1, 1, 9, 1).expand(3, 1, 9, 1), groups=3)
        for part in self._parts(n, c.jpeg, 1):
            out[part] = round_waves(out[part], self._quant * (1 + 9 * self.rand(len(part))).view(-1, 1, 1))
        centre, half = self.rand(n, 2, 1, 1) * size, (0.04 + 0.17 * self.rand(n, 2, 1, 1)) * size
        axis = torch.arange(float(size), device=self.device)
        inside = (axis.view(1, 1, -1) - centre[:, 0]).abs() < half[:, 0]
        inside = inside & ((axis.view(1, -1, 1) - centre[:, 1]).abs() < half[:, 1])
        inside &= self.chance(n, c.erase)[:, None, None]
        out = torch.where(inside[:, None], self.rand(n, 3, 1, 1) * (self.rand(n, 1, 1, 1) < 0.7), out)
        grain = self.chance(n, c.noise).view(-1, 1, 1, 1) * 0.08 * self.rand(n, 1, 1, 1)
        return (out + grain * torch.randn_like(out)).clamp(0, 1)


def mixing(n: int, size: int, halves: bool, device: torch.device) -> Mixing:
    """Draws how two faces, both with their eyes at the same places, become one.

    Args:
        n: Views.
        size: Their side.
        halves: One part of the one, the rest of the other, along a line; or both blended all over.
        device: Where.
    """
    other = torch.randperm(n, device=device)
    if not halves:
        concentration = torch.full((n,), 0.4, device=device)
        share = torch.distributions.Beta(concentration, concentration).sample()
        share = torch.maximum(share, 1 - share)
        return Mixing(share.view(-1, 1, 1, 1), share, other)
    ramp = torch.linspace(-1, 1, size, device=device)
    angle = torch.rand(n, 1, 1, device=device) * 2 * math.pi
    along = torch.cos(angle) * ramp.view(1, 1, -1) + torch.sin(angle) * ramp.view(1, -1, 1)
    mask = torch.sigmoid((along + 0.15 + 0.45 * torch.rand(n, 1, 1, device=device)) / 0.06)[:, None]
    edge = size // 8
    return Mixing(mask, mask[:, :, edge:-edge, edge:-edge].mean((1, 2, 3)), other)
