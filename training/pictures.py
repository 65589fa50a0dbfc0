"""Reads ``labels.csv``: which pictures may be learnt from, what they show, and under which licence."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["LABELS", "Picture", "held_out", "open_picture", "read_pictures", "write_lists", "write_table"]

LABELS = ("female", "male")
"""The classes in ``id2label`` order."""

MOST_ATTRIBUTIONS = 60
"""Beyond so many, a set's attributions are the item numbers of an archive."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Picture:
    """One row of a folder's table.

    Attributes:
        folder: The folder.
        file: Path inside it.
        source: The set it belongs to.
        licence: With its evidence, as the table says it.
        attribution: Whom to name, where the licence does not say it.
        sha256: Of the file.
        gender: ``female``, ``male``, or empty in a folder without labels.
        person: Whom it shows, as an opaque id; the file where nobody is named: what is split by.
        face: The labelled face in pixels, or ``None``.
    """

    folder: str
    file: str
    source: str
    licence: str
    sha256: str
    gender: str = ""
    person: str = ""
    face: Box | None = None
    attribution: str = ""


def read_pictures(root: Path, folder: str) -> list[Picture]:
    """Reads ``<root>/<folder>/labels.csv``, in the order of the file.

    Pictures of another folder, to which a table may refer, are left out: that one's table knows who is on them.
    """
    pictures = []
    with (root / folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            numbers = [float(word) for word in row.get("face", "").split()]
            face = (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None
            gender = row.get("gender", "")
            if ".." in Path(row["file"]).parts or (gender and face is None):
                continue
            person = row.get("person") or f"{folder}/{row['file']}"
            pictures.append(
                Picture(
                    folder=folder,
                    file=row["file"],
                    source=row["set"],
                    licence=row["licence"],
                    sha256=row["sha256"],
                    gender=gender,
                    person=person,
                    face=face,
                    attribution=row.get("attribution", ""),
                )
            )
    return pictures


def open_picture(root: Path, picture: Picture) -> Image.Image:
    """Opens a picture as RGB, after comparing its sha256. The files were written upright.

    Raises:
        ValueError: If the file is not the one that the table names.
    """
    import io

    from PIL import Image

    content = (root / picture.folder / picture.file).read_bytes()
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise ValueError(f"{picture.folder}/{picture.file} is not the picture that labels.csv names")
    with Image.open(io.BytesIO(content)) as image:
        rgb: Image.Image = image.convert("RGB")
    return rgb


def held_out(person: str, share: float) -> bool:
    """Whether a person is kept for validation: the same on every machine, in every order."""
    return int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) / 2**32 < share


def write_lists(pictures: Sequence[Picture], share: float, pictures_csv: Path, sets_csv: Path) -> None:
    """Writes which pictures were used and, by set, under which licences; no name of a person.

    Args:
        pictures: All that were used.
        share: Share of the people held out.
        pictures_csv: Receives folder, set, file, split and the first 16 digits of the sha256 of each.
        sets_csv: Receives each set's numbers and licences.
    """
    write_table(
        pictures_csv,
        ("folder", "set", "file", "split", "sha256"),
        (
            (p.folder, p.source, p.file, "held out" if held_out(p.person, share) else "", p.sha256[:16])
            for p in pictures
        ),
    )
    sets: dict[tuple[str, str], list[Picture]] = {}
    for p in pictures:
        sets.setdefault((p.folder, p.source), []).append(p)
    write_table(
        sets_csv,
        ("folder", "set", "pictures", "women", "men", "licences", "attributions"),
        (
            (
                *key,
                len(own),
                *(sum(p.gender == gender for p in own) for gender in LABELS),
                "; ".join(dict.fromkeys(p.licence for p in own)),
                _joined(dict.fromkeys(p.attribution for p in own if p.attribution)),
            )
            for key, own in sets.items()
        ),
    )


def _joined(attributions: Iterable[str]) -> str:
    """All attributions of a set, or how many there are where each picture has its own."""
    names = list(attributions)
    return "; ".join(names) if len(names) <= MOST_ATTRIBUTIONS else f"{len(names)} items of an archive"


def write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Writes a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
