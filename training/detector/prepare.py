"""Makes the pool: pictures scaled to what they are needed at, with boxes and landmarks by a teacher (YuNet).

The teacher looks at each picture at several sizes. A score from 0.7 is a face (in groups from 0.58, for small ones);
an unsure box is neither face nor background. A third of the scenes without people is held out.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gender_classifier.runtime.faces import yunet
from gender_classifier.runtime.faces.detector import Detector
from training.pictures import write_table

__all__ = ["Item", "is_held_out", "prepare", "read_rows", "shared_areas", "teach", "write_pictures"]

PORTRAITS = ("train", "train2")
WHOLE = ("scenes", "people")
WIDE = "fairface_r"
"""The set of ``train2`` whose pictures show more than a portrait does."""

SHARE_ALIKE = "sa_"
"""Prefix of sets under a share-alike licence, which are left out."""

SHARP = frozenset({"london", "faker", "openpeople", "us_pif", "us_digitalcorps"})
"""Portraits good enough for faces that fill the picture."""

_QUALITY = 62


@dataclass(frozen=True)
class Item:
    """One picture of the pool.

    Attributes:
        kind: ``scene`` (a whole picture), ``large`` (a portrait for large faces, also used as a scene), ``small`` (a
            portrait to paste).
        offset: Of its WebP file in the pool, in bytes.
        length: Of that file.
        boxes: ``x0 y0 x1 y1`` in its pixels, all that the teacher saw.
        scores: The teacher's.
        marks: Five landmarks ``x y`` each.
        faces: For each box, whether it is taken for a face.
    """

    kind: str
    offset: int
    length: int
    boxes: list[list[float]]
    scores: list[float]
    marks: list[list[float]]
    faces: list[bool]


def read_rows(data: Path, folder: str) -> list[dict[str, str]]:
    """Returns the pictures of a folder that are used: no share-alike licence, none that lies in another folder."""
    with (data / folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if not row["set"].startswith(SHARE_ALIKE) and ".." not in row["file"]]


def _number(folder: str, file: str) -> int:
    return int(hashlib.sha256(f"{folder}/{file}".encode()).hexdigest()[:8], 16)


def is_held_out(folder: str, row: dict[str, str]) -> bool:
    """Whether a scene without people is kept for measuring false alarms: a third of them, by the hash of its name."""
    return folder == "scenes" and not row["boxes"] and _number(folder, row["file"]) % 3 == 0


def teach(detector: Detector, image: Image.Image, sizes: set[int]) -> yunet.Candidates:
    """Returns what a teacher sees with the picture's longest side at each of the sizes, merged, from a score of 0.3."""
    found = []
    for longest in sorted(sizes):
        scale = longest / max(image.size)
        size = (max(32, round(image.width * scale)), max(32, round(image.height * scale)))
        method = Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.BICUBIC
        seen = detector.candidates(np.asarray(image.resize(size, method)), threshold=0.3)
        sides = (seen.boxes[:, 2:] - seen.boxes[:, :2]).max(axis=1)
        seen = seen.take(np.flatnonzero((sides >= 8) & (sides < 0.95 * longest)))
        found.append(seen.moved((0, 0), (image.width / size[0], image.height / size[1])))
    return yunet.non_maximum_suppression(yunet.Candidates.join(found), 0.35)


def shared_areas(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the area that a box (4) shares with each of others (N, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    return np.clip(high - low, 0, None).prod(axis=1)


def which_are_faces(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[bool]:
    """Applies the rule of this module's first lines to boxes (N, 4) and scores (N)."""
    group = int((scores >= 0.7).sum()) >= 5
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    result = []
    for index, (box, score) in enumerate(zip(boxes, scores, strict=True)):
        small = group and (box[2:] - box[:2]).max() < 40
        shared = shared_areas(box, boxes) / np.minimum(areas[index], areas)
        held = bool(((shared > 0.6) & (scores > score)).any())
        result.append(bool(score >= (0.58 if small else 0.7)) and not held)
    return result


class _Pool:
    """Gathers pictures as WebP, one after another."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.items: list[Item] = []

    def add(self, kind: str, image: Image.Image, seen: yunet.Candidates, faces: list[bool], longest: float) -> None:
        """Adds a picture, scaled down so that its longest side is at most ``longest``."""
        scale = min(1.0, longest / max(image.size))
        if scale < 1:
            size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
            moved = seen.moved((0, 0), (size[0] / image.width, size[1] / image.height))
            image, seen = image.resize(size, Image.Resampling.LANCZOS), moved
        file = io.BytesIO()
        image.save(file, "WEBP", quality=_QUALITY, method=6)
        boxes, scores = seen.boxes.round(1).tolist(), seen.scores.round(3).tolist()
        marks = seen.landmarks.reshape(-1, 10).round(1).tolist()
        self.items.append(Item(kind, len(self.content), file.tell(), boxes, scores, marks, faces))
        self.content += file.getvalue()


def _add_scene(pool: _Pool, detector: Detector, image: Image.Image, wide: bool, scene: bool) -> None:
    sizes = {256, 512, 1024, max(image.size)}
    seen = teach(detector, image, sizes)
    if not wide and int((seen.scores >= 0.5).sum()) >= 6:
        seen = teach(detector, image, sizes | {1664})
    faces = which_are_faces(seen.boxes, seen.scores)
    if wide and not any(faces):
        return
    longest = 272 if wide else 560 if len(seen.scores) >= 6 else 400 if scene else 352
    pool.add("scene", image, seen, faces, longest)


def _add_portrait(pool: _Pool, detector: Detector, image: Image.Image, row: dict[str, str], folder: str) -> None:
    seen = teach(detector, image, {max(image.size)})
    if len(seen.scores) != 1 or seen.scores[0] < 0.75:
        return
    number = _number(folder, row["file"]) % 100
    large = number < (45 if row["set"] in SHARP else 6)
    if not large and folder == "train" and number >= 55:
        return
    x0, y0, x1, y1 = seen.boxes[0].tolist()
    side, reach = max(x1 - x0, y1 - y0), 1.6 if large else 1.05
    left, top = (int(max(0, middle - reach * side)) for middle in ((x0 + x1) / 2, (y0 + y1) / 2))
    right = int(min(image.width, (x0 + x1) / 2 + reach * side))
    bottom = int(min(image.height, (y0 + y1) / 2 + reach * side))
    part = image.crop((left, top, right, bottom))
    longest = max(part.size) * (190 if large else 66) / side
    pool.add("large" if large else "small", part, seen.moved((-left, -top), (1, 1)), [True], longest)


def prepare(data: Path, cache: Path, teacher: Path) -> dict[str, int]:
    """Writes ``pool.bin`` and ``pool.json`` into ``cache``; returns how many pictures and faces there are.

    Args:
        data: Folder with ``train``, ``train2``, ``scenes`` and ``people``.
        cache: Where to.
        teacher: The ONNX file of YuNet.
    """
    detector, pool = Detector.load(teacher, threshold=0.3), _Pool()
    for folder in (*PORTRAITS, *WHOLE):
        for row in read_rows(data, folder):
            if is_held_out(folder, row):
                continue
            with Image.open(data / folder / row["file"]) as opened:
                image = opened.convert("RGB")
            if folder in WHOLE or row["set"] == WIDE:
                _add_scene(pool, detector, image, row["set"] == WIDE, folder == "scenes")
            else:
                _add_portrait(pool, detector, image, row, folder)
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "pool.bin").write_bytes(pool.content)
    text = json.dumps([asdict(item) for item in pool.items], separators=(",", ":"))
    (cache / "pool.json").write_text(text, encoding="utf-8")
    return {"pictures": len(pool.items), "faces": sum(sum(item.faces) for item in pool.items)}


def write_pictures(data: Path, path: Path) -> None:
    """Writes which sets are used, under which licences, and whom those of them that ask for it want named."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    makers: defaultdict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for folder in (*PORTRAITS, *WHOLE):
        for row in read_rows(data, folder):
            held = "held out" if is_held_out(folder, row) else "used"
            key = folder, row["set"], row["licence"].split("[")[0].strip(), held
            counts[key] += 1
            if row["licence"].startswith("CC BY"):
                makers[key].add(row.get("attribution", ""))
    rows = ((*key, count, "; ".join(sorted(makers[key]))) for key, count in sorted(counts.items()))
    write_table(path, ("folder", "set", "licence", "use", "pictures", "attribution"), rows)
