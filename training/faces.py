"""Cuts every face that is learnt from out of its picture, wide enough to be turned and shifted, into one file."""

from __future__ import annotations

import io
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from gender_classifier.runtime.faces.crop import crop_eyes, square_around, usable_eyes
from training.config import Faces
from training.pictures import LABELS, Picture, held_out, open_picture, read_pictures
from training.soft import AgeNet, model_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gender_classifier.runtime.faces.detector import Detector, Face
    from gender_classifier.runtime.prediction import Box, Eyes

__all__ = ["UNKNOWN", "Pool", "best_match", "collect", "cut", "framing_eyes", "load_pool", "write_calibration"]

UNKNOWN = -1
"""Label of a face that has none."""


@dataclass(frozen=True)
class Pool:
    """Every face, decoded.

    Attributes:
        chips: (n, 3, chip, chip), uint8.
        labels: (n,), int64: 0 female, 1 male, :data:`UNKNOWN`.
        sources: (n,), text: the set; ``extra`` for others in a labelled picture.
        held: (n,), bool: kept for validation.
        trust: (n,), float32: factor on the logits of soft answers, 1 or less.
        size: (n,), float32: distance of the eyes in the picture, in pixels.
    """

    chips: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.str_]
    held: npt.NDArray[np.bool_]
    trust: npt.NDArray[np.float32]
    size: npt.NDArray[np.float32]


def framing_eyes(face: Face, config: Faces) -> Eyes:
    """Returns the eyes that frame a face, or those that stand for its box where the product would fall back to it."""
    eyes = usable_eyes(face.box, face.landmarks)
    if eyes is not None:
        return eyes
    left, top, right, bottom = square_around(face.box, config.framing.margin or 0.0)
    distance, line = config.eyes
    half, height = distance * (right - left) / 2, top + line * (bottom - top)
    middle = (left + right) / 2
    return (middle - half, height), (middle + half, height)


def cut(image: Image.Image, eyes: Eyes, config: Faces) -> Image.Image:
    """Returns the chip of a face: the framing's square, ``wide`` times as long, with the same centre."""
    distance, line = config.eyes[0] / config.wide, 0.5 + (config.eyes[1] - 0.5) / config.wide
    pixels = math.dist(*eyes) / distance
    side = min(config.chip, max(40, math.ceil(pixels)))
    return crop_eyes(image, eyes, side, eye_distance=distance, eye_line=line)


def best_match(faces: Sequence[Face], box: Box) -> Face | None:
    """Returns the face that overlaps a labelled box most, if by more than 0.3 (intersection over union)."""

    def overlap(face: Face) -> float:
        a, b = face.box, box
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        common = max(0.0, width) * max(0.0, height)
        return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)

    best = max(faces, key=overlap, default=None)
    return best if best is not None and overlap(best) > 0.3 else None


def _wanted(picture: Picture, found: Sequence[Face], config: Faces) -> Iterator[tuple[Face, int, str]]:
    """Yields the faces of a picture to learn from, each with its label and set."""
    main = best_match(found, picture.face) if picture.face is not None else None
    if main is not None:
        yield main, LABELS.index(picture.gender), picture.source
    for face in found:
        x0, y0, x1, y1 = face.box
        if face is not main and face.score >= config.score and min(x1 - x0, y1 - y0) >= config.smallest:
            yield face, UNKNOWN, "extra" if picture.gender else picture.folder


def collect(root: Path, detector: Detector, config: Faces, out: Path) -> list[Picture]:
    """Finds and cuts the faces, and writes them with all that is known of them.

    Args:
        root: The data root.
        detector: Finds them; its least score is at most ``config.score``.
        config: Which faces.
        out: The ``.npz`` file.

    Returns:
        The pictures that gave a face.
    """
    age = AgeNet(model_file("age-v1.onnx"))
    pictures = [
        picture
        for folder in (*config.labelled, *config.unlabelled)
        for picture in read_pictures(root, folder)
        if not picture.source.startswith(config.left_out)
    ]
    files: list[bytes] = []
    known: list[tuple[int, str, bool, float, float]] = []
    used = []
    for picture in tqdm(pictures, unit="picture"):
        image = open_picture(root, picture)
        before = len(files)
        for face, label, source in _wanted(picture, detector.detect(image), config):
            eyes = framing_eyes(face, config)
            trust = 1.0
            if label == UNKNOWN:
                grown = (age(image, eyes) - config.child_until) / (config.grown_from - config.child_until)
                trust = config.child_share + (1 - config.child_share) * min(1.0, max(0.0, grown))
            buffer = io.BytesIO()
            cut(image, eyes, config).save(buffer, "WEBP", quality=75)
            files.append(buffer.getvalue())
            held = held_out(picture.person, config.held_out)
            known.append((label, source, held, trust, math.dist(*eyes)))
        if len(files) > before:
            used.append(picture)
    labels, sources, held_all, trusts, sizes = (np.array(column) for column in zip(*known, strict=True))
    ends = np.cumsum([0, *map(len, files)])
    blob = np.frombuffer(b"".join(files), np.uint8)
    np.savez(out, blob=blob, ends=ends, labels=labels, sources=sources, held=held_all, trust=trusts, size=sizes)
    return used


def load_pool(path: Path, config: Faces) -> Pool:
    """Reads what :func:`collect` wrote and decodes it."""
    with np.load(path) as data:
        blob, ends = data["blob"], data["ends"]
        kept = {name: data[name] for name in ("labels", "sources", "held", "trust", "size")}

    def decode(position: int) -> npt.NDArray[np.uint8]:
        with Image.open(io.BytesIO(blob[ends[position] : ends[position + 1]].tobytes())) as image:
            size = (config.chip, config.chip)
            pixels: npt.NDArray[np.uint8] = np.asarray(
                image.convert("RGB").resize(size, Image.Resampling.BICUBIC), np.uint8
            )
        planes: npt.NDArray[np.uint8] = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return planes

    with ThreadPoolExecutor() as executor:
        chips = np.stack(list(executor.map(decode, range(len(ends) - 1))))
    pool = Pool(chips, **kept)
    return replace(pool, trust=pool.trust.astype(np.float32), size=pool.size.astype(np.float32))


def write_calibration(path: Path, config: Faces, side: int, out: Path, count: int = 256) -> None:
    """Writes training faces as the network will see them, for the ranges of a static int8.

    Args:
        path: What :func:`collect` wrote.
        config: The framing.
        side: Of the network's input.
        out: An existing folder.
        count: How many, evenly out of the labelled ones that are not held out.
    """
    pool = load_pool(path, config)
    labelled = np.flatnonzero((pool.labels != UNKNOWN) & ~pool.held)
    edge = config.chip * (1 - 1 / config.wide) / 2
    box = (edge, edge, config.chip - edge, config.chip - edge)
    for number, position in enumerate(labelled[np.linspace(0, len(labelled) - 1, count).round().astype(int)]):
        chip = Image.fromarray(pool.chips[position].transpose(1, 2, 0))
        chip.resize((side, side), Image.Resampling.BICUBIC, box).save(out / f"{number:04}.png")
