"""The answer for a picture is that of all its people, or that of the one who was asked for."""

from __future__ import annotations

import json

import pytest

from gender_classifier.runtime.prediction import Person, Prediction, Status

SIZE = (1000, 600)


def person(label: str, score: float, box: tuple[float, float, float, float] = (0, 0, 10, 10)) -> Person:
    return Person(box, 0.9, label, score, {"female": score, "male": 1 - score}, label.title())


WOMAN, SECOND, MAN = person("female", 0.99), person("female", 0.9), person("male", 0.95)
UNSURE, UNSURER = person("uncertain", 0.6), person("uncertain", 0.55)


@pytest.mark.parametrize(
    ("people", "label", "score"),
    [
        ((WOMAN,), "female", 0.99),
        ((WOMAN, SECOND), "female", 0.9),
        ((WOMAN, UNSURE), "female", 0.99),
        ((UNSURE, MAN), "male", 0.95),
        ((WOMAN, MAN), "mixed", 0.95),
        ((UNSURE, SECOND, MAN), "mixed", 0.9),
        ((UNSURE,), "uncertain", 0.6),
        ((UNSURE, UNSURER), "uncertain", 0.55),
    ],
)
def test_the_answer_of_several_people(people: tuple[Person, ...], label: str, score: float) -> None:
    prediction = Prediction.from_people("a.jpg", people, size=SIZE, model="m fp32 0")
    assert (prediction.status, prediction.label, prediction.score) == (Status.OK, label, score)
    assert prediction.people == people
    assert (prediction.width, prediction.height, prediction.model) == (1000, 600, "m fp32 0")
    if len(people) == 1:
        assert prediction.probabilities == people[0].probabilities
        assert prediction.raw_label == people[0].raw_label
    else:
        assert prediction.probabilities is prediction.raw_label is None


def test_main_asks_for_one_person_and_keeps_the_others() -> None:
    left, right = person("female", 0.9, (0, 0, 300, 300)), person("male", 0.8, (450, 250, 500, 300))
    far = person("uncertain", 0.6, (900, 0, 910, 10))
    largest = Prediction.from_people("a.jpg", (left, right, far), size=SIZE, main="largest")
    assert (largest.label, largest.score, largest.raw_label) == ("female", 0.9, "Female")
    assert largest.people == (left, right, far)
    central = Prediction.from_people("a.jpg", (left, far, right), size=SIZE, main="central")
    assert (central.label, central.probabilities) == ("male", right.probabilities)
    assert central.people == (right, left, far)


def test_no_people_is_an_answer_and_not_a_failure() -> None:
    prediction = Prediction.from_people("a.jpg", (), size=SIZE)
    assert prediction.status is Status.NO_FACE
    assert prediction.error is prediction.label is prediction.score is None
    assert not prediction.ok
    assert [status.value for status in Status if not status.failed] == ["ok", "no_face"]


def test_asdict_has_the_fields_in_their_order_and_is_json() -> None:
    for prediction in (
        Prediction.from_people("a.jpg", (WOMAN, MAN), size=SIZE),
        Prediction.failed("a.jpg", Status.UNREADABLE, "It is broken.", model="m fp32 0"),
    ):
        data = prediction.asdict()
        assert list(data) == list(prediction.__dict__)
        assert json.loads(json.dumps(data)) == data
