"""Groups, crossings, gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")

import pandas as pd

from gender_classifier.evaluation.errors import LabelsError
from gender_classifier.evaluation.groups import UNKNOWN, by_group
from gender_classifier.evaluation.metrics import Answers

F, M = 0, 1


def crowd(parts: list[dict[str, Any]]) -> tuple[pd.DataFrame, Answers]:
    """Builds answers from counts: per part the columns, the class, how many right, how many wrong."""
    rows, truth, probability = [], [], []
    for part in parts:
        columns = {key: value for key, value in part.items() if key not in ("truth", "right", "wrong")}
        for count, correct in ((part["right"], True), (part["wrong"], False)):
            rows += [columns] * count
            truth += [part["truth"]] * count
            probability += [0.9 if (part["truth"] == F) == correct else 0.1] * count
    p = np.array(probability)
    return pd.DataFrame(rows), Answers(np.array(truth), p, np.where(p >= 0.5, F, M))


CROWD = crowd(
    [
        {"age": "5", "race": "a", "truth": F, "right": 12, "wrong": 18},
        {"age": "7", "race": "b", "truth": M, "right": 30, "wrong": 10},
        {"age": "25", "race": "a", "truth": F, "right": 45, "wrong": 5},
        {"age": "29", "race": "b", "truth": M, "right": 40, "wrong": 10},
        {"age": "70", "race": "", "truth": F, "right": 3, "wrong": 0},
        {"age": "70", "race": "", "truth": M, "right": 2, "wrong": 2},
    ]
)


def test_ages_are_banded_and_counted() -> None:
    groups = by_group(*CROWD, ["age"], resamples=20)["age"]["groups"]
    assert list(groups) == ["0-9", "18-29", "60+"]
    assert [each["n"] for each in groups.values()] == [70, 100, 7]
    assert groups["0-9"]["recall"]["female"]["value"] == 12 / 30
    assert groups["0-9"]["balanced_accuracy"]["value"] == pytest.approx((0.4 + 0.75) / 2)


def test_the_gap_is_that_of_the_extremes_among_groups_large_enough() -> None:
    content = by_group(*CROWD, ["age"], min_group=20, resamples=20)["age"]
    gap = content["gaps"]["balanced_accuracy"]
    assert (gap["best"], gap["worst"]) == ("18-29", "0-9")
    assert gap["difference"]["value"] == pytest.approx(0.85 - 0.575)
    assert gap["difference"]["low"] > 0
    assert gap["left_out"] == ["60+"]
    # The group that is too small would have been the best for women, and is named as the smallest.
    assert content["groups"]["60+"]["recall"]["female"]["value"] == 1.0
    assert content["gaps"]["recall female"]["best"] == "18-29"
    assert content["smallest"] == {"group": "60+", "n": 7}


def test_a_lower_minimum_lets_the_small_group_in() -> None:
    gap = by_group(*CROWD, ["age"], min_group=3, resamples=20)["age"]["gaps"]["recall female"]
    assert gap["best"] == "60+"
    assert gap["difference"]["value"] == pytest.approx(1.0 - 0.4)
    assert gap["left_out"] == []


def test_crossings_and_what_is_not_labelled() -> None:
    content = by_group(*CROWD, ["age", "race"], resamples=20)
    assert list(content) == ["age", "race", "age x race"]
    crossing = content["age x race"]
    assert list(crossing["groups"]) == ["0-9, a", "0-9, b", "18-29, a", "18-29, b", UNKNOWN]
    assert crossing["groups"]["18-29, b"]["recall"]["male"]["value"] == 0.8
    assert crossing["groups"][UNKNOWN]["n"] == 7
    assert crossing["smallest"] == {"group": "0-9, a", "n": 30}  # what is not labelled is no group
    assert crossing["gaps"]["balanced_accuracy"] is None  # no crossing holds both women and men
    assert crossing["gaps"]["recall female"]["worst"] == "0-9, a"


def test_every_group_adds_up_to_the_whole() -> None:
    for content in by_group(*CROWD, ["age", "race"], resamples=20).values():
        assert sum(each["n"] for each in content["groups"].values()) == 177


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(LabelsError, match=r"'height'.*age, race"):
        by_group(*CROWD, ["height"])
