"""Batched augmentation of wide face crops, in torch and without a data loader.

Each picture is read once, through one sampling grid that holds zoom, rotation, squeeze, shift and a smooth warp. The
grid also says where each output pixel lies on the face, which is what the masks for hair, collar and background need.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.config import Augment

__all__ = ["Augmenter", "mixup", "normalise"]


def normalise(pictures: Tensor) -> Tensor:
    """Maps [0, 1] to [-1, 1], as a processor with mean and std 0.5 does."""
    return pictures * 2 - 1


def mixup(pictures: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blends each picture and its target with another of the batch.

    Args:
        pictures: (n, 3, h, w), float.
        targets: (n, classes), float, rows that sum to 1.
        alpha: Parameter of the beta distribution, > 0.
        generator: Source of randomness.

    Returns:
        Blended pictures and targets, of the same shapes.
    """
    n = len(pictures)
    # Two gamma draws make a beta draw; torch's own Beta takes no generator.
    gamma = torch._standard_gamma(torch.full((2, n), alpha), generator=generator)
    share = (gamma[0] / gamma.sum(0).clamp_min(1e-9)).clamp(0, 1)
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(n, generator=generator)
    s = share.view(-1, 1, 1, 1)
    t = share.view(-1, 1)
    return pictures * s + pictures[other] * (1 - s), targets * t + targets[other] * (1 - t)


def _dct_matrix() -> Tensor:
    k = torch.arange(8, dtype=torch.float32)
    basis = torch.cos(math.pi * (2 * k[None, :] + 1) * k[:, None] / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


class Augmenter:
    """Draws augmented batches from cached crops."""

    def __init__(self, config: Augment, size: int, cache_margin: float, seed: int) -> None:
        """Prepares what does not change between batches.

        Args:
            config: How far to stray.
            size: Side of the output, a multiple of 8.
            cache_margin: Margin of the cached crops around the face box.
            seed: Of the random draws.
        """
        self.config = config
        self.size = size
        self.cache_margin = cache_margin
        self.generator = torch.Generator().manual_seed(seed)
        self._dct = _dct_matrix()
        u = torch.arange(8, dtype=torch.float32)
        # A plain slope stands in for the luminance table: it is what matters that high frequencies go first.
        self._quant = (2 + u[:, None] + u[None, :]) / 255

    def rand(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1)."""
        return torch.rand(*shape, generator=self.generator)

    def randn(self, *shape: int) -> Tensor:
        """Normal draws, cut at two standard deviations."""
        return torch.randn(*shape, generator=self.generator).clamp(-2, 2)

    def chance(self, n: int, probability: float) -> Tensor:
        """(n,) booleans, each true with the given probability."""
        return self.rand(n) < probability

    def grid(self, n: int) -> Tensor:
        """Where each output pixel is read.

        Returns:
            (n, size, size, 2), float32, in half sides of the cached crop: (0, 0) is the centre of the face box.
        """
        c = self.config
        lo, hi = c.margin_narrow
        margin = lo + (hi - lo) * self.rand(n)
        lo, hi = c.margin_wide
        margin = torch.where(self.chance(n, c.wide), lo + (hi - lo) * self.rand(n), margin)
        half = (1 + 2 * margin) / (1 + 2 * self.cache_margin)
        squeeze = torch.exp(self.randn(n) * c.aspect / 2)
        sx, sy = half * squeeze, half / squeeze
        angle = self.randn(n) * math.radians(c.rotate)
        shift = self.randn(n, 2) * c.shift * half[:, None]
        # Whole photographs: the edges lie anywhere between the ears and far beyond the shoulders, mostly further below
        # the chin than above the hair; distances from the centre of the face, in sides of its box.
        whole = self.chance(n, c.whole)
        near = torch.tensor([0.65, 0.65, 0.6, 0.7])
        far = torch.tensor([1.25, 1.25, 1.05, 1.45])
        # One common draw makes wide pictures wide on all sides; one draw per side moves the face off the centre.
        draws = 0.6 * self.rand(n, 1) + 0.4 * self.rand(n, 4)
        left, right, top, bottom = (near + (far - near) * draws).mul(2 / (1 + 2 * self.cache_margin)).T
        sx = torch.where(whole, (left + right) / 2, sx)
        sy = torch.where(whole, (top + bottom) / 2, sy)
        centre = torch.stack([(right - left) / 2, (bottom - top) / 2], 1)
        shift = torch.where(whole[:, None], centre, shift)
        angle = torch.where(whole, angle / 2, angle)
        shear = self.randn(n) * c.shear
        cos, sin = torch.cos(angle), torch.sin(angle)
        sx = torch.where(self.chance(n, 0.5), -sx, sx)
        theta = torch.stack(
            [
                torch.stack([cos * sx, (shear * cos - sin) * sy, shift[:, 0]], 1),
                torch.stack([sin * sx, (shear * sin + cos) * sy, shift[:, 1]], 1),
            ],
            1,
        )
        grid = F.affine_grid(theta, [n, 3, self.size, self.size], align_corners=False)
        if c.warp:
            field = self.randn(n, 2, 5, 5) * c.warp
            field = F.interpolate(field, (self.size, self.size), mode="bilinear", align_corners=True)
            grid = grid + field.permute(0, 2, 3, 1)
        return grid

    def _cover(self, out: Tensor, grid: Tensor, half: Tensor) -> Tensor:
        """Hides background, hair, collar, borders: what tells the set or the suit and not the face."""
        c, n = self.config, len(out)
        x = grid[..., 0] / half[:, 0, None, None]
        y = grid[..., 1] / half[:, 1, None, None]
        oval = (x / (0.95 + 0.35 * self.rand(n, 1, 1))) ** 2 + (y / (0.98 + 0.3 * self.rand(n, 1, 1))) ** 2 > 1
        hidden = oval & self.chance(n, c.background)[:, None, None]
        tilt = self.randn(n, 1, 1) * 0.1
        above = y + tilt * x < -(0.6 + 0.5 * self.rand(n, 1, 1))
        hidden |= above & self.chance(n, c.hair)[:, None, None]
        below = y + tilt * x > 0.9 + 0.35 * self.rand(n, 1, 1)
        hidden |= below & self.chance(n, c.collar)[:, None, None]
        # One third of the fills is another picture of the batch, one third a plain colour, one third noise.
        kind = self.rand(n, 1, 1, 1)
        plain = self.rand(n, 3, 1, 1).expand_as(out)
        rough = F.interpolate(self.rand(n, 3, 6, 6), out.shape[-2:], mode="bilinear")
        other = out.roll(1, 0).flip(-1)
        fill = torch.where(kind < 0.4, other, torch.where(kind < 0.7, plain, rough))
        out = torch.where(hidden[:, None], fill, out)
        # A border is a fixed side of the source picture, so it follows rotation and warp.
        edges = 0.85 + 0.4 * self.rand(n, 4, 1, 1)
        sides = (self.rand(n, 4) < 0.45) & self.chance(n, c.border)[:, None]
        edges = torch.where(sides[:, :, None, None], edges, torch.full_like(edges, 99.0))
        beyond = (-x > edges[:, 0]) | (x > edges[:, 1]) | (-y > edges[:, 2]) | (y > edges[:, 3])
        return out.masked_fill(beyond[:, None], 0.0)

    def _colour(self, out: Tensor) -> Tensor:
        c, n = self.config, len(out)
        grey = (out * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        saturation = torch.exp(self.randn(n, 1, 1, 1) * c.colour)
        saturation = saturation.masked_fill(self.chance(n, c.grey).view(-1, 1, 1, 1), 0.0)
        out = grey + (out - grey) * saturation
        gain = torch.exp(self.randn(n, 1, 1, 1) * c.colour * 0.7)
        balance = torch.exp(self.randn(n, 3, 1, 1) * c.colour * 0.3)
        level = 0.5 + self.randn(n, 1, 1, 1) * c.colour * 0.2
        mean = out.mean((1, 2, 3), keepdim=True)
        out = ((out - mean) * gain * balance + mean * balance + level - 0.5).clamp(0, 1)
        dark = self.chance(n, c.dark).view(-1, 1, 1, 1)
        gamma = torch.exp(self.randn(n, 1, 1, 1) * c.colour * 0.7)
        gamma = torch.where(dark, gamma * 1.8, gamma)
        out = out.clamp_min(1e-3) ** gamma
        # Light from one side, which portraits never have and photographs do.
        ramp = torch.linspace(-1, 1, out.shape[-1])
        tilt = self.randn(n, 2, 1, 1) * c.colour * 0.6
        light = 1 + tilt[:, :1] * ramp.view(1, 1, 1, -1) + tilt[:, 1:] * ramp.view(1, 1, -1, 1)
        out = out * light.clamp(0.2, 1.8)
        return out * torch.where(dark, 0.25 + 0.6 * self.rand(n, 1, 1, 1), torch.ones(1))

    def _soften(self, out: Tensor) -> Tensor:
        """Low resolution, blur and JPEG blocks, each on a random part of the batch."""
        c, n, size = self.config, len(out), self.size
        order = torch.randperm(n, generator=self.generator)
        count = round(n * c.lowres)
        for part in order[:count].chunk(2):
            if len(part):
                small = round(14 + (size * 0.8 - 14) * float(self.rand(1)) ** 1.5)
                tiny = F.interpolate(out[part], (small, small), mode="bilinear", antialias=True, align_corners=False)
                up = "bicubic" if self.rand(1) < 0.5 else "bilinear"
                out[part] = F.interpolate(tiny, (size, size), mode=up, align_corners=False)
        order = torch.randperm(n, generator=self.generator)
        for part in order[: round(n * c.blur)].chunk(2):
            if len(part):
                sigma = 0.4 + 2.0 * self.rand(2)
                taps = torch.arange(-4.0, 5.0)
                kx = torch.exp(-((taps / sigma[0]) ** 2) / 2)
                ky = torch.exp(-((taps / sigma[1]) ** 2) / 2)
                soft = F.pad(out[part], (4, 4, 4, 4), mode="replicate")
                soft = F.conv2d(soft, (kx / kx.sum()).expand(3, 1, 1, 9), groups=3)
                ky = (ky / ky.sum()).view(1, 1, 9, 1).expand(3, 1, 9, 1)
                out[part] = F.conv2d(soft, ky, groups=3)
        order = torch.randperm(n, generator=self.generator)
        part = order[: round(n * c.jpeg)]
        if len(part):
            out[part] = self._jpeg(out[part])
        return out

    def _jpeg(self, pictures: Tensor) -> Tensor:
        n, ch, size, _ = pictures.shape
        b = size // 8
        blocks = pictures.view(n, ch, b, 8, b, 8).transpose(3, 4)
        strength = (1 + 9 * self.rand(n)).view(-1, 1, 1, 1, 1, 1)
        step = self._quant * strength
        spectrum = self._dct @ blocks @ self._dct.T
        blocks = self._dct.T @ ((spectrum / step).round() * step) @ self._dct
        return blocks.transpose(3, 4).reshape(n, ch, size, size)

    def _erase(self, out: Tensor) -> Tensor:
        """A rectangle somewhere: a hand, a microphone, a mask, sunglasses."""
        c, n, size = self.config, len(out), self.size
        centre = self.rand(n, 2, 1, 1) * size
        half = (0.05 + 0.2 * self.rand(n, 2, 1, 1)) * size
        axis = torch.arange(size, dtype=torch.float32)
        inside = (axis.view(1, 1, -1) - centre[:, 0]).abs() < half[:, 0]
        inside = inside & ((axis.view(1, -1, 1) - centre[:, 1]).abs() < half[:, 1])
        inside &= self.chance(n, c.erase)[:, None, None]
        fill = self.rand(n, 3, 1, 1) * (self.rand(n, 1, 1, 1) < 0.7)
        return torch.where(inside[:, None], fill.expand_as(out), out)

    def __call__(self, crops: Tensor, half: Tensor) -> Tensor:
        """Augments a batch.

        Args:
            crops: (n, 3, h, w), uint8, crops with the cache's margin.
            half: (n, 2), float32, half width and height of each face in half sides of its crop.

        Returns:
            (n, 3, size, size), float32, in [0, 1].
        """
        # Small parts stay in the processor's cache, which makes this memory-bound work twice as fast.
        parts = zip(torch.split(crops, 32), torch.split(half, 32), strict=True)
        return torch.cat([self._part(c, h) for c, h in parts])

    def _part(self, crops: Tensor, half: Tensor) -> Tensor:
        grid = self.grid(len(crops))
        out = F.grid_sample(crops.float(), grid, mode="bilinear", align_corners=False) / 255
        out = self._cover(out, grid, half)
        out = self._colour(out)
        out = self._soften(out.clamp(0, 1))
        out = self._erase(out)
        noisy = self.chance(len(out), self.config.noise).nonzero()[:, 0]
        level = 0.08 * self.rand(len(noisy), 1, 1, 1)
        grain = torch.randn(out[noisy].shape, generator=self.generator)
        out[noisy] += level * grain
        return out.clamp_(0, 1)
