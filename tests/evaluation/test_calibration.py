"""Temperature and thresholds: found again where they are known, written without touching anything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from gender_classifier.evaluation.calibration import (
    TEMPERATURES,
    fit,
    fit_temperature,
    fit_threshold,
    rescale,
    write_decision,
)
from gender_classifier.evaluation.errors import LabelsError
from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.bundle.manifest import Decision, Manifest
from gender_classifier.runtime.decision import probabilities as runtime_probabilities
from support import TinyModel, tiny_bundle

Floats = npt.NDArray[np.float64]


def known(temperature: float, n: int = 20000, seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Probabilities at temperature 1 of a model whose logits are ``temperature`` times too large, and the truth."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (n, 2))
    odds = logits[:, 0] - logits[:, 1]
    truth = (generator.random(n) >= 1 / (1 + np.exp(-odds))).astype(np.int64)
    return runtime_probabilities((temperature * logits).astype(np.float32), "softmax"), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    probabilities, truth = known(temperature)
    found = fit_temperature(probabilities, truth, "softmax", 1.0, np.ones(len(truth)))
    assert found == pytest.approx(temperature, rel=0.05)


def test_the_bundles_present_temperature_is_taken_into_account() -> None:
    probabilities, truth = known(3.0)
    now = rescale(probabilities, "softmax", 1.0, 2.0)  # what a bundle with temperature 2 answers
    assert fit_temperature(now, truth, "softmax", 2.0, np.ones(len(truth))) == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "single_logit"])
def test_rescaling_equals_what_the_runtime_would_answer(activation: str) -> None:
    width = 1 if activation == "single_logit" else 2
    logits = np.random.default_rng(2).normal(0, 5, (50, width)).astype(np.float32)
    before = runtime_probabilities(logits, activation, 1.5)  # type: ignore[arg-type]
    after = runtime_probabilities(logits, activation, 0.7)  # type: ignore[arg-type]
    assert rescale(before, activation, 1.5, 0.7) == pytest.approx(after, abs=1e-9)


def test_a_sigmoid_head_has_its_temperature_found() -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 2, 20000)
    logits = generator.normal(0, 2, (20000, 2))
    # Each class by itself: redraw the truth from one of the two, so that both are calibrated against it.
    odds = logits[:, 0]
    truth = (generator.random(20000) >= 1 / (1 + np.exp(-odds))).astype(np.int64)
    both = runtime_probabilities((2 * np.stack([odds, -odds], 1)).astype(np.float32), "sigmoid")
    assert fit_temperature(both, truth, "sigmoid", 1.0, np.ones(20000)) == pytest.approx(2.0, rel=0.05)


def test_a_model_that_is_always_right_is_not_made_infinitely_sure() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]] * 20)
    truth = np.array([0, 1] * 20)
    assert TEMPERATURES[0] <= fit_temperature(probabilities, truth, "softmax", 1.0, np.ones(40)) < 0.2
    # Fitted again and again, as a user might, it ends at the limit and not at zero.
    temperature = 1.0
    for _ in range(4):
        now = rescale(probabilities, "softmax", 1.0, temperature)
        temperature = fit_temperature(now, truth, "softmax", temperature, np.ones(40))
    assert temperature >= TEMPERATURES[0]


def test_labels_the_wrong_way_round_are_suspected() -> None:
    probabilities, truth = known(1.0, 500)
    with pytest.raises(LabelsError, match="wrong way round"):
        fit_temperature(probabilities, 1 - truth, "softmax", 1.0, np.ones(500))


def test_the_lowest_threshold_that_keeps_the_error() -> None:
    # 100 answers from 0.99 down to 0.51 in steps; wrong are the 41st and everything from the 61st on.
    score = np.linspace(0.99, 0.51, 100)
    wrong = np.zeros(100, dtype=bool)
    wrong[40] = True
    wrong[60:] = True
    # At 5 %: k answers hold 1 + (k - 60) wrong ones; (k - 59) / k <= 0.05 up to k = 62 (3 / 62 = 4.8 %).
    threshold = fit_threshold(score, wrong, [np.ones(100)], 0.05, "female")
    assert (score >= threshold).sum() == 62
    assert wrong[score >= threshold].mean() <= 0.05


def test_answers_of_the_same_score_stay_together() -> None:
    score = np.array([0.9] * 30 + [0.8] * 30)
    wrong = np.array([False] * 30 + [False] * 15 + [True] * 15)
    threshold = fit_threshold(score, wrong, [np.ones(60)], 0.05, "female")
    assert 0.8 < threshold <= 0.9


def test_everything_may_be_answered_where_nothing_is_wrong() -> None:
    assert fit_threshold(np.linspace(0.51, 0.9, 30), np.zeros(30, dtype=bool), [np.ones(30)], 0.05, "male") == 0.5


def test_no_threshold_is_an_error_not_a_silence() -> None:
    with pytest.raises(LabelsError, match=r"for male below 5%"):
        fit_threshold(np.linspace(0.51, 0.9, 100), np.ones(100, dtype=bool), [np.ones(100)], 0.05, "male")


def test_fit_keeps_wrong_answers_of_either_class_below_the_limit() -> None:
    probabilities, truth = known(2.0, 4000)
    fitted = fit(probabilities, truth, max_error=0.05)
    assert fitted.nll_after < fitted.nll_before
    scaled = rescale(probabilities, "softmax", 1.0, fitted.temperature)
    for k, name in enumerate(("female", "male")):
        given = (scaled.argmax(axis=1) == k) & (scaled[:, k] >= fitted.thresholds[name])
        assert (truth[given] != k).mean() == pytest.approx(fitted.wrong[name])
        assert 0.03 < fitted.wrong[name] <= 0.05


def test_balanced_counts_women_and_men_alike() -> None:
    probabilities, truth = known(1.0, 8000)
    keep = (truth == 1) | (np.arange(8000) % 5 == 0)  # five times fewer women
    plain = fit(probabilities[keep], truth[keep])
    balanced = fit(probabilities[keep], truth[keep], mix="even")
    # Among few women an answer "female" is wrong more often than among as many women as men.
    assert plain.thresholds["female"] > balanced.thresholds["female"] > 0.5
    assert plain.thresholds["male"] < balanced.thresholds["male"]


def test_the_limit_may_hold_for_both_mixes() -> None:
    probabilities, truth = known(1.0, 8000)
    keep = (truth == 1) | (np.arange(8000) % 5 == 0)
    even, both = (fit(probabilities[keep], truth[keep], mix=mix) for mix in ("even", "both"))
    assert both.temperature == even.temperature
    assert both.thresholds["male"] == even.thresholds["male"]  # the stricter of the two where men are many
    assert both.thresholds["female"] > even.thresholds["female"]


def test_both_classes_are_needed() -> None:
    with pytest.raises(LabelsError, match="labelled male"):
        fit(np.array([[0.9, 0.1]]), np.array([0]))


def test_only_the_decision_of_the_manifest_changes(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path, TinyModel(temperature=2.0, thresholds={"female": 0.7}))
    before = json.loads((folder / "bundle.json").read_text())
    decision = Decision(1.25, {"female": 0.6, "male": 0.55}, "forty pictures")
    write_decision(Bundle.open(folder), decision)
    bundle = Bundle.open(folder)
    assert bundle.manifest.decision == decision
    after = Manifest.from_json((folder / "bundle.json").read_text())
    assert after.variants == Manifest.from_json(json.dumps(before)).variants
    assert after.files == Manifest.from_json(json.dumps(before)).files
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json", "config.json", "onnx", "preprocessor_config.json",
    ]  # fmt: skip


def test_a_model_without_a_manifest_keeps_no_rule(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path)
    bundle = Bundle.open(folder)
    (folder / "bundle.json").unlink()
    with pytest.raises(LabelsError, match="models add makes one"):
        write_decision(bundle, Decision(2.0))
    assert not (folder / "bundle.json").exists()


def test_a_write_that_fails_leaves_the_bundle_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_bundle(tmp_path)
    before = (folder / "bundle.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(LabelsError, match="No space left on device"):
        write_decision(Bundle.open(folder), Decision(2.0))
    assert (folder / "bundle.json").read_bytes() == before
    assert len(list(folder.iterdir())) == 4
