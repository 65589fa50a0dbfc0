"""Computes the figures of a report from arrays: what was true, what was answered, how sure the model was."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import confusion_matrix

from .intervals import RESAMPLES, Estimate, bootstrap, difference, mean_of, stratified_weights, wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = [
    "BINS",
    "CLASSES",
    "UNANSWERED",
    "Answers",
    "average_precision",
    "brier",
    "by_class",
    "calibration_error",
    "female_share",
    "metrics",
    "roc_auc",
    "share",
]

CLASSES = ("female", "male")
"""The order of classes in every array and table; the score of ROC and PR is that of the first."""
UNANSWERED = -1
"""In :attr:`Answers.given`: the model abstained."""
BINS = 10
"""Bins of confidence between 0.5 and 1 for reliability and calibration error."""


@dataclass(frozen=True)
class Answers:
    """What was true and what was answered for n pictures that the model could read.

    Attributes:
        truth: Index into :data:`CLASSES` of the label, int64 of shape (n,).
        probability: Calibrated probability of ``female`` in [0, 1], float64 of shape (n,).
        given: Index of the answer shown, :data:`UNANSWERED` for ``uncertain``, int64 of shape (n,).
    """

    truth: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float64]
    given: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.truth) == len(self.probability) == len(self.given):
            raise ValueError("truth, probability and given have different lengths")

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def forced(self) -> npt.NDArray[np.int64]:
        """The most probable class of each picture, threshold or not."""
        return np.where(self.probability >= 0.5, 0, 1).astype(np.int64)

    @cached_property
    def confidence(self) -> npt.NDArray[np.float64]:
        """Probability of the most probable class, from 0.5 to 1."""
        return np.maximum(self.probability, 1 - self.probability)

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether the most probable class is the true one."""
        return np.equal(self.forced, self.truth)

    def where(self, mask: npt.NDArray[np.bool_]) -> Answers:
        """Returns the answers for a part of the pictures."""
        return Answers(self.truth[mask], self.probability[mask], self.given[mask])


def female_share(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the probability of ``female`` from those of both classes, (n, 2) -> (n,).

    Sigmoid heads answer for each class by itself, so that the two need not sum to one.
    """
    total = probabilities.sum(axis=1)
    share: npt.NDArray[np.float64] = np.divide(
        probabilities[:, 0], total, out=np.full(len(total), 0.5), where=total > 0
    )
    return share


def metrics(answers: Answers, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Computes every figure for one set of answers.

    Two views stand side by side: with every picture answered by its most probable class (``accuracy``, ``recall``,
    ...), and as the product answers, with ``uncertain`` where no class reaches its threshold (``operating_point``).

    Args:
        answers: The answers; may be empty.
        resamples: Number of bootstrap resamples for the figures that have no closed form.

    Returns:
        Plain JSON types; every estimate as ``{"value", "low", "high", "n"}`` with a 95 % interval.
    """
    truth, forced = answers.truth, answers.forced
    matrix = confusion_matrix(truth, forced, labels=[0, 1]) if len(answers) else np.zeros((2, 2), dtype=int)
    recall = [wilson(int(matrix[k, k]), int(matrix[k].sum())) for k in (0, 1)]
    precision = [wilson(int(matrix[k, k]), int(matrix[:, k].sum())) for k in (0, 1)]
    both = all(matrix[k].sum() for k in (0, 1))
    weights = stratified_weights(truth, resamples=resamples)

    def scored(
        statistic: Callable[[Answers, npt.NDArray[np.float64]], npt.NDArray[np.float64]], *, defined: bool = True
    ) -> dict[str, float | int | None]:
        if not defined:
            return Estimate(None, None, None, len(answers)).asdict()
        return bootstrap(lambda w: statistic(answers, w), weights).asdict()

    return {
        "n": len(answers),
        "n_by_class": {name: int(matrix[k].sum()) for k, name in enumerate(CLASSES)},
        "accuracy": wilson(int(matrix.trace()), len(answers)).asdict(),
        "balanced_accuracy": mean_of(recall).asdict(),
        "recall": by_class(recall),
        "precision": by_class(precision),
        "recall_gap": difference(recall[0], recall[1]).asdict(),
        "confusion": {
            name: {other: int(matrix[i, j]) for j, other in enumerate(CLASSES)} for i, name in enumerate(CLASSES)
        },
        "roc_auc": scored(roc_auc, defined=both),
        "average_precision": scored(average_precision, defined=both),
        "ece": scored(calibration_error),
        "brier": scored(brier),
        "operating_point": operating_point(answers),
    }


def operating_point(answers: Answers) -> dict[str, Any]:
    """What a user sees with the bundle's thresholds: how often there is an answer, and how often it is right."""
    answered = answers.given != UNANSWERED
    right = answered & (answers.given == answers.truth)
    recall = [share(right, answered & (answers.truth == k)) for k in (0, 1)]
    return {
        "answered": wilson(int(answered.sum()), len(answers)).asdict(),
        "answered_by_class": by_class([share(answered, answers.truth == k) for k in (0, 1)]),
        "accuracy": share(right, answered).asdict(),
        "balanced_accuracy": mean_of(recall).asdict(),
        "recall": by_class(recall),
        "precision": by_class([share(right, answers.given == k) for k in (0, 1)]),
    }


def share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> Estimate:
    """Returns which share of the pictures marked in ``whole`` is marked in ``part`` as well; both bool, (n,)."""
    return wilson(int((part & whole).sum()), int(whole.sum()))


def by_class(estimates: list[Estimate]) -> dict[str, dict[str, float | int | None]]:
    """Returns the estimates for both classes as JSON types, by :data:`CLASSES`."""
    return {name: estimate.asdict() for name, estimate in zip(CLASSES, estimates, strict=True)}


def calibration_error(answers: Answers, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Expected calibration error of the most probable class (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Args:
        answers: n answers.
        weights: Weight of each picture in each of B resamples, shape (B, n).

    Returns:
        B values in [0, 0.5]; :data:`BINS` bins of equal width between 0.5 and 1.
    """
    member = np.eye(BINS)[confidence_bin(answers.confidence)]
    gap = np.abs((weights * (answers.right - answers.confidence)) @ member)
    result: npt.NDArray[np.float64] = gap.sum(axis=1) / weights.sum(axis=1)
    return result


def brier(answers: Answers, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean squared difference between the probability of ``female`` and the truth (Brier 1950), B values."""
    squared = (answers.probability - (answers.truth == 0)) ** 2
    result: npt.NDArray[np.float64] = weights @ squared / weights.sum(axis=1)
    return result


def confidence_bin(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns the bin of each confidence, from 0 (0.5) to ``BINS - 1`` (1.0 included)."""
    return np.clip(((confidence - 0.5) * 2 * BINS).astype(np.int64), 0, BINS - 1)


def roc_auc(answers: Answers, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Area under the ROC curve, B values: how often a woman's ``probability`` is above a man's; ties count half."""
    tp, fp = _ladder(answers, weights)
    area = (np.diff(fp, axis=1) * (tp[:, 1:] + tp[:, :-1]) / 2).sum(axis=1)
    result: npt.NDArray[np.float64] = area / (tp[:, -1] * fp[:, -1])
    return result


def average_precision(answers: Answers, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of the precisions at each threshold, weighted by the recall that the threshold adds, B values."""
    tp, fp = _ladder(answers, weights)
    called = tp[:, 1:] + fp[:, 1:]
    precision = np.divide(tp[:, 1:], called, out=np.zeros_like(called), where=called > 0)
    result: npt.NDArray[np.float64] = (np.diff(tp, axis=1) * precision).sum(axis=1) / tp[:, -1]
    return result


def _ladder(
    answers: Answers, weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weighted counts of true and false positives at each distinct threshold, from the highest; shape (B, t + 1)."""
    order = np.argsort(-answers.probability, kind="stable")
    score = answers.probability[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    positive = answers.truth[order] == 0
    sorted_weights = weights[:, order]
    counts = []
    for mask in (positive, ~positive):
        steps = np.cumsum(sorted_weights * mask, axis=1)[:, last]
        counts.append(np.concatenate([np.zeros((len(weights), 1)), steps], axis=1))
    return counts[0], counts[1]
