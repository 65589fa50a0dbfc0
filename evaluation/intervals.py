"""Computes confidence intervals: closed forms for proportions, a stratified bootstrap for everything else."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "SEED",
    "Estimate",
    "Z",
    "bootstrap",
    "difference",
    "mean_of",
    "stratified_weights",
    "wilson",
]

CONFIDENCE = 0.95
Z = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
RESAMPLES = 1000
SEED = 20240501
"""Fixed, so that the same answers give the same report, digit by digit."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: The figure; ``None`` when the pictures do not define it (no woman among them, say).
        low: Lower end of the interval, or ``None``.
        high: Upper end of the interval, or ``None``.
        n: What it rests on: the number of pictures in its denominator.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    def asdict(self) -> dict[str, float | int | None]:
        """Returns plain JSON types, rounded to five digits (pictures never justify more)."""
        return {"value": _round(self.value), "low": _round(self.low), "high": _round(self.high), "n": self.n}


def wilson(successes: int, n: int) -> Estimate:
    """Returns a proportion with the Wilson score interval (Wilson 1927, JASA 22:209-212).

    Unlike the normal approximation it stays inside [0, 1] and keeps a width when all or none succeed.

    Args:
        successes: Number of successes, from 0 to ``n``.
        n: Number of trials; 0 gives an estimate without a value.
    """
    if n == 0:
        return Estimate(None, None, None, 0)
    p = successes / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half), n)


def mean_of(parts: Sequence[Estimate]) -> Estimate:
    """Returns the mean of independent proportions, such as balanced accuracy from the recall of each class.

    The interval is the MOVER one (Zou & Donner 2008, Statistics in Medicine 27:1693-1702): the distances from each
    proportion to the ends of its own interval add in quadrature. A bootstrap would give an interval of no width
    wherever a small group holds no error, and so claim the most where the least is known.

    Args:
        parts: The proportions; if one has no value, neither has their mean.
    """
    n = sum(part.n for part in parts)
    if not parts or any(part.value is None for part in parts):
        return Estimate(None, None, None, n)
    k = len(parts)
    value = sum(_known(part.value) for part in parts) / k
    below = sqrt(sum((_known(part.value) - _known(part.low)) ** 2 for part in parts)) / k
    above = sqrt(sum((_known(part.high) - _known(part.value)) ** 2 for part in parts)) / k
    return Estimate(value, max(0.0, value - below), min(1.0, value + above), n)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Returns ``first - second`` for independent proportions, with Newcombe's hybrid score interval.

    Newcombe 1998, Statistics in Medicine 17:873-890, method 10. ``n`` is that of the smaller of the two.
    """
    n = min(first.n, second.n)
    if first.value is None or second.value is None:
        return Estimate(None, None, None, n)
    value = first.value - second.value
    below = sqrt((first.value - _known(first.low)) ** 2 + (_known(second.high) - second.value) ** 2)
    above = sqrt((_known(first.high) - first.value) ** 2 + (second.value - _known(second.low)) ** 2)
    return Estimate(value, max(-1.0, value - below), min(1.0, value + above), n)


def stratified_weights(
    strata: npt.NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = SEED
) -> npt.NDArray[np.float64]:
    """Draws bootstrap resamples as weights: how often each picture occurs in each resample.

    Each stratum (class) keeps its size, so that a small class cannot vanish from a resample.

    Args:
        strata: The stratum of each picture, shape (n,).
        resamples: Number of resamples B.
        seed: Seed of the generator.

    Returns:
        Float64 weights of shape (B, n); every row sums to n.
    """
    generator = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        size = len(members)
        weights[:, members] = generator.multinomial(size, np.full(size, 1 / size), size=resamples)
    return weights


def bootstrap(
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    weights: npt.NDArray[np.float64],
) -> Estimate:
    """Returns a statistic with its percentile interval.

    Args:
        statistic: From weights of shape (B, n) to B values.
        weights: Resamples, as :func:`stratified_weights` draws them.
    """
    n = weights.shape[1]
    if n == 0:
        return Estimate(None, None, None, 0)
    value = float(statistic(np.ones((1, n)))[0])
    if not np.isfinite(value):
        return Estimate(None, None, None, n)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(statistic(weights), [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
