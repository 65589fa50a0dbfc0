"""A look at the network in training: how many faces of some canvases it finds, and what it takes for one."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from .canvases import Canvases
from .losses import decode, overlaps, shared_areas
from .network import Detector

__all__ = ["EDGES", "look"]

EDGES = (8, 12, 18, 28, 48, 96, 192, 2000)
"""Bounds in pixels of the sizes by which recall is given."""

_THRESHOLD = 0.7


@torch.no_grad()
def look(network: Detector, canvases: Canvases) -> dict[str, Any]:
    """Returns recall at 0.7 by size, and the share of canvases with a false alarm.

    A face is found by an answer that overlaps it by 0.4; an answer is false where it shares less than a third of its
    area with every face and every unsure box.
    """
    answers = decode(network(canvases.pixels))
    overlap = overlaps(canvases.boxes, answers.boxes)
    sides = (canvases.boxes[..., 2:] - canvases.boxes[..., :2]).amax(-1)
    best = torch.where(overlap > 0.4, answers.scores[:, None], 0.0).amax(-1)
    recall = []
    for low, high in itertools.pairwise(EDGES):
        group = canvases.face & (sides >= low) & (sides < high)
        recall.append(round(float((group & (best > _THRESHOLD)).sum() / group.sum().clamp(min=1)), 3))
    areas = (answers.boxes[..., 2:] - answers.boxes[..., :2]).prod(-1)
    shared = shared_areas(canvases.boxes, answers.boxes) / areas.clamp(min=1e-6)[:, None]
    known = torch.where((canvases.face | canvases.unsure)[..., None], shared, 0.0).amax(1) > 0.3
    false = ((answers.scores > _THRESHOLD) & ~known).any(1)
    return {"recall": recall, "false": round(float(false.float().mean()), 4)}
