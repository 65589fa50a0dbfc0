"""What the runtime answers: one :class:`Prediction` per input, with a status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["UNCERTAIN", "Box", "Person", "Prediction", "Status"]

UNCERTAIN = "uncertain"
"""The label shown when no class reaches its threshold."""

Box = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)`` in pixels of the upright picture; ``x1`` and ``y1`` are exclusive."""


class Status(str, Enum):
    """What became of one input. Everything but ``OK`` is a failure of that input alone."""

    OK = "ok"
    NOT_FOUND = "not_found"
    PERMISSION_DENIED = "permission_denied"
    NOT_A_FILE = "not_a_file"
    """A folder where a picture was expected, a socket, a FIFO, a device, a symlink loop."""
    UNSUPPORTED_FORMAT = "unsupported_format"
    """No decoder knows these bytes (a text file, say), or the decoder is an extra that is not installed."""
    UNREADABLE = "unreadable"
    """A decoder knows the format, but the file is empty, truncated or broken."""
    TOO_LARGE = "too_large"
    """Over the limit on bytes or on pixels; nothing was decoded."""
    NO_FACE = "no_face"
    """The model wants faces and the detector found none."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Person:
    """One person of a photograph, or the whole picture when no face was looked for.

    Attributes:
        box: The face in pixels of the upright picture, or ``None`` for a whole-picture prediction.
        detection_score: The detector's score in [0, 1], or ``None`` for a whole-picture prediction.
        label: The answer shown: a meaning of the bundle's labels (``female``, ``male``) or ``uncertain``.
        score: Calibrated probability, in [0, 1], of the most probable class (also when the answer is ``uncertain``).
        probabilities: Calibrated probability of every class, by meaning, in the model's own order.
        raw_label: The most probable class, in the model's own words, threshold or not.
    """

    box: Box | None
    detection_score: float | None
    label: str
    score: float
    probabilities: dict[str, float]
    raw_label: str

    def asdict(self) -> dict[str, Any]:
        """Returns plain JSON types."""
        return {
            "box": None if self.box is None else list(self.box),
            "detection_score": self.detection_score,
            "label": self.label,
            "score": self.score,
            "probabilities": dict(self.probabilities),
            "raw_label": self.raw_label,
        }


@dataclass(frozen=True)
class Prediction:
    """The answer for one input.

    ``label``, ``score``, ``probabilities`` and ``raw_label`` are those of the main person (the largest face), and
    ``None`` when ``status`` is not ``ok``.

    Attributes:
        path: The path as it was given, or ``None`` for bytes, streams, pictures and arrays.
        status: What became of the input.
        error: A sentence for people when the status is not ``ok``, else ``None``.
        label: ``female``, ``male`` (or the bundle's own meanings), or ``uncertain``.
        score: Calibrated probability, in [0, 1], of the most probable class.
        probabilities: Calibrated probability of every class, by meaning.
        raw_label: The most probable class in the model's own words.
        people: One entry per person, largest face first; exactly one with ``box=None`` for a whole-picture answer.
    """

    path: str | None
    status: Status
    error: str | None = None
    label: str | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None
    raw_label: str | None = None
    people: tuple[Person, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the input was classified."""
        return self.status is Status.OK

    @classmethod
    def from_people(cls, path: str | None, people: tuple[Person, ...]) -> Prediction:
        """Builds an ``ok`` prediction; the first person is the main one.

        Raises:
            ValueError: If ``people`` is empty.
        """
        if not people:
            raise ValueError("a prediction with status ok has at least one person")
        main = people[0]
        return cls(
            path=path,
            status=Status.OK,
            label=main.label,
            score=main.score,
            probabilities=dict(main.probabilities),
            raw_label=main.raw_label,
            people=people,
        )

    @classmethod
    def failed(cls, path: str | None, status: Status, error: str) -> Prediction:
        """Builds the result of an input that could not be classified."""
        return cls(path=path, status=status, error=error)

    def asdict(self) -> dict[str, Any]:
        """Returns plain JSON types, with exactly the fields of this class."""
        return {
            "path": self.path,
            "status": self.status.value,
            "error": self.error,
            "label": self.label,
            "score": self.score,
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "raw_label": self.raw_label,
            "people": [person.asdict() for person in self.people],
        }
