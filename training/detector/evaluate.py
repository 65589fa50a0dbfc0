"""Measures a detector on pictures that it was not trained on: who is not found, what is taken for a face, the eyes.

What concerns the photographs that were counted by hand, and time, is measured by ``benchmarks/faces.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gender_classifier.runtime.faces.detector import Detector, Face

from .prepare import WIDE, is_held_out, read_rows

__all__ = ["evaluate", "table"]

PEOPLE = ("eval_wild", "eval_portraits", "eval_synthetic")


def evaluate(data: Path, network: Path, teacher: Path, step: int = 1) -> dict[str, Any]:
    """Measures a detector at its own threshold.

    Args:
        data: Folder with the sets.
        network: The detector's file, with its record.
        teacher: YuNet's file.
        step: Takes every so-many-th picture of the sets with people.

    Returns:
        By set: pictures without a face, with several, and how far eyes lie from the teacher's, in eye distances
        (median, 95th percentile). ``empty``: the same of held-out scenes without people.
    """
    detector, other = Detector.load(network), Detector.load(teacher)
    files = {name: [data / name / row["file"] for row in read_rows(data, name)] for name in PEOPLE}
    files[WIDE] = [data / "train2" / row["file"] for row in read_rows(data, "train2") if row["set"] == WIDE]
    sets = {}
    for name, paths in files.items():
        counts, eyes = [], []
        for path in paths[::step]:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            faces = detector.detect(image)
            counts.append(len(faces))
            eyes += _eye_distances(faces, other.detect(image))
        sets[name] = {
            "pictures": len(counts),
            "without_a_face": counts.count(0),
            "with_several": sum(count > 1 for count in counts),
            "eyes": [round(float(value), 4) for value in np.quantile(eyes, (0.5, 0.95))],
        }
    empty = 0
    scenes = [data / "scenes" / row["file"] for row in read_rows(data, "scenes") if is_held_out("scenes", row)]
    for path in scenes:
        with Image.open(path) as opened:
            empty += not detector.detect(opened.convert("RGB"))
    return {
        "sha256": detector.sha256,
        "threshold": detector.threshold,
        "sets": sets,
        "empty": {"pictures": len(scenes), "without_a_face": empty},
    }


def table(results: dict[str, Any]) -> str:
    """Returns the figures at the detector's own threshold as a table."""
    lines = [
        f"At its threshold of {results['threshold']} (sha256 {results['sha256'][:12]}):",
        "",
        "| pictures | number | without a face found | eyes from YuNet's, median and 95 % of them |",
        "|---|---|---|---|",
    ]
    for name, group in results["sets"].items():
        missed, number = group["without_a_face"], group["pictures"]
        middle, most = group["eyes"]
        lines.append(f"| {name} | {number} | {missed} ({missed / number:.1%}) | {middle:.1%}, {most:.1%} |")
    empty = results["empty"]
    lines.append(f"| scenes without people | {empty['pictures']} | {empty['without_a_face']} | |")
    return "\n".join(lines)


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
