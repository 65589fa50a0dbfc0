from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.calibrate import (
    Decision,
    answer_error,
    balance,
    fit_decision,
    fit_offset,
    fit_temperature,
    fit_threshold,
    softmax,
)


def scores(n: int, women: float, sharpness: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    labels = (generator.random(n) >= women).astype(np.int64)
    evidence = generator.normal(2 * labels - 1.0, noise)
    logits = sharpness * np.stack([-evidence, evidence], 1)
    return logits, labels


@pytest.mark.parametrize("women", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("noise", [0.4, 0.8, 1.2])
def test_at_most_five_percent_of_the_answers_are_wrong(women: float, noise: float) -> None:
    logits, labels = scores(4000, women, 3.0, noise)
    rule = fit_decision(logits, labels, 0.05, "made up")
    probabilities = softmax(logits, rule.temperature)
    for k, name in enumerate(("female", "male")):
        threshold = rule.thresholds[name]
        for weights in (np.ones(len(labels)), balance(labels)):
            assert answer_error(probabilities, labels, k, threshold, weights) <= 0.05


def test_threshold_is_no_higher_than_needed() -> None:
    logits, labels = scores(4000, 0.5, 3.0, 0.8)
    probabilities = softmax(logits, fit_temperature(logits, labels))
    threshold = fit_threshold(probabilities, labels, 0, 0.05)
    assert 0.5 < threshold < 0.99
    assert (
        max(
            answer_error(probabilities, labels, 0, threshold - 0.01, weights)
            for weights in (np.ones(len(labels)), balance(labels))
        )
        > 0.05
    )


def test_easy_pictures_need_no_threshold() -> None:
    logits, labels = scores(2000, 0.5, 3.0, 0.2)
    assert fit_decision(logits, labels, 0.05, "").thresholds == {"female": 0.5, "male": 0.5}


def test_temperature_undoes_a_scale() -> None:
    logits, labels = scores(4000, 0.5, 1.0, 0.8)
    plain = fit_temperature(logits, labels)
    assert fit_temperature(logits * 2, labels) == pytest.approx(2 * plain, rel=0.03)


def test_offset_makes_both_recalls_equal() -> None:
    logits, labels = scores(4000, 0.3, 1.0, 0.8)
    logits[:, 0] -= 0.7
    offset = fit_offset(logits, labels)
    assert offset == pytest.approx(0.7, abs=0.15)
    logits[:, 0] += offset
    right = logits.argmax(1) == labels
    assert right[labels == 0].mean() == pytest.approx(right[labels == 1].mean(), abs=0.01)
    assert abs(fit_offset(logits, labels)) <= 0.01


def test_file_has_the_fields_of_the_bundle(tmp_path: Path) -> None:
    Decision(1.5, {"female": 0.6, "male": 0.7}, "validation").write(tmp_path / "decision.json")
    assert json.loads((tmp_path / "decision.json").read_text()) == {
        "temperature": 1.5,
        "thresholds": {"female": 0.6, "male": 0.7},
        "provenance": "validation",
    }
