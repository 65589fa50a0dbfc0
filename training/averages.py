"""Average faces for the examples: many people each, aligned by eyes, nose and mouth, so that nobody is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.pictures import Picture, open_picture, read_pictures

__all__ = ["align", "average", "write_averages"]

SIZE = (288, 360)
"""Width and height of an example in pixels."""
LANDMARKS = ((99.0, 162.0), (189.0, 162.0), (144.0, 213.0), (108.0, 262.0), (180.0, 262.0))
"""Where eyes, nose and corners of the mouth come to lie: in YuNet's order, left of the picture first."""


def align(image: Image.Image, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Moves a picture by the affine map that brings its landmarks nearest to ``LANDMARKS``.

    Args:
        image: An RGB picture.
        points: (5, 2), float64, its landmarks in pixels.

    Returns:
        (height, width, 3), float32, linear light in [0, 1].
    """
    # Pillow wants the way back, from a pixel of the output to one of the input.
    target = np.column_stack([np.array(LANDMARKS), np.ones(len(LANDMARKS))])
    back = np.linalg.lstsq(target, points, rcond=None)[0].T
    matrix = tuple(float(v) for v in back.ravel())
    moved = image.transform(SIZE, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=(225, 225, 225))
    return np.asarray((np.asarray(moved, np.float32) / 255) ** 2.2, np.float32)


def average(faces: Sequence[npt.NDArray[np.float32]]) -> Image.Image:
    """The mean of aligned faces and their mirror images, as a picture."""
    mean = np.mean(np.stack(faces), axis=0)
    mean = (mean + mean[:, ::-1]) / 2
    return Image.fromarray(np.round(255 * mean ** (1 / 2.2)).astype(np.uint8))


def _people(rows: Sequence[Picture], gender: str) -> list[Picture]:
    """The first picture of each person of a gender."""
    first: dict[str, Picture] = {}
    for row in rows:
        if row.source == "london" and row.gender == gender:
            first.setdefault(row.person, row)
    return list(first.values())


def write_averages(root: Path, detector: Path, out: Path) -> dict[str, int]:
    """Writes ``average-woman.jpg`` and ``average-man.jpg`` from the London set.

    Args:
        root: The data root.
        detector: YuNet as an ONNX file, for the eyes.
        out: The folder of the examples.

    Returns:
        How many people are in each.
    """
    from gender_classifier.runtime.faces.detector import Detector

    counts = {}
    rows = read_pictures(root, "train")
    finder = Detector.load(detector, threshold=0.7)
    for gender, name in (("female", "woman"), ("male", "man")):
        faces = []
        for row in _people(rows, gender):
            image = open_picture(root, row)
            found = finder.detect(image)
            if len(found) == 1:
                faces.append(align(image, np.array(found[0].landmarks)))
        out.mkdir(parents=True, exist_ok=True)
        average(faces).save(out / f"average-{name}.jpg", quality=90)
        counts[name] = len(faces)
    return counts
