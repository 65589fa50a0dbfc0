"""Trains the network through the stages of the recipe, each from the averaged weights of the one before."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .canvases import Canvases, make
from .config import Recipe, Stage
from .curves import look
from .losses import decode, losses
from .network import Detector
from .sources import Sources, load

__all__ = ["load_network", "save_network", "train"]

SMALL = 320
"""Side in pixels of the canvases of most steps."""

_WEIGHTS = {"face": 1.0, "class": 1.0, "box": 2.5}
_POOL = 30
"""Batches that are kept for being used again."""


def save_network(network: Detector, path: Path) -> None:
    """Writes the weights in half precision."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_file({name: value.contiguous().cpu() for name, value in state.items()}, str(path))


def load_network(recipe: Recipe, path: Path) -> Detector:
    """Reads weights that :func:`save_network` wrote."""
    network = Detector(recipe.shape)
    network.load_state_dict({name: value.float() for name, value in load_file(str(path)).items()}, strict=True)
    return network.eval()


def train(
    recipe: Recipe, cache: Path, stage: Stage, start: Path | None, out: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Does one stage.

    Args:
        recipe: The recipe that it belongs to.
        cache: Folder with the pool, and ``hard.json`` for a refined stage.
        stage: What to do.
        start: Weights to begin with; ``None`` for random ones.
        out: The file that receives the averaged weights.
        say: Gets a line for every point of the curves.

    Returns:
        The log: the stage and its curves.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(stage.seed)
    sources = load(cache, device, refined=stage.refined)
    network = (Detector(recipe.shape) if start is None else load_network(recipe, start)).to(device)
    network.train(not stage.frozen)
    average = Detector(recipe.shape).to(device).eval()
    average.load_state_dict(network.state_dict())
    optimizer = _optimizer(network, stage.rate)
    batches = _Batches(sources, stage)
    log: dict[str, Any] = {"stage": asdict(stage), "curves": []}
    began = time.monotonic()
    for step in range(stage.steps):
        _set_rate(optimizer, stage, step)
        parts = _update(network, optimizer, batches.next(step), stage.marks)
        _follow(average, network, min(stage.average, 1 - 10 / (step + 21)))
        if (step + 1) % max(1, stage.steps // 20) == 0:
            point = {"step": step + 1, "seconds": round(time.monotonic() - began), "loss": parts}
            point |= look(average, make(sources, stage.batch, SMALL, stage.mix))
            log["curves"].append(point)
            say(f"{stage.name} {json.dumps(point)}")
            save_network(average, out)
    save_network(average, out)
    return log


def _optimizer(network: Detector, rate: float) -> torch.optim.Optimizer:
    kernels = [value for value in network.parameters() if value.dim() == 4]
    others = [value for value in network.parameters() if value.dim() != 4]
    groups = [{"params": kernels, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.99))


def _set_rate(optimizer: torch.optim.Optimizer, stage: Stage, step: int) -> None:
    cosine = 0.012 + 0.988 * (1 + math.cos(math.pi * step / stage.steps)) / 2
    for group in optimizer.param_groups:
        group["lr"] = stage.rate * cosine * min(1, (step + 1) / stage.warmup)


class _Batches:
    """Makes batches, and gives each ``uses`` times."""

    def __init__(self, sources: Sources, stage: Stage) -> None:
        self.sources, self.stage = sources, stage
        self.random = random.Random(stage.seed)
        self.kept: list[Canvases] = []

    def next(self, step: int) -> Canvases:
        if step % self.stage.uses:
            return self.random.choice(self.kept)
        large = self.random.random() < self.stage.large
        side = self.stage.large_side if large else SMALL
        count = (self.stage.large_batch or self.stage.batch // 4) if large else self.stage.batch
        made = make(self.sources, count, side, self.stage.mix)
        if self.stage.uses > 1:
            self.kept = [*self.kept, made][-_POOL:]
        return made


def _update(network: Detector, optimizer: torch.optim.Optimizer, batch: Canvases, marks: float) -> dict[str, float]:
    kind = batch.pixels.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        grids = network(batch.pixels.contiguous(memory_format=torch.channels_last))
    parts = losses(decode(grids), batch)
    weights = _WEIGHTS | {"marks": marks}
    total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 6.0)
    optimizer.step()
    return {name: round(float(value.detach()), 4) for name, value in parts.items()}


@torch.no_grad()
def _follow(average: Detector, network: Detector, kept: float) -> None:
    """Moves the averaged weights, and the statistics of batch normalisation, towards those in training."""
    for own, other in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        own.copy_(own.lerp(other, 1 - kept) if own.is_floating_point() else other)
