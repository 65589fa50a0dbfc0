"""The decision rule: a temperature, and per-class thresholds below which the answer is ``uncertain``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data import LABELS

__all__ = ["Decision", "answer_error", "fit_decision", "fit_offset", "fit_temperature", "fit_threshold", "softmax"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEWEST = 30
"""A share of fewer answers than this says nothing."""


@dataclass(frozen=True)
class Decision:
    """What ``decision.json`` holds."""

    temperature: float
    thresholds: dict[str, float]
    provenance: str

    def write(self, path: Path) -> None:
        """Writes the rule as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities (n, k), float64, of logits (n, k) divided by a temperature."""
    z = logits / temperature
    z = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(z / z.sum(1, keepdims=True), np.float64)


def balance(labels: Ints) -> Floats:
    """Weights (n,) that give both classes the same sum, and have mean 1."""
    counts = np.bincount(labels, minlength=2)
    return np.asarray(len(labels) / (2.0 * counts[labels]), np.float64)


def fit_offset(logits: Floats, labels: Ints) -> float:
    """What to add to the first logit so that both classes are recognised equally often.

    A class with few people is learnt by heart and then missed in new pictures, however evenly it was drawn. The offset
    takes that back.

    Args:
        logits: (n, 2).
        labels: (n,), 0 or 1, both present.

    Returns:
        The offset for class 0 against class 1.
    """
    margin = logits[:, 0] - logits[:, 1]
    grid = np.linspace(-3, 3, 601)
    gaps = [float((margin[labels == 0] > -d).mean() - (margin[labels == 1] <= -d).mean()) for d in grid]
    return round(float(grid[int(np.argmin(np.abs(gaps)))]), 2)


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature of least class-balanced log loss.

    Args:
        logits: (n, 2).
        labels: (n,), 0 or 1.

    Returns:
        A temperature between 0.2 and 5, to three digits.
    """
    weights = balance(labels)
    grid = np.exp(np.linspace(np.log(0.2), np.log(5.0), 400))
    rows = np.arange(len(labels))
    losses = []
    for temperature in grid:
        right = softmax(logits, float(temperature))[rows, labels]
        losses.append(float(np.mean(weights * -np.log(np.maximum(right, 1e-12)))))
    return round(float(grid[int(np.argmin(losses))]), 3)


def answer_error(probabilities: Floats, labels: Ints, label: int, threshold: float, weights: Floats) -> float:
    """Share of the answers ``label`` at or above a threshold that are wrong; 0 where there are none."""
    given = (probabilities.argmax(1) == label) & (probabilities[:, label] >= threshold)
    total = float(weights[given].sum())
    return float(weights[given & (labels != label)].sum()) / total if total else 0.0


def fit_threshold(probabilities: Floats, labels: Ints, label: int, limit: float) -> float:
    """The lowest threshold at which at most ``limit`` of the answers of a class are wrong.

    The limit holds for the pictures as they come and for both genders in equal numbers: the first mix flatters the
    answer ``male`` where there are few women, the second flatters the answer ``female``.

    Args:
        probabilities: (n, 2), calibrated.
        labels: (n,), 0 or 1.
        label: The class whose answers are looked at.
        limit: In (0, 1).

    Returns:
        A threshold in [0.5, 1), a whole number of hundredths.
    """
    best = 0.99
    for step in range(99, 49, -1):
        threshold = step / 100
        given = (probabilities.argmax(1) == label) & (probabilities[:, label] >= threshold)
        mixes = (np.ones(len(labels)), balance(labels))
        errors = [answer_error(probabilities, labels, label, threshold, w) for w in mixes]
        if max(errors) > limit and given.sum() >= FEWEST:
            break
        best = threshold
    return best


def fit_decision(logits: Floats, labels: Ints, limit: float, provenance: str) -> Decision:
    """Fits temperature and thresholds on validation logits.

    Args:
        logits: (n, 2).
        labels: (n,), 0 or 1.
        limit: Largest share of wrong answers per class.
        provenance: Which pictures these are.

    Returns:
        The rule.
    """
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits, temperature)
    thresholds = {name: fit_threshold(probabilities, labels, k, limit) for k, name in enumerate(LABELS)}
    return Decision(temperature, thresholds, provenance)
