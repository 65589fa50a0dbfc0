"""The tally of a run, and the one word for a picture."""

from __future__ import annotations

from gender_classifier.gender_cli.tally import MIXED, Tally, outcome
from gender_classifier.runtime.prediction import Person, Prediction, Status

WHOLE = {"female": 0.75, "male": 0.25}


def person(label: str) -> Person:
    return Person(None, None, label, 0.75, WHOLE, "Female")


def test_tally() -> None:
    tally = Tally()
    for label in ("male", "female", "female", "uncertain"):
        tally.add(Prediction.from_people("x", (person(label),)))
    tally.add(Prediction.failed("x", Status.UNREADABLE, ""))
    tally.add(Prediction.failed("x", Status.NOT_FOUND, ""))
    tally.add(Prediction.failed("x", Status.UNREADABLE, ""))
    assert tally.total == 7
    assert tally.failed == 3
    assert tally.sentence() == "7 pictures: 2 woman, 1 man, 1 uncertain, 3 failed (1 not_found, 2 unreadable)."
    assert tally.sentence("fr") == "7 images : 2 femme, 1 homme, 1 incertain, 3 en échec (1 not_found, 2 unreadable)."


def test_mixed_is_two_different_answers() -> None:
    couple = Prediction.from_people("x", (person("female"), person("uncertain"), person("male")))
    unsure = Prediction.from_people("x", (person("female"), person("uncertain")))
    assert outcome(couple, mixed=True) == MIXED
    assert outcome(couple, mixed=False) == "female"
    assert outcome(unsure, mixed=True) == "female"
    assert outcome(Prediction.failed("x", Status.NO_FACE, ""), mixed=True) == "no_face"
