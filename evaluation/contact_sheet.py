"""Draws the worst failures side by side, for those who hold the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from pathlib import Path

    from ..runtime.classifier import Classifier
    from .predict import Outcome

from ..runtime.decode.decode import decode
from .predict import open_views

__all__ = ["contact_sheet"]

_TILE, _CAPTION, _COLUMNS = 128, 30, 6


def contact_sheet(
    classifier: Classifier, outcome: Outcome, path: Path, *, boxes: str | None = None, count: int = 30
) -> int:
    """Draws the pictures that the model was surest about and wrong.

    The sheet shows people: it is for local use, and no report links to it.

    Args:
        classifier: The model that answered.
        outcome: What it answered.
        path: The JPEG to write.
        boxes: The column that faces were taken from, so that the sheet shows what the model saw.
        count: Pictures at most.

    Returns:
        Number of pictures on the sheet; with 0 no file is written.
    """
    wrong = np.flatnonzero(~outcome.answers.right)
    worst = wrong[np.argsort(-outcome.answers.confidence[wrong], kind="stable")][:count]
    if not len(worst):
        return 0
    rows, sure = outcome.rows.iloc[worst], outcome.answers.confidence[worst]
    lines = -(-len(worst) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, lines * (_TILE + _CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    views = open_views(classifier, rows, boxes=boxes)
    for position, (view, row) in enumerate(zip(views, rows.to_dict("records"), strict=True)):
        left, top = position % _COLUMNS * _TILE, position // _COLUMNS * (_TILE + _CAPTION)
        if view is not None:
            picture = decode(view, classifier.options.limits) if isinstance(view, str) else view
            picture.thumbnail((_TILE, _TILE))
            sheet.paste(picture, (left, top))
        pen.text(
            (left + 2, top + _TILE + 2),
            f"is {row['truth']}, {sure[position]:.2f} sure\n{row['file']}"[:60],
            fill="black",
        )
    sheet.save(path, quality=85)
    return len(worst)
