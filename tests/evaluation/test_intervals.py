"""Intervals against published and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from gender_classifier.evaluation.intervals import Estimate, bootstrap, difference, mean_of, stratified_weights, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.490162, 0.943318),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (81, 263, 0.255275, 0.366205),  # Newcombe 1998, table I: 0.2553 to 0.3662
    ],
)
def test_wilson_equals_known_values(successes: int, n: int, low: float, high: float) -> None:
    estimate = wilson(successes, n)
    assert estimate.value == successes / n
    assert estimate.low == pytest.approx(low, abs=2e-4)
    assert estimate.high == pytest.approx(high, abs=2e-4)
    assert estimate.n == n


def test_nothing_measured_is_no_value() -> None:
    assert wilson(0, 0) == Estimate(None, None, None, 0)
    assert mean_of([wilson(3, 4), wilson(0, 0)]).value is None
    assert difference(wilson(3, 4), wilson(0, 0)).value is None


def test_difference_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873-890, table II, (a) 56/70 - 48/80, method 10.
    estimate = difference(wilson(56, 70), wilson(48, 80))
    assert estimate.value == pytest.approx(0.2)
    assert (estimate.low, estimate.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert estimate.n == 70


def test_mean_keeps_a_width_where_every_picture_is_right() -> None:
    perfect = mean_of([wilson(20, 20), wilson(50, 50)])
    assert perfect.value == 1.0
    assert perfect.high == 1.0
    # By hand: half the root of (1 - 0.838873)^2 + (1 - 0.928646)^2.
    assert perfect.low == pytest.approx(1 - 0.5 * (0.161127**2 + 0.071354**2) ** 0.5, abs=2e-5)


def test_resamples_keep_the_size_of_each_class_and_are_the_same_each_time() -> None:
    strata = np.array([0, 1, 1, 0, 1])
    weights = stratified_weights(strata, resamples=50, seed=3)
    assert weights.shape == (50, 5)
    assert (weights[:, strata == 0].sum(axis=1) == 2).all()
    assert (weights[:, strata == 1].sum(axis=1) == 3).all()
    assert np.array_equal(weights, stratified_weights(strata, resamples=50, seed=3))
    assert not np.array_equal(weights, stratified_weights(strata, resamples=50, seed=4))


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    weights = stratified_weights(np.zeros(400, dtype=np.int64), resamples=2000)
    estimate = bootstrap(lambda w: w @ values / w.sum(axis=1), weights)
    half = 1.96 * values.std() / 20
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.03)
