"""Runs a model on labelled pictures and collects its answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..runtime.decode.decode import decode
from ..runtime.errors import ImageError
from ..runtime.pipeline import Region
from ..runtime.prediction import Status
from .errors import LabelsError
from .labels import ROW
from .metrics import CLASSES, UNANSWERED, Answers, female_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt
    from PIL import Image

    from ..runtime.classifier import Classifier
    from ..runtime.prediction import Prediction
    from .labels import LabelledSet

    Change = Callable[[Image.Image], Image.Image]

__all__ = ["Outcome", "answer", "collect", "face_of", "open_views"]


@dataclass(frozen=True)
class Outcome:
    """What became of every picture of a set.

    Attributes:
        rows: The rows of the set that got an answer, in the order of ``answers``.
        answers: What was true and what was answered, for these rows.
        failed: How many pictures got no answer, by status (``unreadable``, ``no_face``, ...).
        probabilities: What the bundle said of each class in the order of ``CLASSES``, (n, 2); rows of a sigmoid head
            need not sum to one.
        missed: How many pictures of each class got no answer, in the order of ``CLASSES``.
    """

    rows: pd.DataFrame
    answers: Answers
    failed: dict[str, int]
    probabilities: npt.NDArray[np.float64]
    missed: tuple[int, ...] = (0, 0)

    @property
    def total(self) -> int:
        """Pictures put before the model."""
        return len(self.rows) + sum(self.failed.values())


def answer(classifier: Classifier, labelled: LabelledSet, *, boxes: str | None = None) -> Outcome:
    """Asks the model about every picture of a set.

    Args:
        classifier: The model; with ``boxes`` it must have been loaded with ``faces=False``.
        labelled: The pictures.
        boxes: Column with the face as :func:`face_of` reads it, in pixels of the upright picture: the model sees it in
            the bundle's framing, as behind a detector. Rows without a face count as ``no_face``.
    """
    return collect(classifier, labelled.rows, open_views(classifier, labelled.rows, boxes=boxes))


def collect(classifier: Classifier, rows: pd.DataFrame, views: Iterable[str | Image.Image | None]) -> Outcome:
    """Runs the model on one view per row; ``None`` stands for a picture without a face.

    A labelled picture is of one person, so the largest face's answer counts.

    Returns:
        The outcome; every row is either among ``rows`` or counted in ``failed``.
    """
    without_face: list[int] = []

    def present() -> Iterator[str | Image.Image]:
        for position, view in enumerate(views):
            if view is None:
                without_face.append(position)
            else:
                yield view

    asked = classifier.predict_many(present())
    predictions = list(tqdm(asked, total=len(rows), unit="picture", leave=False, disable=None))
    skipped = set(without_face)
    positions = [position for position in range(len(rows)) if position not in skipped]
    failed: dict[str, int] = {str(Status.NO_FACE): len(skipped)} if skipped else {}
    kept: list[int] = []
    answered: list[Prediction] = []
    for position, prediction in zip(positions, predictions, strict=True):
        if prediction.ok:
            kept.append(position)
            answered.append(prediction)
        else:
            failed[str(prediction.status)] = failed.get(str(prediction.status), 0) + 1
    chosen = rows.iloc[kept].reset_index(drop=True)
    probabilities = np.array([_both(each) for each in answered], dtype=np.float64).reshape(-1, len(CLASSES))
    missed = Counter(rows["truth"]) - Counter(chosen["truth"])
    answers = Answers(
        truth=np.array([CLASSES.index(word) for word in chosen["truth"]], dtype=np.int64),
        probability=female_share(probabilities),
        given=np.array([_given(each) for each in answered], dtype=np.int64),
    )
    missing = tuple(missed[name] for name in CLASSES)
    return Outcome(chosen, answers, dict(sorted(failed.items())), probabilities, missing)


def open_views(
    classifier: Classifier, rows: pd.DataFrame, *, boxes: str | None = None, change: Change | None = None
) -> Iterator[str | Image.Image | None]:
    """Yields what the model is to see for each row: the path itself where nothing is to be changed.

    Else the face that the column names, or the largest one found, in the bundle's framing; ``None`` without a face.
    """
    if boxes is None and change is None:
        yield from rows["path"]
        return
    if boxes is not None and boxes not in rows:
        known = [name for name in rows.columns if name not in ("path", "truth", ROW)]
        raise LabelsError(f"There is no column {boxes!r} with boxes; the columns are {', '.join(known)}.")
    cells = rows[boxes] if boxes is not None else [""] * len(rows)
    for path, cell in zip(rows["path"], cells, strict=True):
        given = face_of(str(cell))
        if boxes is not None and given is None:
            yield None
            continue
        try:
            picture = decode(path, classifier.options.limits)
        except ImageError:
            yield path  # the runtime meets the same error and gives it its status
            continue
        face = given or next(iter(classifier.pipeline.regions(picture)), None)
        if face is None:
            yield None
            continue
        picture = classifier.pipeline.crop(picture, face)
        yield picture if change is None else change(picture)


def face_of(cell: str) -> Region | None:
    """Reads ``x0 y0 x1 y1``, or the same and ``x y`` of the person's right and left eye; ``None`` for an empty cell.

    Raises:
        LabelsError: If the cell holds anything else.
    """
    words = cell.replace(",", " ").split()
    if not words:
        return None
    try:
        x0, y0, x1, y1, *eyes = (float(word) for word in words)
        if not eyes:
            return Region((x0, y0, x1, y1))
        right_x, right_y, left_x, left_y = eyes
    except ValueError as error:
        raise LabelsError(
            f"A face is x0 y0 x1 y1 in pixels, with x y of the right and left eye after it or not; {cell!r} is not."
        ) from error
    return Region((x0, y0, x1, y1), landmarks=((right_x, right_y), (left_x, left_y)))


def _both(prediction: Prediction) -> tuple[float, ...]:
    return tuple(prediction.people[0].probabilities[name] for name in CLASSES)


def _given(prediction: Prediction) -> int:
    label = prediction.people[0].label
    return CLASSES.index(label) if label in CLASSES else UNANSWERED
