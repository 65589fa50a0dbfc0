"""Counts what became of the pictures of a run, and names one picture's outcome in one word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..runtime.labels import FEMALE, MALE
from ..runtime.prediction import MIXED, UNCERTAIN, Prediction, Status
from .words import counted, phrase

__all__ = ["Tally", "outcome"]

_LAST = (MIXED, UNCERTAIN, Status.NO_FACE.value)
_FAILURES = frozenset(status.value for status in Status if status.failed)


@dataclass
class Tally:
    """Counts what became of the pictures of a run.

    Attributes:
        answers: Answered pictures by label, ``mixed``, ``uncertain`` and ``no_face`` among them.
        failures: Pictures that failed, by status.
        held: How many of them an earlier run had answered.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    held: int = 0

    def add(self, prediction: Prediction) -> None:
        """Counts one prediction."""
        self.count(outcome(prediction))

    def count(self, word: str) -> None:
        """Counts one picture by its :func:`outcome`."""
        (self.failures if word in _FAILURES else self.answers)[word] += 1

    @property
    def total(self) -> int:
        """How many pictures were counted."""
        return self.answers.total() + self.failed

    @property
    def failed(self) -> int:
        """How many of them have no answer."""
        return self.failures.total()

    def sentence(self, language: str = "en") -> str:
        """Returns the tally for people: ``12 pictures: 7 women, 4 men, 1 failed (1 unreadable).`` is one."""
        order = [FEMALE, MALE, *sorted(set(self.answers) - {FEMALE, MALE, *_LAST}), *_LAST]
        parts = [counted(language, f"pictures.{one}", self.answers[one]) for one in order if self.answers[one]]
        if self.failed:
            reasons = ", ".join(counted(language, f"failed.{one}", n) for one, n in sorted(self.failures.items()))
            parts.append(counted(language, "pictures.failed", self.failed, reasons=reasons))
        text = counted(language, "pictures", self.total)
        text += f"{phrase(language, 'colon')}{', '.join(parts)}" if parts else ""
        return f"{text}{counted(language, 'pictures.held', self.held)}." if self.held else f"{text}."


def outcome(prediction: Prediction) -> str:
    """Returns the one word for a prediction: its label, else its status."""
    return prediction.label if prediction.label is not None else prediction.status.value
