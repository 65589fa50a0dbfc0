"""From logits to an answer: calibrated probabilities, then a label or ``uncertain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .prediction import UNCERTAIN, Box, Eyes, Person

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .bundle.manifest import Decision, Label

__all__ = ["answer", "probabilities"]

Activation = Literal["softmax", "sigmoid", "single_logit"]


def probabilities(logits: NDArray[np.float32], activation: Activation, temperature: float = 1.0) -> NDArray[np.float64]:
    """Turns logits into class probabilities.

    Args:
        logits: (N, classes), or (N, 1) for ``single_logit``.
        activation: ``softmax`` over the classes; ``sigmoid`` for each class by itself (``problem_type`` multi-label:
            rows need not sum to one); ``single_logit``: sigmoid gives the second class, the first is what remains.
        temperature: Logits are divided by it first (temperature scaling, Guo et al. 2017, arXiv 1706.04599).

    Returns:
        (N, classes) float64 in [0, 1].
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if activation == "softmax":
        with np.errstate(invalid="ignore"):  # inf - inf: that answer is not a number, as the caller will see
            shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)
    sigmoid = _sigmoid(scaled)
    if activation == "sigmoid":
        return sigmoid
    return np.concatenate([1.0 - sigmoid, sigmoid], axis=1)


def answer(
    row: NDArray[np.float64],
    labels: tuple[Label, ...],
    decision: Decision,
    *,
    threshold: float | None = None,
    box: Box | None = None,
    detection_score: float | None = None,
    eyes: Eyes | None = None,
) -> Person:
    """Turns one row of probabilities into an answer.

    The most probable class is shown when its probability reaches its threshold, else ``uncertain``. Precedence:
    ``threshold`` for every class, then the bundle's own for that class, then 0 (always answer). A face whose longer
    side is below the bundle's ``min_face`` is ``uncertain`` whatever its probability: so few pixels do not tell.

    Args:
        row: (classes,) in [0, 1].
        labels: The classes, in the same order.
        decision: The bundle's decision rule.
        threshold: Overrides the bundle's thresholds; in [0, 1].
        box: The face, or ``None`` for the whole picture.
        detection_score: The detector's score, or ``None``.
        eyes: By which the face was framed, or ``None``.
    """
    best = int(row.argmax())
    label = labels[best]
    score = float(row[best])
    limit = decision.thresholds.get(label.meaning, 0.0) if threshold is None else threshold
    tells = box is None or max(box[2] - box[0], box[3] - box[1]) >= decision.min_face
    return Person(
        box=box,
        detection_score=detection_score,
        label=label.meaning if tells and score >= limit else UNCERTAIN,
        score=score,
        probabilities={each.meaning: float(value) for each, value in zip(labels, row, strict=True)},
        raw_label=label.raw,
        eyes=eyes,
    )


def _sigmoid(values: NDArray[Any]) -> NDArray[np.float64]:
    # Written with exp of a negative number only, so that large logits do not overflow.
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0 / (1.0 + small), small / (1.0 + small)), dtype=np.float64)
