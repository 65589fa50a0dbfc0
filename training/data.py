"""Labelled pictures: rows of ``labels.csv``, and the split by person."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LABELS", "Row", "hash_unit", "read_faces", "read_rows", "split_by_person"]

LABELS = ("female", "male")
"""The classes in ``id2label`` order."""


@dataclass(frozen=True)
class Row:
    """One labelled picture."""

    folder: str
    file: str
    gender: str
    age: str
    race: str
    person: str
    source: str
    licence: str
    width: int
    height: int
    face: tuple[float, float, float, float] | None
    sha256: str

    @property
    def label(self) -> int:
        """The class index, 0 for female and 1 for male."""
        return LABELS.index(self.gender)


def read_rows(root: Path, folder: str) -> list[Row]:
    """Reads ``<root>/<folder>/labels.csv``.

    Args:
        root: The data root.
        folder: One of its folders.

    Returns:
        The rows in the order of the file.
    """
    rows = []
    with (root / folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        for r in csv.DictReader(stream):
            box = tuple(float(v) for v in r["face"].split())
            rows.append(
                Row(
                    folder=folder,
                    file=r["file"],
                    gender=r["gender"],
                    age=r["age"],
                    race=r["race"],
                    person=r["person"],
                    source=r["set"],
                    licence=r["licence"],
                    width=int(r["width"]),
                    height=int(r["height"]),
                    face=(box[0], box[1], box[2], box[3]) if len(box) == 4 else None,
                    sha256=r["sha256"],
                )
            )
    return rows


def read_faces(root: Path, folder: str) -> list[Row]:
    """Reads the rows whose picture has a known face; the few others teach nothing about faces."""
    return [row for row in read_rows(root, folder) if row.face is not None]


def hash_unit(seed: int, text: str) -> float:
    """Maps a text to [0, 1): the same on every machine, in every order."""
    digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_by_person(rows: Sequence[Row], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits pictures so that nobody is on both sides.

    People are stratified by the set and gender of their first picture, so that the few women and the small sets reach
    both sides in the same proportion.

    Args:
        rows: The pictures.
        share: Share of the people of each stratum that goes to validation, in [0, 1].
        seed: Chooses which.

    Returns:
        Indices for training and indices for validation, each ascending.
    """
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    seen: set[str] = set()
    for row in rows:
        if row.person not in seen:
            seen.add(row.person)
            strata[row.source, row.gender].append(row.person)
    kept: set[str] = set()
    for people in strata.values():
        ranked = sorted(people, key=lambda person: hash_unit(seed, person))
        kept.update(ranked[: round(share * len(ranked))])
    training = [i for i, row in enumerate(rows) if row.person not in kept]
    validation = [i for i, row in enumerate(rows) if row.person in kept]
    return training, validation
