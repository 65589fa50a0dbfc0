"""Counts what became of the pictures of a run, and names one picture's outcome in one word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..runtime.labels import display
from ..runtime.prediction import UNCERTAIN, Prediction

__all__ = ["MIXED", "Tally", "outcome"]

MIXED = "mixed"
"""Shown in place of a label when the people of one photograph differ, where that is asked for."""


@dataclass
class Tally:
    """Counts what became of the pictures of a run.

    Attributes:
        mixed: Whether a picture whose people differ counts as :data:`MIXED` instead of its main person's label.
        answers: Classified pictures by label, ``uncertain`` and ``mixed`` among them.
        failures: Pictures that were not classified, by status.
        held: How many of them an earlier run had answered.
    """

    mixed: bool = False
    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    held: int = 0

    def add(self, prediction: Prediction) -> None:
        """Counts one prediction."""
        if prediction.ok:
            self.answers[outcome(prediction, mixed=self.mixed)] += 1
        else:
            self.failures[prediction.status.value] += 1

    @property
    def total(self) -> int:
        """How many pictures were counted."""
        return self.answers.total() + self.failed

    @property
    def failed(self) -> int:
        """How many of them were not classified."""
        return self.failures.total()

    def sentence(self, language: str = "en") -> str:
        """Returns the tally for people, as in ``12 pictures: 7 woman, 4 man, 1 failed (1 unreadable)``."""
        words = _WORDS[language]
        labels = sorted(self.answers, key=lambda label: (label in (UNCERTAIN, MIXED), label))
        parts = [f"{self.answers[label]} {display(label, language)}" for label in labels]
        if self.failed:
            statuses = ", ".join(f"{count} {status}" for status, count in sorted(self.failures.items()))
            parts.append(words.failed.format(count=self.failed, statuses=statuses))
        text = f"{self.total} {words.picture if self.total == 1 else words.pictures}"
        text += f"{words.colon}{', '.join(parts)}" if parts else ""
        return f"{text}{words.held.format(count=self.held)}." if self.held else f"{text}."


def outcome(prediction: Prediction, *, mixed: bool) -> str:
    """Returns the one word for a prediction: its status if it failed, else its label, or :data:`MIXED`.

    People who are ``uncertain`` make no picture mixed: only two different answers do.
    """
    if not prediction.ok:
        return prediction.status.value
    labels = {person.label for person in prediction.people} - {UNCERTAIN}
    return MIXED if mixed and len(labels) > 1 else str(prediction.label)


@dataclass(frozen=True)
class _Words:
    """The words of a tally in one language."""

    picture: str
    pictures: str
    colon: str
    failed: str
    held: str


_WORDS = {
    "en": _Words("picture", "pictures", ": ", "{count} failed ({statuses})", "; {count} of them held already"),
    "fr": _Words("image", "images", " : ", "{count} en échec ({statuses})", " ; dont {count} déjà connues"),
}
