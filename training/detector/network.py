"""The network: a small backbone, a pyramid of three grids, and YuNet's outputs.

The first layers, where the pixels are, use plain 3 x 3 convolutions, which run faster than depthwise ones at few
channels; from stride 16 on the field of view grows by depthwise 5 x 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["STRIDES", "Detector", "Shape"]

STRIDES = (8, 16, 32)
OUTPUTS = 16
"""Channels of a grid: class, objectness, box (4), five landmarks (10), as YuNet orders them."""


@dataclass(frozen=True)
class Shape:
    """Widths and units. A unit is written ``KIND:CHANNELS``: see :func:`_unit`.

    Attributes:
        stem: Channels of the first convolution, 3 x 3 with stride 2.
        stages: For strides 4, 8, 16 and 32 the units, separated by spaces; the first one halves the grid.
        neck: Channels of the pyramid.
    """

    stem: int
    stages: tuple[str, ...]
    neck: int


def _conv(channels: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _unit(kind: str, channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """``conv``: a plain 3 x 3 convolution; ``sep3``, ``sep5``: depthwise 3 x 3 or 5 x 5, then pointwise."""
    if kind == "conv":
        return nn.Sequential(*_conv(channels, out, 3, stride))
    kernel = int(kind.removeprefix("sep"))
    depthwise = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return nn.Sequential(depthwise, *_conv(channels, out, 1))


class Detector(nn.Module):
    """From BGR pixels, 0 to 255, to three grids (N, 16, H / stride, W / stride) of logits, boxes and landmarks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, shape.stem, 3, 2))
        channels, ends = shape.stem, []
        stages = []
        for units in shape.stages:
            layers = []
            for index, unit in enumerate(units.split()):
                kind, _, out = unit.partition(":")
                layers.append(_unit(kind, channels, int(out), 2 if index == 0 else 1))
                channels = int(out)
            stages.append(nn.Sequential(*layers))
            ends.append(channels)
        self.stages = nn.ModuleList(stages)
        neck = shape.neck
        self.lateral = nn.ModuleList([nn.Sequential(*_conv(end, neck, 1)) for end in ends[1:]])
        self.fuse = nn.ModuleList([_unit("sep3", neck, neck) for _ in range(2)])
        self.head = nn.ModuleList([_unit("sep3", neck, neck) for _ in STRIDES])
        self.out = nn.ModuleList([nn.Conv2d(neck, OUTPUTS, 1) for _ in STRIDES])
        for layer in self.out:
            nn.init.normal_(cast("nn.Conv2d", layer).weight, std=0.01)
            bias = torch.zeros(OUTPUTS)
            bias[:2], bias[4:6] = -4.0, 0.8  # faces are rare; a box of about two cells
            cast("nn.Conv2d", layer).bias = nn.Parameter(bias)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Runs the network on sides that are multiples of 32."""
        grid = self.stages[0](self.stem(pixels))
        grids = []
        for stage, lateral in zip(list(self.stages)[1:], self.lateral, strict=True):
            grid = stage(grid)
            grids.append(lateral(grid))
        for index in (1, 0):
            grids[index] = self.fuse[index](
                grids[index] + functional.interpolate(grids[index + 1], scale_factor=2.0, mode="nearest")
            )
        return [out(head(each)) for out, head, each in zip(self.out, self.head, grids, strict=True)]
