"""McNemar's test against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")

import pandas as pd

from gender_classifier.evaluation.comparison import compare, mcnemar, paired
from gender_classifier.evaluation.labels import ROW
from gender_classifier.evaluation.metrics import Answers
from gender_classifier.evaluation.predict import Outcome


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (1, 5, 2 * (1 + 6) / 64),
        (5, 1, 2 * (1 + 6) / 64),
        (2, 10, 2 * (1 + 12 + 66) / 4096),
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 20, 2 / 2**20),
    ],
)
def test_exact_p_value(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p, rel=1e-12)


def test_thousands_of_pictures_do_not_overflow() -> None:
    assert 0 <= mcnemar(1000, 2000) < 1e-60


def test_counts_and_difference() -> None:
    first = np.array([True] * 6 + [False] * 4)
    second = np.array([True] * 3 + [False] * 5 + [True] * 2)
    result = compare(first, second)
    assert (result["both_right"], result["only_first_right"], result["only_second_right"], result["both_wrong"]) == (
        3,
        3,
        2,
        2,
    )
    assert result["difference"]["value"] == pytest.approx(0.1)
    # Wald, paired: 1.96 * sqrt(5 - 1/10) / 10.
    assert result["difference"]["high"] == pytest.approx(0.1 + 1.959964 * (5 - 0.1) ** 0.5 / 10, abs=1e-5)
    assert result["p_value"] == 1.0


def outcome(paths: list[str], right: list[bool]) -> Outcome:
    truth = np.array([0 if path.startswith("f") else 1 for path in paths])
    given = np.where(right, truth, 1 - truth)
    p = np.where(given == 0, 0.8, 0.2)
    words = np.where(truth == 0, "female", "male")
    return Outcome(pd.DataFrame({ROW: paths, "truth": words}), Answers(truth, p, given), {}, np.stack([p, 1 - p], 1))


def test_models_are_compared_on_the_pictures_both_could_read() -> None:
    first = outcome(["f1", "f2", "m1", "m2"], [True, True, False, True])
    second = outcome(["m2", "f1", "f3", "m1"], [False, False, True, False])
    result = paired(first, second)
    assert result["unpaired"] == 2
    assert result["all"]["n"] == 3
    assert result["all"]["only_first_right"] == 2
    assert result["female"] == {**result["female"], "n": 1, "only_first_right": 1}
    assert result["male"] == {**result["male"], "n": 2, "only_first_right": 1, "both_wrong": 1}
