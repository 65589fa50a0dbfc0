"""Probabilities and thresholds, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gender_classifier.runtime.bundle.manifest import Decision, Label
from gender_classifier.runtime.decision import answer, probabilities

LABELS = (Label("F", "female"), Label("M", "male"))


def test_softmax_by_hand():
    row = probabilities(np.array([[math.log(3), 0.0]], np.float32), "softmax")[0]
    assert row == pytest.approx([0.75, 0.25], abs=1e-7)


def test_temperature_divides_the_logits():
    row = probabilities(np.array([[2 * math.log(3), 0.0]], np.float32), "softmax", temperature=2.0)[0]
    assert row == pytest.approx([0.75, 0.25], abs=1e-7)


def test_sigmoid_rates_each_class_by_itself():
    row = probabilities(np.array([[math.log(3), math.log(3)]], np.float32), "sigmoid")[0]
    assert row == pytest.approx([0.75, 0.75], abs=1e-7)


def test_a_single_logit_is_the_second_class():
    row = probabilities(np.array([[math.log(3)]], np.float32), "single_logit")[0]
    assert row == pytest.approx([0.25, 0.75], abs=1e-7)


@given(
    arrays(np.float32, (3, 2), elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from(["softmax", "sigmoid"]),
    st.floats(0.05, 20),
)
def test_probabilities_are_probabilities(logits, activation, temperature):
    rows = probabilities(logits, activation, temperature)
    assert np.isfinite(rows).all()
    assert ((rows >= 0) & (rows <= 1)).all()
    if activation == "softmax":
        assert rows.sum(axis=1) == pytest.approx([1, 1, 1])
        assert (rows.argmax(axis=1) == logits.argmax(axis=1)).all() or len(set(map(tuple, rows))) < 9


@pytest.mark.parametrize(
    ("row", "override", "shown"),
    [
        ([0.80, 0.20], None, "female"),  # at its own threshold
        ([0.79, 0.21], None, "uncertain"),  # just below
        ([0.35, 0.65], None, "male"),  # the other class has another threshold
        ([0.79, 0.21], 0.5, "female"),  # the override wins over the bundle's
        ([0.80, 0.20], 0.9, "uncertain"),
        ([0.51, 0.49], 0.0, "female"),
    ],
)
def test_thresholds_by_class_and_their_override(row, override, shown):
    rule = Decision(thresholds={"female": 0.8, "male": 0.6})
    person = answer(np.array(row), LABELS, rule, threshold=override)
    assert person.label == shown
    assert person.raw_label == ("F" if row[0] > row[1] else "M")  # threshold or not
    assert person.score == max(row)
    assert person.probabilities == {"female": row[0], "male": row[1]}


def test_without_thresholds_there_is_always_an_answer():
    assert answer(np.array([0.5, 0.5]), LABELS, Decision()).label == "female"
