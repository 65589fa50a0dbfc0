"""A checkpoint on the test sets: by gender, age, race and framing, with intervals and abstention."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoModelForImageClassification, ViTImageProcessor

from gender_classifier.runtime.faces.crop import crop_square
from training.augment import normalise
from training.calibrate import softmax
from training.data import LABELS, Row, hash_unit, read_faces
from training.prepare import open_picture
from training.spoil import SPOILERS
from training.validation import predict

__all__ = ["SETS", "age_band", "evaluate", "frame", "logits_of", "summary", "wilson"]

SETS = ("eval_portraits", "eval_wild", "eval_synthetic")
"""The test sets. They are read after a choice is made, never to make one."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_SPOILT = 800
"""Pictures of a set that are spoilt in each way; drawn by hash, the same for every checkpoint."""

SMALLEST_GROUP = 20
"""Groups with fewer pictures are left out of the tables: their intervals would span everything."""


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % Wilson interval of a share, in [0, 1]."""
    if total == 0:
        return 0.0, 1.0
    z = 1.959964
    p = right / total
    middle = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def age_band(age: str) -> str:
    """The band of an age in years; an age in words is its own band."""
    if not age:
        return ""
    if not age.isdigit():
        return age
    bands = ((10, "0-9"), (18, "10-17"), (30, "18-29"), (45, "30-44"), (60, "45-59"))
    return next((name for below, name in bands if int(age) < below), "60+")


def is_adult(age: str) -> bool:
    """Whether an age, in years or in words, is that of an adult; unknown ages count as adult."""
    return int(age) >= 18 if age.isdigit() else age not in {"baby", "child"}


def frame(image: Image.Image, row: Row, framing: str, margin: float) -> Image.Image:
    """What the model sees of a picture: a square around the face (``face``), or all of it (``image``)."""
    if framing == "image":
        return image
    if row.face is None:
        raise ValueError(f"{row.file} has no face box")
    return crop_square(image, row.face, margin)


def logits_of(
    model: Any,
    processor: ViTImageProcessor,
    images: Iterable[Image.Image],
    flip: bool = False,
) -> Floats:
    """Logits through the checkpoint's own processor.

    Args:
        model: A transformers classifier.
        processor: Its processor.
        images: RGB pictures, framed.
        flip: Average with the logits of the mirror image.

    Returns:
        (n, 2), float64.
    """
    size = (processor.size["width"], processor.size["height"])
    # What the processor does, without its checks: bilinear with Pillow, then [-1, 1]; a test compares the two.
    small = [np.asarray(image.resize(size, Image.Resampling.BILINEAR)) for image in images]
    batch = normalise(torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255)
    out = predict(model, batch)
    if flip:
        out = (out + predict(model, batch.flip(-1))) / 2
    return out.numpy().astype(np.float64)


def summary(right: Bools, labels: Ints) -> dict[str, Any]:
    """Recalls of both genders, their mean and their gap, with 95 % intervals (Wilson's; MOVER for the mean).

    Args:
        right: (n,), whether each answer was right.
        labels: (n,), 0 for female and 1 for male.

    Returns:
        Shares in [0, 1] rounded to four digits; a gender without pictures has None.
    """
    out: dict[str, Any] = {"n": len(labels)}
    recalls, below, above = [], 0.0, 0.0
    for k, name in enumerate(LABELS):
        total = int((labels == k).sum())
        good = int(right[labels == k].sum())
        share = good / total if total else None
        out[name] = {
            "n": total,
            "accuracy": None if share is None else round(share, 4),
            "interval": [round(v, 4) for v in wilson(good, total)],
        }
        if share is not None:
            low, high = wilson(good, total)
            recalls.append(share)
            below += (share - low) ** 2
            above += (high - share) ** 2
    if len(recalls) == 2:
        balanced = sum(recalls) / 2
        out["balanced"] = round(balanced, 4)
        # MOVER (Zou and Donner 2008, Statistics in Medicine 27:1693): within [0, 1], and wide even without an error.
        limits = balanced - math.sqrt(below) / 2, balanced + math.sqrt(above) / 2
        out["interval"] = [round(v, 4) for v in limits]
        out["gap"] = round(recalls[0] - recalls[1], 4)
    return out


def groups(rows: Sequence[Row], right: Bools, labels: Ints, key: Callable[[Row], str]) -> dict[str, Any]:
    """One :func:`summary` per value of a key, the largest groups only."""
    names = np.array([key(row) for row in rows])
    found = sorted(set(names.tolist()) - {""})
    return {
        name: summary(right[names == name], labels[names == name])
        for name in found
        if (names == name).sum() >= SMALLEST_GROUP
    }


def abstention(logits: Floats, labels: Ints, decision: dict[str, Any]) -> dict[str, Any]:
    """What the decision rule does: how often it stays silent, and how right the rest is."""
    probabilities = softmax(logits, decision["temperature"])
    answers = probabilities.argmax(1)
    limits = np.array([decision["thresholds"][name] for name in LABELS])
    given = probabilities.max(1) >= limits[answers]
    right = answers == labels
    out: dict[str, Any] = {
        "uncertain": round(float((~given).mean()), 4),
        "right_of_given": round(float(right[given].mean()), 4),
        "interval": [round(v, 4) for v in wilson(int(right[given].sum()), int(given.sum()))],
    }
    for k, name in enumerate(LABELS):
        out[f"uncertain_{name}"] = round(float((~given)[labels == k].mean()), 4)
        out[f"right_of_given_{name}"] = round(float(right[given & (labels == k)].mean()), 4)
        out[f"right_of_answer_{name}"] = round(float(right[given & (answers == k)].mean()), 4)
    return out


def _one_set(
    root: Path, name: str, model: Any, processor: ViTImageProcessor, margin: float, decision: Any
) -> dict[str, Any]:
    # A picture without a face box has no square around the face, and the product answers nothing for it.
    rows = read_faces(root, name)
    labels = np.array([row.label for row in rows])
    pictures = [open_picture(root, row) for row in rows]
    adult = np.array([is_adult(row.age) for row in rows])
    out: dict[str, Any] = {}
    for framing in ("face", "image"):
        views = [frame(p, r, framing, margin) for p, r in zip(pictures, rows, strict=True)]
        logits = logits_of(model, processor, views)
        right = logits.argmax(1) == labels
        part: dict[str, Any] = {
            "all": summary(right, labels),
            "adults": summary(right[adult], labels[adult]),
            "by_age": groups(rows, right, labels, lambda row: age_band(row.age)),
            "by_race": groups(rows, right, labels, lambda row: row.race),
            "by_source": groups(rows, right, labels, lambda row: row.source),
        }
        grown = [row for row, a in zip(rows, adult, strict=True) if a]
        part["adults_by_race"] = groups(grown, right[adult], labels[adult], lambda row: row.race)
        if decision is not None:
            part["abstention_all"] = abstention(logits, labels, decision)
            part["abstention_adults"] = abstention(logits[adult], labels[adult], decision)
        out[framing] = part
        if framing == "face":
            both = logits_of(model, processor, views, flip=True).argmax(1) == labels
            out["face_two_views_adults"] = summary(both[adult], labels[adult])
    out["spoilt_adults"] = {}
    few = sorted(range(len(rows)), key=lambda i: (not adult[i], hash_unit(0, rows[i].sha256)))
    few = few[: min(MOST_SPOILT, int(adult.sum()))]
    for spoiler, spoil in SPOILERS.items():
        views = [spoil(frame(pictures[i], rows[i], "face", margin)) for i in few]
        right = logits_of(model, processor, views).argmax(1) == labels[few]
        out["spoilt_adults"][spoiler] = summary(right, labels[few])
    plain = [frame(pictures[i], rows[i], "face", margin) for i in few]
    out["spoilt_adults"]["none"] = summary(logits_of(model, processor, plain).argmax(1) == labels[few], labels[few])
    return out


def evaluate(root: Path, checkpoint: Path, margin: float) -> dict[str, Any]:
    """Measures a checkpoint on every test set.

    Args:
        root: The data root.
        checkpoint: A folder in transformers' format; ``decision.json`` in it adds the abstention figures.
        margin: Of the square around the face.

    Returns:
        Figures by set, framing and group.
    """
    torch.manual_seed(0)
    model = AutoModelForImageClassification.from_pretrained(checkpoint).eval()
    processor = ViTImageProcessor.from_pretrained(checkpoint)
    rule = checkpoint / "decision.json"
    decision = json.loads(rule.read_text(encoding="utf-8")) if rule.exists() else None
    sets = {name: _one_set(root, name, model, processor, margin, decision) for name in SETS}
    return {"margin": margin, "decision": decision, "sets": sets}
