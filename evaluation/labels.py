"""Reads labelled pictures: a CSV with ``file`` and ``gender``, or a folder with one subfolder per class."""

from __future__ import annotations

import re
from bisect import bisect
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd

from ..runtime.labels import FEMALE, MALE, meaning_of
from .errors import LabelsError
from .metrics import CLASSES

__all__ = [
    "AGE_BANDS",
    "ROW",
    "SEVERAL",
    "LabelledSet",
    "age_band",
    "filter_rows",
    "group_column",
    "label_meaning",
    "read_labels",
]

AGE_BANDS = (0, 10, 18, 30, 45, 60)
"""First age of each band, in years; the last band has no end."""

# What data sets write where models write whole words. A bare 0 or 1 is not among them: which is which differs between
# data sets, and a guess would turn the report upside down.
_SHORT = dict.fromkeys(("f", "w", "femme", "femmes", "girl", "girls"), FEMALE) | dict.fromkeys(
    ("m", "homme", "hommes", "boy", "boys"), MALE
)

ROW = "row in labels"
"""Column of :attr:`LabelledSet.rows`: what tells two rows apart that name the same file."""
SEVERAL = "(several)"
"""The group of a row whose cell names several groups."""

_CONDITION = re.compile(r"\s*([\w-]+)\s*(>=|<=|==|!=|=|>|<)\s*(.+?)\s*")


@dataclass(frozen=True)
class LabelledSet:
    """Pictures with what is true of them.

    Attributes:
        name: A name for reports.
        rows: One row per picture: ``path`` (where it is), ``file`` (as the labels say it), ``truth`` (``female`` or
            ``male``), and the further columns of the labels, as text.
        unusable: How many rows were left out because their label is not a gender, by the word found.
        digest: sha256 of the labels file, or of the sorted file list of a folder.
        where: The filter applied, or ``None``.
    """

    name: str
    rows: pd.DataFrame
    unusable: dict[str, int]
    digest: str
    where: str | None = None

    def __len__(self) -> int:
        return len(self.rows)


def read_labels(
    source: Path, *, where: str | None = None, name: str | None = None, column: str = "gender"
) -> LabelledSet:
    """Reads labelled pictures.

    Args:
        source: A CSV file (paths in ``file`` are relative to it), or a folder with one subfolder per class.
        where: Keeps only the rows that meet this condition, as :func:`filter_rows` takes it.
        name: A name for reports; by default the folder's.
        column: The column that holds the label.

    Raises:
        LabelsError: If there is no such file, a column is missing, or no row is left.
    """
    if not source.exists():
        raise LabelsError(f"{source} does not exist. Give a CSV with the columns file and {column}, or a folder.")
    if source.is_dir():
        table, digest = _read_folder(source, column)
        root, default = source, source.name
    else:
        table, digest = _read_csv(source), sha256(source.read_bytes()).hexdigest()
        root, default = source.parent, source.parent.name
    missing = [wanted for wanted in ("file", column) if wanted not in table]
    if missing:
        raise LabelsError(
            f"{source} has no column {' and no column '.join(missing)}; its columns are {', '.join(table.columns)}."
        )
    if where is not None:
        table = filter_rows(table, where)
    truth = table[column].map(lambda word: label_meaning(word) or "")
    usable = truth.isin(CLASSES)
    unusable = table.loc[~usable, column].replace("", "(empty)").value_counts().sort_index()
    rows = table[usable].assign(truth=truth[usable]).reset_index(drop=True)
    if rows.empty:
        raise LabelsError(
            f"{source} leaves no picture labelled {' or '.join(CLASSES)}"
            + (f" with {where}" if where else "")
            + (f"; its labels are {', '.join(map(str, unusable.index[:8]))}." if len(unusable) else ".")
        )
    rows[ROW] = range(len(rows))
    rows = rows.assign(path=[str(root / file) for file in rows["file"]])
    return LabelledSet(
        name=name or default or "pictures",
        rows=rows,
        unusable={str(word): int(count) for word, count in unusable.items()},
        digest=digest,
        where=where,
    )


def label_meaning(word: str) -> str | None:
    """Returns ``female`` or ``male`` for a word that a data set uses for it (``F``, ``woman``, ``homme``)."""
    return _SHORT.get(word.strip().casefold()) or meaning_of(word)


def filter_rows(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Keeps the rows that meet every condition.

    Args:
        table: Columns of text.
        where: ``COLUMN OPERATOR VALUE``, several joined by ``and``; operators ``= != < <= > >=``. Numbers are compared
            as numbers, and a row whose cell is not a number does not meet ``< <= > >=``.

    Raises:
        LabelsError: If a condition cannot be read or names no column.
    """
    for part in re.split(r"\s+and\s+", where):
        match = _CONDITION.fullmatch(part)
        if not match:
            raise LabelsError(f"The condition {part!r} cannot be read; write it like age>=18 or race=Black.")
        name, operator, value = match.groups()
        if name not in table:
            raise LabelsError(f"The condition {part!r} names no column; the columns are {', '.join(table.columns)}.")
        table = table[_meets(table[name], operator, value.strip("'\""))]
    return table


def _meets(cells: pd.Series[str], operator: str, value: str) -> pd.Series[bool]:
    if operator in ("=", "=="):
        return cells == value
    if operator == "!=":
        return cells != value
    numbers = pd.to_numeric(cells, errors="coerce")
    try:
        limit = float(value)
    except ValueError as error:
        raise LabelsError(
            f"The condition {cells.name}{operator}{value} compares with something that is not a number."
        ) from error
    # A cell that is not a number is NaN; every comparison with NaN is false, so its row does not meet the condition.
    return {">=": numbers >= limit, "<=": numbers <= limit, ">": numbers > limit, "<": numbers < limit}[operator]


def age_band(age: str) -> str:
    """Returns the band of an age (``18-29``), the text itself where it is a word (``adult``), ``""`` for none."""
    try:
        years = float(age)
    except ValueError:
        return age.strip()
    if not years >= 0:  # NaN neither
        return ""
    number = bisect(AGE_BANDS, years)
    first = AGE_BANDS[number - 1]
    return f"{first}+" if number == len(AGE_BANDS) else f"{first}-{AGE_BANDS[number] - 1}"


def group_column(rows: pd.DataFrame, column: str) -> pd.Series[str]:
    """Returns the group of each row by one column; ``""`` where the labels do not say.

    Numbers in a column named ``age`` are banded. A cell that names several groups (``East Asian; White``) belongs to
    the group ``(several)``. Any other is taken as it is.

    Raises:
        LabelsError: If there is no such column.
    """
    if column not in rows:
        known = [str(name) for name in rows.columns if name not in ("path", "truth", ROW)]
        raise LabelsError(f"There is no column {column!r} to group by; the columns are {', '.join(known)}.")
    cells = rows[column].astype(str)
    cells = cells.map(age_band) if column == "age" else cells.str.strip()
    grouped: pd.Series[str] = cells.where(~cells.str.contains(";", regex=False), SEVERAL)
    return grouped


def _read_csv(source: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(source, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise LabelsError(f"{source} cannot be read as CSV: {error}.") from error
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    return table


def _read_folder(source: Path, column: str) -> tuple[pd.DataFrame, str]:
    entries = [
        (file.relative_to(source).as_posix(), folder.name)
        for folder in sorted(source.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    ]
    if not entries:
        raise LabelsError(f"{source} has no subfolder with pictures; one subfolder per class is expected.")
    listing = "\n".join(name for name, _ in entries)
    return pd.DataFrame(entries, columns=["file", column], dtype=str), sha256(listing.encode()).hexdigest()
