"""Measures how accuracy falls as pictures get worse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .defaults import ROBUSTNESS_SAMPLE
from .degradations import DEGRADATIONS
from .intervals import mean_of, wilson
from .metrics import CLASSES, UNANSWERED, by_class, share
from .predict import collect, open_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from PIL import Image

    from ..runtime.classifier import Classifier
    from .degradations import Degradation
    from .labels import LabelledSet
    from .predict import Outcome

__all__ = ["balanced_sample", "robustness"]

_LONGEST_SIDE = 640
_SEED = 0
"""Of the sample and of noise."""


def balanced_sample(rows: pd.DataFrame, size: int, *, seed: int = _SEED) -> pd.DataFrame:
    """Draws up to ``size`` rows, as many of each class as the rarer one allows, in their own order."""
    classes = [np.flatnonzero((rows["truth"] == name).to_numpy()) for name in CLASSES]
    present = [members for members in classes if len(members)]
    each = min(size // max(1, len(present)), *(len(members) for members in present))
    generator = np.random.default_rng(seed)
    chosen = np.concatenate([generator.choice(members, each, replace=False) for members in present])
    sample: pd.DataFrame = rows.iloc[np.sort(chosen)].reset_index(drop=True)
    return sample


def robustness(
    classifier: Classifier,
    labelled: LabelledSet,
    *,
    boxes: str | None = None,
    sample: int = ROBUSTNESS_SAMPLE,
    degradations: Sequence[Degradation] = DEGRADATIONS,
) -> dict[str, Any]:
    """Measures every degradation in every step on one sample, with as many women as men.

    The degradation is put on the view the network gets (the face, in the bundle's framing; the whole picture without
    faces), so that the curve is that of the network alone: a detector that loses such a face comes on top.

    Args:
        classifier: The model; with ``boxes`` loaded with ``faces=False``.
        labelled: The pictures.
        boxes: As :func:`evaluation.predict.answer` takes it.
        sample: Pictures per curve.
        degradations: The kinds to measure.

    Returns:
        ``n``, ``untouched`` (the point without degradation) and, by name, ``unit`` and ``points``: for each step the
        balanced accuracy, the recall of each class and the share answered, with intervals.
    """
    rows = balanced_sample(labelled.rows, sample)
    views = list(open_views(classifier, rows, boxes=boxes, change=_bounded))
    if classifier.finds_faces:  # the faces are cut out; nothing is to be looked for in them
        classifier = type(classifier)(classifier.bundle, replace(classifier.options, faces=False))
    result: dict[str, Any] = {
        "n": len(rows),
        "seed": _SEED,
        "untouched": _point(collect(classifier, rows, views)),
        "degradations": {},
    }
    for kind in degradations:
        points = []
        for step in kind.steps:
            changed = (
                view if view is None or isinstance(view, str) else kind.apply(view, step, _SEED + position)
                for position, view in enumerate(views)
            )
            points.append({"step": step, **_point(collect(classifier, rows, changed))})
        result["degradations"][kind.name] = {"unit": kind.unit, "points": points}
    return result


def _bounded(image: Image.Image) -> Image.Image:
    """All views of a sample are held at once; no network here looks at more than this many pixels."""
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return image


def _point(outcome: Outcome) -> dict[str, Any]:
    answers = outcome.answers
    recall = [share(answers.right, answers.truth == k) for k in (0, 1)]
    return {
        "balanced_accuracy": mean_of(recall).asdict(),
        "recall": by_class(recall),
        "answered": wilson(int((answers.given != UNANSWERED).sum()), outcome.total).asdict(),
    }
