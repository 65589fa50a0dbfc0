"""Computes the curves of a report: ROC, precision-recall, reliability, accuracy against share answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from .metrics import BINS, CLASSES, confidence_bin, share

if TYPE_CHECKING:
    import numpy.typing as npt

    from .metrics import Answers

__all__ = ["abstention", "curves", "reliability"]

POINTS = 60
"""Points kept of a curve in a report; figures this small show no more."""


def curves(answers: Answers) -> dict[str, Any]:
    """Returns all curves as lists of numbers; ``roc`` and ``pr`` are ``None`` unless both classes are there."""
    both = len(np.unique(answers.truth)) == 2
    return {
        "roc": _roc(answers) if both else None,
        "pr": _pr(answers) if both else None,
        "reliability": reliability(answers),
        "abstention": abstention(answers),
    }


def reliability(answers: Answers) -> dict[str, list[dict[str, Any]]]:
    """Confidence against share right, in bins of confidence, for all answers and for each answer given.

    Returns:
        For ``all``, ``female`` and ``male`` (the most probable class): one entry per bin that is not empty, with the
        mean confidence and the share right with its interval.
    """
    bins = confidence_bin(answers.confidence)
    parts = {"all": np.ones(len(answers), dtype=bool)}
    parts.update({name: answers.forced == k for k, name in enumerate(CLASSES)})
    return {
        name: [_bin(answers, mask & (bins == b)) for b in range(BINS) if (mask & (bins == b)).any()]
        for name, mask in parts.items()
    }


def _bin(answers: Answers, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "confidence": round(float(answers.confidence[mask].mean()), 5),
        "right": share(answers.right, mask).asdict(),
    }


def abstention(answers: Answers) -> list[dict[str, float | int | None]]:
    """Accuracy of the surest answers, against the share of pictures that get one.

    Returns:
        From all pictures answered down to the surest twentieth: ``answered`` (share), ``confidence`` (the lowest among
        them), ``accuracy``, ``balanced_accuracy`` and the share answered of each class.
    """
    order = np.argsort(-answers.confidence, kind="stable")
    truth, right = answers.truth[order], answers.right[order]
    points: list[dict[str, float | int | None]] = []
    for fraction in np.linspace(1.0, 0.05, 39):
        count = max(1, round(fraction * len(answers))) if len(answers) else 0
        if not count:
            break
        recalls = [right[:count][truth[:count] == k].mean() for k in (0, 1) if (truth[:count] == k).any()]
        point: dict[str, float | int | None] = {
            "answered": round(count / len(answers), 5),
            "confidence": round(float(answers.confidence[order[count - 1]]), 5),
            "accuracy": round(float(right[:count].mean()), 5),
            "balanced_accuracy": round(float(np.mean(recalls)), 5) if len(recalls) == 2 else None,
        }
        for k, name in enumerate(CLASSES):
            of_class = int((truth == k).sum())
            point[f"answered_{name}"] = round(float((truth[:count] == k).sum()) / of_class, 5) if of_class else None
        points.append(point)
    return points


def _roc(answers: Answers) -> dict[str, list[float]]:
    fpr, tpr, _ = roc_curve(answers.truth == 0, answers.probability)
    return _thin(false_positive_rate=fpr, true_positive_rate=tpr)


def _pr(answers: Answers) -> dict[str, list[float]]:
    precision, recall, _ = precision_recall_curve(answers.truth == 0, answers.probability)
    return _thin(recall=recall, precision=precision)


def _thin(**axes: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    size = len(next(iter(axes.values())))
    chosen = np.unique(np.linspace(0, size - 1, min(size, POINTS)).round().astype(int))
    return {name: [round(float(value), 4) for value in values[chosen]] for name, values in axes.items()}
