"""The pool on the device: every picture at six resolutions in one long tensor, and what is known of it in tables."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .prepare import Item

__all__ = ["FACE", "LEVELS", "UNSURE", "Sources", "load"]

LEVELS = 6
"""Resolutions of a picture, each half of the one before."""

MOST_FACES = 112
FACE, UNSURE = 1, 2
_PASTE_LEAST = 22
"""Longer side in pixels from which a face may be pasted elsewhere."""


@dataclass(frozen=True)
class Sources:
    """N pictures, F faces that may be pasted, H places that an earlier network took for faces.

    Attributes:
        atlas: Pixels, packed into int32 with red in the lowest byte, all levels of all pictures one after another.
        levels: (N, LEVELS, 3) offset in the atlas, width, height.
        boxes: (N, MOST_FACES, 4).
        marks: (N, MOST_FACES, 10).
        kinds: (N, MOST_FACES) ``FACE``, ``UNSURE``, or 0 where there is nothing.
        crowded: Pictures with faces; those with many are named several times.
        empty: Pictures in which the teacher saw nothing at all.
        pastes: (F, 2) picture and face.
        alone: (F,) whether the picture holds that one person and can be pasted whole.
        large: Which of the F are large.
        hard: (H, 4) picture, x, y, longer side.
        hard_share: (H,) cumulated weights of these, up to 1.
    """

    atlas: Tensor
    levels: Tensor
    boxes: Tensor
    marks: Tensor
    kinds: Tensor
    crowded: Tensor
    empty: Tensor
    pastes: Tensor
    alone: Tensor
    large: Tensor
    hard: Tensor
    hard_share: Tensor


def load(cache: Path, device: torch.device, *, refined: bool) -> Sources:
    """Loads the pool.

    Args:
        cache: Folder with ``pool.bin`` and ``pool.json``, and ``hard.json`` for a refined stage.
        device: Where to.
        refined: Take boxes below 0.5 for background. They are hands and collars more often than faces; until they were
            background the network learnt nothing about them. Also take what :func:`training.detector.mine.mine` found.
    """
    items = [Item(**item) for item in json.loads((cache / "pool.json").read_text("utf-8"))]
    content = np.memmap(cache / "pool.bin", np.uint8, "r")
    with ThreadPoolExecutor() as workers:
        pictures = list(workers.map(lambda item: _pyramid(content[item.offset :][: item.length]), items))
    levels = np.zeros((len(items), LEVELS, 3), np.int64)
    levels[..., 1:] = [[size for size, _ in picture] for picture in pictures]
    areas = levels[..., 1:].prod(axis=-1).reshape(-1)
    levels[..., 0] = (np.cumsum(areas) - areas).reshape(-1, LEVELS)
    atlas = np.concatenate([pixels for picture in pictures for _, pixels in picture])
    boxes, marks, kinds = _tables(items, refined)
    counts = (kinds == FACE).sum(axis=1)
    crowded = np.flatnonzero((np.array([item.kind for item in items]) != "small") & (counts > 0))
    pastes = [p for i, item in enumerate(items) for p in _pastes(i, item, boxes[i], levels[i, 0, 1:])]
    hard = json.loads((cache / "hard.json").read_text("utf-8")) if refined else []
    spots = np.array(hard or [[0, 0, 0, 1, 1]], np.float32)  # picture, x, y, longer side, score
    weights = np.cumsum(np.clip(spots[:, 4] - 0.3, 0.02, 1))

    def tensor(values: object) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return Sources(
        atlas=tensor(atlas),
        levels=tensor(levels),
        boxes=tensor(boxes),
        marks=tensor(marks),
        kinds=tensor(kinds),
        crowded=tensor(np.repeat(crowded, 1 + np.minimum(3, counts[crowded] // 4))),
        empty=tensor(np.flatnonzero([not item.scores for item in items])),
        pastes=tensor(np.array([(i, k) for i, k, _, _ in pastes])),
        alone=tensor(np.array([alone for *_, alone in pastes])),
        large=tensor(np.flatnonzero([side >= 90 for _, _, side, _ in pastes])),
        hard=tensor(spots[:, :4]),
        hard_share=tensor(weights / weights[-1]),
    )


def _pyramid(content: NDArray[np.uint8]) -> list[tuple[tuple[int, int], NDArray[np.int32]]]:
    image = Image.open(io.BytesIO(content.tobytes())).convert("RGBA")
    result = []
    for _ in range(LEVELS):
        result.append((image.size, np.frombuffer(image.tobytes(), np.int32)))
        image = image.reduce(2) if min(image.size) > 1 else image
    return result


def _tables(items: list[Item], refined: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int8]]:
    boxes = np.zeros((len(items), MOST_FACES, 4), np.float32)
    marks = np.zeros((len(items), MOST_FACES, 10), np.float32)
    kinds = np.zeros((len(items), MOST_FACES), np.int8)
    for i, item in enumerate(items):
        for k, j in enumerate(_surest(item)):
            boxes[i, k], marks[i, k] = item.boxes[j], item.marks[j]
            side, score = max(boxes[i, k, 2:] - boxes[i, k, :2]), item.scores[j]
            unsure = not refined or score >= 0.5 or (side < 18 and score >= 0.4)
            kinds[i, k] = FACE if item.faces[j] else UNSURE if unsure else 0
    return boxes, marks, kinds


def _surest(item: Item) -> list[int]:
    return sorted(range(len(item.scores)), key=lambda j: -item.scores[j])[:MOST_FACES]


def _pastes(
    index: int, item: Item, boxes: NDArray[np.float32], size: NDArray[np.int64]
) -> list[tuple[int, int, float, bool]]:
    """Returns the faces that can be cut out of a picture: large enough, whole, nobody else near."""
    count = len(_surest(item))
    centres = (boxes[:count, :2] + boxes[:count, 2:]) / 2
    widths = boxes[:count, 2] - boxes[:count, 0]
    result = []
    for k, j in enumerate(_surest(item)):
        side = float((boxes[k, 2:] - boxes[k, :2]).max())
        reach = np.array([0.55, 0.6]) * side
        whole = (centres[k] >= reach).all() and (centres[k] + reach <= size).all()
        apart = np.abs(centres - centres[k]).max(axis=1) >= side + widths / 2
        if item.scores[j] >= 0.8 and side >= _PASTE_LEAST and whole and (apart | (np.arange(count) == k)).all():
            result.append((index, k, side, item.kind != "scene"))
    return result
