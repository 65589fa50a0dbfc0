"""Finds what a trained network wrongly takes for a face in the pool's own pictures, for the stage that refines it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gender_classifier.runtime.faces import yunet
from gender_classifier.runtime.faces.detector import Detector

from .prepare import Item, shared_areas

__all__ = ["mine"]

_LEAST = 0.35
_KNOWN = 0.25
"""Intersection over union with a box of the teacher (from a score of 0.5) up to which a find is a false alarm."""


def mine(cache: Path, network: Path) -> int:
    """Writes ``hard.json``: picture, x, y, longer side and score of each false alarm; returns how many there are.

    Args:
        cache: Folder with the pool.
        network: The trained network's ONNX file.
    """
    detector = Detector.load(network, threshold=_LEAST)
    content = np.memmap(cache / "pool.bin", np.uint8, "r")
    places: list[tuple[int, float, float, float, float]] = []
    for index, entry in enumerate(json.loads((cache / "pool.json").read_text("utf-8"))):
        item = Item(**entry)
        if item.kind == "small":
            continue
        with Image.open(io.BytesIO(content[item.offset :][: item.length].tobytes())) as opened:
            image = opened.convert("RGB")
        found = _search(detector, image)
        boxes = np.array(item.boxes, np.float32).reshape(-1, 4)[np.array(item.scores) >= 0.5]
        for box, score in zip(found.boxes, found.scores, strict=True):
            if _overlap(box, boxes) <= _KNOWN:
                x, y = ((box[:2] + box[2:]) / 2).tolist()
                places.append((index, x, y, float((box[2:] - box[:2]).max()), float(score)))
    (cache / "hard.json").write_text(json.dumps(places), encoding="utf-8")
    return len(places)


def _search(detector: Detector, image: Image.Image) -> yunet.Candidates:
    parts = []
    for scale in (1.0, 1.9) if max(image.size) < 420 else (1.0, 0.5):
        size = (max(32, round(image.width * scale)), max(32, round(image.height * scale)))
        found = detector.candidates(np.asarray(image.resize(size, Image.Resampling.BILINEAR)))
        parts.append(found.moved((0, 0), (image.width / size[0], image.height / size[1])))
    return yunet.non_maximum_suppression(yunet.Candidates.join(parts), 0.3)


def _overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> float:
    shared = shared_areas(box, boxes)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return float((shared / (areas - shared)).max(initial=0))
