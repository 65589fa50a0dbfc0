"""What a camera and a file do to canvases: blur, low resolution, light, colour, noise, JPEG-like blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.augment import round_waves

__all__ = ["spoil"]

LEAST_FACE = 8.0
"""Pixels: smaller faces are not taught; more is asked where the canvas is blurred or coarse."""


def spoil(canvases: Tensor) -> tuple[Tensor, Tensor]:
    """Spoils canvases (B, 3, S, S), whose order must be random: each kind of damage meets its own share of the batch.

    Returns:
        The canvases in 0 to 255, and for each the longer side of a face from which it can be told (B).
    """
    batch, device = len(canvases), canvases.device
    least = torch.full((batch,), LEAST_FACE, device=device)
    share = max(1, batch // 6)
    blurred, sigma = _blur(canvases[:share])
    least[:share] = LEAST_FACE + 4 * sigma
    factor = int(torch.randint(2, 4, ()))
    coarse = _coarse(canvases[share : 2 * share], factor)
    least[share : 2 * share] = 7.0 * factor
    canvases = _light(torch.cat([blurred, coarse, canvases[2 * share :]]))
    share = max(1, batch // 4)
    blocks, step = _blocks(canvases[-share:])
    least[-share:] = torch.maximum(least[-share:], LEAST_FACE + step / 4)
    return torch.cat([canvases[:-share], blocks]).clamp(0, 255), least


def _blur(canvases: Tensor) -> tuple[Tensor, Tensor]:
    """Gaussian blur, half of it along one axis more than the other, as by motion; returns the larger sigma too."""
    batch, _, size, _ = canvases.shape
    device = canvases.device
    across = 0.3 + 2.2 * torch.rand(batch, device=device) ** 1.5
    same = torch.rand(batch, device=device) < 0.5
    along = torch.where(same, across, 0.3 + 2.2 * torch.rand(batch, device=device) ** 2)
    taps = torch.arange(-4, 5, device=device).float()
    flat = canvases.reshape(1, batch * 3, size, size)
    for sigma, vertical in ((across, False), (along, True)):
        kernel = torch.exp(-0.5 * (taps[None] / sigma[:, None]) ** 2)
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
        padding = (0, 0, 4, 4) if vertical else (4, 4, 0, 0)
        padded = functional.pad(flat, padding, mode="replicate")
        flat = functional.conv2d(padded, kernel[..., None] if vertical else kernel[:, :, None], groups=batch * 3)
    return flat.view(batch, 3, size, size), torch.maximum(across, along)


def _coarse(canvases: Tensor, factor: int) -> Tensor:
    size = canvases.shape[-1]
    small = functional.interpolate(canvases, size=(size // factor, size // factor), mode="area")
    return functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)


def _light(canvases: Tensor) -> Tensor:
    """Contrast, brightness, cast and dark pictures (one affine map), gamma, saturation down to grey, noise."""
    batch, device = len(canvases), canvases.device

    def one() -> Tensor:
        return torch.rand(batch, 1, 1, 1, device=device)

    contrast = 0.7 + 0.6 * one()
    offset = 128 - 128 * contrast + (one() - 0.5) * 50
    cast = 1 + (torch.rand(batch, 3, 1, 1, device=device) - 0.5) * 0.2
    dark = torch.where(one() < 0.12, 0.18 + 0.5 * one(), torch.ones((), device=device))
    canvases = torch.addcmul(offset * cast * dark, canvases, contrast * cast * dark).clamp(0.02, 255)
    canvases = (canvases / 255) ** torch.exp((one() - 0.5) * 0.7) * 255
    luma = 0.299 * canvases[:, :1] + 0.587 * canvases[:, 1:2] + 0.114 * canvases[:, 2:]
    saturation = torch.where(one() < 0.14, torch.zeros((), device=device), 0.6 + 0.8 * one())
    canvases = torch.lerp(luma.expand_as(canvases), canvases, saturation)
    return torch.addcmul(canvases, torch.randn_like(canvases), 10 * one() ** 2)


def _blocks(canvases: Tensor) -> tuple[Tensor, Tensor]:
    """JPEG's blocks, coarser for finer detail; returns the step too."""
    line = torch.arange(8.0, device=canvases.device)
    step = torch.exp(torch.rand(len(canvases), device=canvases.device) * math.log(34 / 3) + math.log(3))
    steps = step[:, None, None] * (1 + 0.45 * (line[:, None] + line)) / 2
    return round_waves(canvases - 128, steps) + 128, step
