"""The tally of a run, and the one word for a picture."""

from __future__ import annotations

from gender_classifier.gender_cli.tally import Tally, outcome
from gender_classifier.runtime.prediction import Person, Prediction, Status

WHOLE = {"female": 0.75, "male": 0.25}


def of(*labels: str) -> Prediction:
    return Prediction.from_people("x", tuple(Person(None, None, label, 0.75, WHOLE, "Female") for label in labels))


def test_tally() -> None:
    tally = Tally()
    for labels in (("male",), ("female",), ("female", "uncertain"), ("uncertain",), ("female", "male"), (), ()):
        tally.add(of(*labels))
    for status in (Status.UNREADABLE, Status.NOT_FOUND, Status.UNREADABLE):
        tally.add(Prediction.failed("x", status, ""))
    assert tally.total == 10
    assert tally.failed == 3
    assert tally.sentence() == (
        "10 pictures: 2 women, 1 man, 1 mixed, 1 uncertain, 2 without a face, 3 failed (1 not found, 2 unreadable)."
    )
    assert tally.sentence("fr") == (
        "10 images : 2 femmes, 1 homme, 1 mixte, 1 incertaine, 2 sans visage, 3 en échec (1 introuvable, 2 illisibles)."
    )


def test_small_numbers_are_grammatical() -> None:
    tally = Tally()
    assert tally.sentence() == "0 pictures."
    assert tally.sentence("fr") == "0 image."
    tally.add(of("male"))
    tally.held = 1
    assert tally.sentence() == "1 picture: 1 man; 1 of them held already."
    assert tally.sentence("fr") == "1 image : 1 homme ; dont 1 déjà connue."


def test_a_bundles_own_labels_are_counted_too() -> None:
    tally = Tally()
    for label in ("cat", "cat", "female"):
        tally.add(of(label))
    assert tally.sentence() == "3 pictures: 1 woman, 2 cat."


def test_outcome_is_the_label_or_the_status() -> None:
    assert outcome(of("female", "uncertain")) == "female"
    assert outcome(of("female", "male")) == "mixed"
    assert outcome(of()) == "no_face"
    assert outcome(Prediction.failed("x", Status.UNREADABLE, "")) == "unreadable"
