"""Measures a detector on pictures that it was not trained on: who is not found, what is taken for a face, the eyes.

What concerns the photographs that were counted by hand, and time, is measured by ``benchmarks/faces.py``.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gender_classifier.runtime.faces.detector import Detector, Face

from .prepare import WIDE, is_held_out, read_rows

__all__ = ["evaluate", "table"]

PEOPLE = ("eval_wild", "eval_portraits", "eval_synthetic")
THRESHOLDS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)


@dataclass
class _Set:
    """Best score of each picture, and how far eyes lie from the teacher's, in eye distances."""

    best: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    eyes: list[float] = field(default_factory=list)

    def asdict(self, threshold: float) -> dict[str, Any]:
        best = np.array(self.best)
        return {
            "pictures": len(best),
            "without_a_face": {str(limit): int((best < limit).sum()) for limit in sorted({*THRESHOLDS, threshold})},
            "with_several": sum(count > 1 for count in self.counts),
            "eyes": [round(float(value), 4) for value in np.quantile(self.eyes, (0.5, 0.95))] if self.eyes else None,
        }


def evaluate(data: Path, network: Path, teacher: Path, step: int = 1) -> dict[str, Any]:
    """Measures a detector at its own threshold and at others.

    Args:
        data: Folder with the sets.
        network: The detector's file, with its record.
        teacher: YuNet's file.
        step: Takes every so-many-th picture of the sets with people.

    Returns:
        By set: pictures without a face by threshold, with several, and the distance of the eyes from the teacher's
        (median, 95th percentile). ``empty``: held-out scenes without people in which a face is found, by threshold.
    """
    own = Detector.load(network)
    detector, other = Detector.load(network, threshold=min(THRESHOLDS)), Detector.load(teacher)
    result: dict[str, Any] = {"sha256": own.sha256, "threshold": own.threshold, "sets": {}}
    files = {name: _files(data / name) for name in PEOPLE}
    files[WIDE] = [data / "train2" / row["file"] for row in read_rows(data, "train2") if row["set"] == WIDE]
    for name, paths in files.items():
        group = _Set()
        for path in itertools.islice(paths, 0, None, step):
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            faces = detector.detect(image)
            group.best.append(max((face.score for face in faces), default=0.0))
            group.counts.append(sum(face.score >= own.threshold for face in faces))
            group.eyes += _eye_distances(faces, other.detect(image))
        result["sets"][name] = group.asdict(own.threshold)
    scenes = [data / "scenes" / row["file"] for row in read_rows(data, "scenes") if is_held_out("scenes", row)]
    best = []
    for path in scenes:
        with Image.open(path) as opened:
            best.append(max((face.score for face in detector.detect(opened.convert("RGB"))), default=0.0))
    limits = sorted({*THRESHOLDS, own.threshold})
    found = {str(limit): int((np.array(best) >= limit).sum()) for limit in limits}
    return result | {"empty": {"pictures": len(scenes), "with_a_face": found}}


def table(results: dict[str, Any]) -> str:
    """Returns the figures at the detector's own threshold as a table."""
    own = str(results["threshold"])
    lines = [
        f"At its threshold of {own} (sha256 {results['sha256'][:12]}):",
        "",
        "| pictures | number | without a face found | eyes from YuNet's, median and 95 % of them |",
        "|---|---|---|---|",
    ]
    for name, group in results["sets"].items():
        missed, number = group["without_a_face"][own], group["pictures"]
        middle, most = group["eyes"]
        lines.append(f"| {name} | {number} | {missed} ({missed / number:.1%}) | {middle:.1%}, {most:.1%} |")
    empty = results["empty"]
    lines.append(f"| scenes without people | {empty['pictures']} | {empty['pictures'] - empty['with_a_face'][own]} | |")
    return "\n".join(lines)


def _files(folder: Path) -> list[Path]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return [folder / row["file"] for row in csv.DictReader(file)]


def _eye_distances(faces: tuple[Face, ...], others: tuple[Face, ...]) -> list[float]:
    """Returns how far the eyes of the largest face lie from the teacher's, where both mean the same face."""
    if not (faces and others):
        return []
    own, other = np.array(faces[0].landmarks[:2]), np.array(others[0].landmarks[:2])
    between = float(np.linalg.norm(other[0] - other[1]))
    middle, box = other.mean(axis=0), faces[0].box
    if between < 1 or not (box[0] < middle[0] < box[2] and box[1] < middle[1] < box[3]):
        return []
    return [float(np.linalg.norm(own - other, axis=1).mean()) / between]
