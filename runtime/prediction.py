"""What the runtime answers: one :class:`Prediction` per input, with a status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import Main

__all__ = ["MIXED", "UNCERTAIN", "Box", "Eyes", "Person", "Prediction", "Status"]

UNCERTAIN = "uncertain"
"""The label shown when no class reaches its threshold."""

MIXED = "mixed"
"""The label of a picture whose people's answers differ."""

Box = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)`` in pixels of the upright picture; ``x1`` and ``y1`` are exclusive."""

Eyes = tuple[tuple[float, float], tuple[float, float]]
"""``(x, y)`` of the person's right eye, then of the left one, in pixels of the upright picture."""


class Status(str, Enum):
    """What became of one input. ``OK`` and ``NO_FACE`` are answers, any other is a failure of that input alone."""

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
    """Faces were looked for, and there is none."""
    MODEL_ERROR = "model_error"
    """The picture is good, and the model failed on it: an error at run time, or an answer that is not a number."""

    def __str__(self) -> str:
        return self.value

    @property
    def failed(self) -> bool:
        """Whether there is no answer: neither a label nor that the picture shows no face."""
        return self not in (Status.OK, Status.NO_FACE)


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
        eyes: The eyes by which the face was framed. ``None`` where the box framed it: no eyes were given, or those that
            the detector saw cannot be those of this face. ``None`` for a whole-picture prediction too.
    """

    box: Box | None
    detection_score: float | None
    label: str
    score: float
    probabilities: dict[str, float]
    raw_label: str
    eyes: Eyes | None = None

    def asdict(self) -> dict[str, Any]:
        """Returns plain JSON types."""
        return {
            "box": None if self.box is None else list(self.box),
            "detection_score": self.detection_score,
            "label": self.label,
            "score": self.score,
            "probabilities": dict(self.probabilities),
            "raw_label": self.raw_label,
            "eyes": None if self.eyes is None else [list(point) for point in self.eyes],
        }


@dataclass(frozen=True)
class Prediction:
    """The answer for one input.

    The answer for a picture is that of all its people: the label that every sure answer has, :data:`MIXED` if sure
    answers differ, :data:`UNCERTAIN` if none is sure. With ``load(main=...)`` it is that of one person.

    Attributes:
        path: The path as it was given, or ``None`` for bytes, streams, pictures and arrays.
        status: What became of the input.
        error: A sentence for people when the input failed, else ``None``.
        label: ``female``, ``male`` (or the bundle's own meanings), ``mixed`` or ``uncertain``; ``None`` unless ``ok``.
        score: Calibrated probability, in [0, 1], of that person's most probable class; the least of the people whose
            answers make the label, when they are several.
        probabilities: Calibrated probability of every class, by meaning; ``None`` when the answer is that of several.
        raw_label: The most probable class in the model's own words; ``None`` when the answer is that of several.
        people: One entry per person, largest face first, but the one chosen by ``main`` before all; exactly one with
            ``box=None`` for a whole-picture answer.
        width: Pixels of the upright picture, or ``None`` where it could not be decoded.
        height: Likewise.
        model: What answered: name, variant and 12 hex digits that stand for everything that decides the answers
            (:attr:`Classifier.identity`).
    """

    path: str | None
    status: Status
    error: str | None = None
    label: str | None = None
    score: float | None = None
    probabilities: dict[str, float] | None = None
    raw_label: str | None = None
    people: tuple[Person, ...] = ()
    width: int | None = None
    height: int | None = None
    model: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the input was classified."""
        return self.status is Status.OK

    @classmethod
    def from_people(
        cls,
        path: str | None,
        people: tuple[Person, ...],
        *,
        size: tuple[int, int] | None = None,
        model: str | None = None,
        main: Main | None = None,
    ) -> Prediction:
        """Builds the answer for a picture from those for its people; without people its status is ``no_face``.

        Args:
            path: As it was given.
            people: Largest face first, or in the order of the caller's own boxes.
            size: Width and height of the upright picture.
            model: The classifier's identity.
            main: Whose answer is the picture's; everyone's when left out.
        """
        width, height = size or (None, None)
        if not people:
            return cls(path, Status.NO_FACE, width=width, height=height, model=model)
        if main is not None and size is not None:
            chosen = (
                max(people, key=_area) if main == "largest" else min(people, key=lambda one: _from_centre(one, size))
            )
            people = (chosen, *(person for person in people if person is not chosen))
        asked = people if main is None else people[:1]
        label, score = _together(asked)
        one = asked[0] if len(asked) == 1 else None
        return cls(
            path=path,
            status=Status.OK,
            label=label,
            score=score,
            probabilities=None if one is None else dict(one.probabilities),
            raw_label=None if one is None else one.raw_label,
            people=people,
            width=width,
            height=height,
            model=model,
        )

    @classmethod
    def failed(cls, path: str | None, status: Status, error: str, *, model: str | None = None) -> Prediction:
        """Builds the result of an input that could not be classified."""
        return cls(path=path, status=status, error=error, model=model)

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
            "width": self.width,
            "height": self.height,
            "model": self.model,
        }


def _together(people: tuple[Person, ...]) -> tuple[str, float]:
    """Returns the label of several people, and the least score of those whose answers make it."""
    sure = [person for person in people if person.label != UNCERTAIN]
    labels = {person.label for person in sure}
    score = min(person.score for person in sure or people)
    return (labels.pop() if len(labels) == 1 else MIXED if labels else UNCERTAIN), score


def _area(person: Person) -> float:
    return 0.0 if person.box is None else (person.box[2] - person.box[0]) * (person.box[3] - person.box[1])


def _from_centre(person: Person, size: tuple[int, int]) -> float:
    """Returns the squared distance of a face's centre to the picture's, in pixels."""
    if person.box is None:
        return 0.0
    x0, y0, x1, y1 = person.box
    return ((x0 + x1 - size[0]) / 2) ** 2 + ((y0 + y1 - size[1]) / 2) ** 2
