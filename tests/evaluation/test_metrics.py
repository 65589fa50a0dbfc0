"""Metrics against scikit-learn and against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import metrics as reference

from gender_classifier.evaluation.curves import abstention, curves, reliability
from gender_classifier.evaluation.intervals import stratified_weights
from gender_classifier.evaluation.metrics import (
    UNANSWERED,
    Answers,
    average_precision,
    brier,
    calibration_error,
    female_share,
    metrics,
    roc_auc,
)

F, M, U = 0, 1, UNANSWERED


def answers(truth: list[int], probability: list[float], given: list[int] | None = None) -> Answers:
    p = np.array(probability)
    shown = np.where(p >= 0.5, F, M) if given is None else np.array(given)
    return Answers(np.array(truth, dtype=np.int64), p, shown.astype(np.int64))


@pytest.fixture(scope="module")
def random_answers() -> Answers:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 2, 300)
    probability = np.round(np.clip(0.5 + 0.25 * (1 - 2 * truth) + generator.normal(0, 0.25, 300), 0, 1), 2)  # with ties
    return answers(list(truth), list(probability))


def test_figures_worked_out_by_hand() -> None:
    # Five women: four called women, one of these unsure. Three men: one called a woman.
    truth = [F, F, F, F, F, M, M, M]
    probability = [0.9, 0.8, 0.7, 0.55, 0.2, 0.1, 0.3, 0.6]
    given = [F, F, F, U, M, M, M, U]
    figures = metrics(answers(truth, probability, given))
    assert figures["n"] == 8
    assert figures["n_by_class"] == {"female": 5, "male": 3}
    assert figures["confusion"] == {"female": {"female": 4, "male": 1}, "male": {"female": 1, "male": 2}}
    assert figures["accuracy"]["value"] == 6 / 8
    assert figures["recall"]["female"]["value"] == 0.8
    assert figures["recall"]["male"]["value"] == pytest.approx(2 / 3, abs=1e-5)
    assert figures["balanced_accuracy"]["value"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-5)
    assert figures["precision"]["female"]["value"] == 0.8
    assert figures["precision"]["male"]["value"] == pytest.approx(2 / 3, abs=1e-5)
    assert figures["recall_gap"]["value"] == pytest.approx(0.8 - 2 / 3, abs=1e-5)
    point = figures["operating_point"]
    assert point["answered"]["value"] == 6 / 8
    assert point["accuracy"]["value"] == pytest.approx(5 / 6, abs=1e-5)
    assert point["answered_by_class"]["female"]["value"] == 4 / 5
    assert point["precision"]["female"]["value"] == 1.0
    assert point["precision"]["male"]["value"] == pytest.approx(2 / 3, abs=1e-5)


def test_calibration_error_by_hand() -> None:
    # Two bins: 0.9 twice, one right: |0.5 - 0.9| on half the pictures; 0.6 twice, both right: |1 - 0.6| on the other.
    four = answers([F, M, F, F], [0.9, 0.9, 0.6, 0.6])
    assert calibration_error(four, np.ones((1, 4)))[0] == pytest.approx(0.4)
    # A picture at exactly 1.0 belongs to the last bin.
    assert calibration_error(answers([F], [1.0]), np.ones((1, 1)))[0] == 0.0


def test_figures_equal_scikit_learns(random_answers: Answers) -> None:
    truth = random_answers.truth == F
    figures = metrics(random_answers, resamples=200)
    shown = random_answers.forced == F
    assert figures["accuracy"]["value"] == pytest.approx(reference.accuracy_score(truth, shown), abs=1e-5)
    expected = reference.balanced_accuracy_score(truth, shown)
    assert figures["balanced_accuracy"]["value"] == pytest.approx(expected, abs=1e-5)
    assert figures["precision"]["female"]["value"] == pytest.approx(reference.precision_score(truth, shown), abs=1e-5)
    assert figures["recall"]["male"]["value"] == pytest.approx(reference.recall_score(~truth, ~shown), abs=1e-5)
    expected = reference.brier_score_loss(truth, random_answers.probability)
    assert figures["brier"]["value"] == pytest.approx(expected, abs=1e-5)
    for name in ("accuracy", "balanced_accuracy", "roc_auc", "average_precision", "ece", "brier"):
        assert figures[name]["low"] <= figures[name]["value"] + 0.02
        assert figures[name]["low"] < figures[name]["high"]


def test_resampled_areas_equal_scikit_learns_weighted_ones(random_answers: Answers) -> None:
    weights = stratified_weights(random_answers.truth, resamples=8, seed=5)
    truth = random_answers.truth == F
    expected = {
        "roc": [reference.roc_auc_score(truth, random_answers.probability, sample_weight=row) for row in weights],
        "pr": [
            reference.average_precision_score(truth, random_answers.probability, sample_weight=row) for row in weights
        ],
    }
    assert roc_auc(random_answers, weights) == pytest.approx(expected["roc"])
    assert average_precision(random_answers, weights) == pytest.approx(expected["pr"])


def test_the_same_answers_give_the_same_figures(random_answers: Answers) -> None:
    assert metrics(random_answers) == metrics(random_answers)


def test_one_class_or_none_leaves_figures_open() -> None:
    women = metrics(answers([F, F], [0.9, 0.4]))
    assert women["accuracy"]["value"] == 0.5
    assert women["balanced_accuracy"]["value"] is None
    assert women["roc_auc"]["value"] is None
    assert women["recall"]["male"]["n"] == 0
    nobody = metrics(answers([], []))
    assert nobody["n"] == 0
    assert nobody["accuracy"]["value"] is None
    assert nobody["ece"]["value"] is None
    assert curves(answers([], [])) == {
        "roc": None,
        "pr": None,
        "reliability": {"all": [], "female": [], "male": []},
        "abstention": [],
    }


def test_weights_move_the_brier_score() -> None:
    two = answers([F, M], [0.9, 0.9])
    assert brier(two, np.array([[2.0, 0.0], [0.0, 2.0]])) == pytest.approx([0.01, 0.81])


def test_reliability_counts_every_answer_once(random_answers: Answers) -> None:
    bins = reliability(random_answers)
    assert sum(entry["right"]["n"] for entry in bins["all"]) == len(random_answers)
    assert sum(entry["right"]["n"] for name in ("female", "male") for entry in bins[name]) == len(random_answers)
    confidences = [entry["confidence"] for entry in bins["all"]]
    assert confidences == sorted(confidences)


def test_abstention_answers_the_surest_first() -> None:
    # Twenty pictures, surest first; only the unsure half is wrong.
    truth = [F] * 10 + [M] * 10
    probability = [0.99 - 0.01 * i for i in range(20)]
    points = abstention(answers(truth, probability))
    by_share = {round(point["answered"], 2): point for point in points}
    assert by_share[1.0]["accuracy"] == 0.5
    assert by_share[0.5]["accuracy"] == 1.0
    assert by_share[0.5]["confidence"] == pytest.approx(0.90)
    assert by_share[0.5]["answered_female"] == 1.0
    assert by_share[0.5]["answered_male"] == 0.0
    assert by_share[0.75]["accuracy"] == pytest.approx(10 / 15, abs=1e-5)


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        Answers(np.zeros(2, dtype=np.int64), np.zeros(3), np.zeros(2, dtype=np.int64))


def test_the_share_of_female_takes_rows_that_do_not_sum_to_one() -> None:
    assert female_share(np.array([[0.3, 0.1], [0.9, 0.1]])) == pytest.approx([0.75, 0.9])
