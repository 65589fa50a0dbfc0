"""Compares two models on the same pictures by McNemar's paired test."""

from __future__ import annotations

from math import comb, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from .intervals import Estimate, Z
from .labels import ROW
from .metrics import CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt

    from .predict import Outcome

__all__ = ["compare", "mcnemar", "paired"]


def mcnemar(only_first: int, only_second: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test (McNemar 1947, Psychometrika 12:153-157).

    Under the null hypothesis each picture that only one of the two gets right is as likely to be the one's as the
    other's, so that the smaller count follows a binomial distribution with probability one half.

    Args:
        only_first: Pictures that only the first model gets right.
        only_second: Pictures that only the second model gets right.
    """
    n = only_first + only_second
    tail = sum(comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**n))


def compare(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Compares which pictures two models get right.

    Args:
        first: Whether the first model is right, bool of shape (n,).
        second: The same for the second model, on the same pictures.

    Returns:
        The four counts, both accuracies, their difference (first - second) with the Wald interval for paired
        proportions, and the exact p-value.
    """
    n = len(first)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    value = (only_first - only_second) / n if n else None
    low = high = None
    if value is not None:
        half = Z * sqrt(only_first + only_second - (only_first - only_second) ** 2 / n) / n
        low, high = max(-1.0, value - half), min(1.0, value + half)
    return {
        "n": n,
        "both_right": int((first & second).sum()),
        "only_first_right": only_first,
        "only_second_right": only_second,
        "both_wrong": int((~first & ~second).sum()),
        "accuracy_first": round(float(first.mean()), 5) if n else None,
        "accuracy_second": round(float(second.mean()), 5) if n else None,
        "difference": Estimate(value, low, high, n).asdict(),
        "p_value": mcnemar(only_first, only_second),
    }


def paired(first: Outcome, second: Outcome) -> dict[str, Any]:
    """Compares two models' answers for one set, on the pictures that both could answer, over all and for each class.

    Returns:
        ``all``, ``female`` and ``male`` as :func:`compare` gives them, and ``unpaired``: how many pictures only one
        of the two models could read, which are left out.
    """
    shared = sorted(set(first.rows[ROW]) & set(second.rows[ROW]))
    right = []
    for outcome in (first, second):
        position = {row: i for i, row in enumerate(outcome.rows[ROW])}
        right.append(outcome.answers.right[[position[row] for row in shared]])
    truth_of = dict(zip(first.rows[ROW], first.rows["truth"], strict=True))
    truth = np.array([truth_of[row] for row in shared])
    parts = {"all": np.ones(len(shared), dtype=bool), **{name: truth == name for name in CLASSES}}
    return {
        **{name: compare(right[0][mask], right[1][mask]) for name, mask in parts.items()},
        "unpaired": len(first.rows) + len(second.rows) - 2 * len(shared),
    }
