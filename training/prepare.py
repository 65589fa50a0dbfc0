"""Pictures on disk -> one array of wide crops, and the table of what was trained on."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gender_classifier.runtime.faces.crop import crop_square
from training.config import Data
from training.data import Row, hash_unit, read_faces, split_by_person

__all__ = ["half_boxes", "load_crops", "open_picture", "prepare", "write_calibration", "write_table"]


def open_picture(root: Path, row: Row) -> Image.Image:
    """Opens a picture as upright RGB.

    The files of the data set were written upright, so there is no EXIF orientation to apply.
    """
    with Image.open(root / row.folder / row.file) as image:
        upright: Image.Image = image.convert("RGB")
    return upright


def half_boxes(rows: Sequence[Row], margin: float) -> npt.NDArray[np.float32]:
    """Half the width and height of each face, in half sides of its cached crop.

    Args:
        rows: Pictures with a face box.
        margin: Margin of the cached crop.

    Returns:
        Array (n, 2), float32, in (0, 1].
    """
    out = np.empty((len(rows), 2), np.float32)
    for i, row in enumerate(rows):
        if row.face is None:
            raise ValueError(f"{row.file} has no face box")
        width, height = row.face[2] - row.face[0], row.face[3] - row.face[1]
        side = max(width, height) * (1 + 2 * margin)
        out[i] = width / side, height / side
    return out


def prepare(root: Path, cache: Path, data: Data) -> Path:
    """Caches the wide crops of the trainable pictures; checks every file against its sha256.

    Args:
        root: The data root.
        cache: A folder outside the repository.
        data: Which pictures and how wide.

    Returns:
        The cache file: array (n, size, size, 3), uint8, in the order of ``labels.csv``.

    Raises:
        ValueError: If a file is not the one that the table names.
    """
    rows = read_faces(root, data.folder)
    cache.mkdir(parents=True, exist_ok=True)
    crops = np.empty((len(rows), data.cache_size, data.cache_size, 3), np.uint8)
    for i, row in enumerate(rows):
        if row.face is None:
            raise ValueError(f"{row.file} has no face box")
        digest = hashlib.sha256((root / row.folder / row.file).read_bytes()).hexdigest()
        if digest != row.sha256:
            raise ValueError(f"{row.file} is not the picture that labels.csv names")
        crop = crop_square(open_picture(root, row), row.face, data.cache_margin)
        crops[i] = np.asarray(crop.resize((data.cache_size, data.cache_size), Image.Resampling.BILINEAR))
    path = crops_path(cache, data)
    np.save(path, crops)
    return path


def crops_path(cache: Path, data: Data) -> Path:
    """Where :func:`prepare` puts the crops."""
    return cache / f"{data.folder}-{data.cache_size}-{data.cache_margin:g}.npy"


def load_crops(cache: Path, data: Data) -> npt.NDArray[np.uint8]:
    """Reads what :func:`prepare` cached; (n, size, size, 3), uint8."""
    crops: npt.NDArray[np.uint8] = np.load(crops_path(cache, data))
    return crops


def write_calibration(root: Path, data: Data, margin: float, out: Path, count: int = 256) -> None:
    """Writes training pictures as the network will see them, for the ranges of a static int8.

    Args:
        root: The data root.
        data: Which pictures, and their split; validation pictures are left out.
        margin: Of the square around the face.
        out: An existing folder.
        count: How many; drawn by hash.
    """
    rows = read_faces(root, data.folder)
    training = split_by_person(rows, data.validation_share, data.split_seed)[0]
    chosen = sorted((rows[i] for i in training), key=lambda row: hash_unit(0, row.sha256))[:count]
    for number, row in enumerate(chosen):
        if row.face is not None:
            crop_square(open_picture(root, row), row.face, margin).save(out / f"{number:04}.png")


def write_table(rows: Sequence[Row], validation: Sequence[int], path: Path) -> None:
    """Writes the table of training pictures: what each is and whence, but nobody's name."""
    held = set(validation)
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["file", "set", "gender", "split", "licence", "sha256"])
        for i, row in enumerate(rows):
            split = "validation" if i in held else "train"
            table.writerow([row.file, row.source, row.gender, split, row.licence, row.sha256])
