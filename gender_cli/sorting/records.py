"""Defines the lines of a journal: the header, the entries and their states, and which values each may hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Final

from ...runtime.bundle.strict_json import build, parse
from ..resume import file_key
from .options import SortOptions

__all__ = [
    "FIRST_LINES",
    "JOURNAL_NAME",
    "STATES",
    "VERSION",
    "Entry",
    "Equal",
    "Folder",
    "Header",
    "Mark",
    "State",
    "identity",
    "parse_header",
]

# Paths as they are in the journal:
# ruff: noqa: PTH116, PTH117, PTH119, PTH206

JOURNAL_NAME: Final = ".gender-classifier-journal.jsonl"
"""Where a sort keeps its journal, in the destination folder, unless ``--journal`` names a file."""

VERSION: Final = 3
"""Of the journals that are written. Those of version 2 can still be undone."""

FIRST_LINES: Final = {
    json.dumps({"journal": version, "of": "gender-classifier sort"}).encode() + b"\n": version
    for version in (2, VERSION)
}
"""First line -> version. It is always the same, so a file that merely starts like a journal is not taken for one."""


class State(IntEnum):
    """What became of an intent. ``OPEN`` and ``UNDOING`` are what a kill interrupted, or a clean-up that failed."""

    OPEN = 0
    DONE = 1
    CANCELLED = 2
    UNDOING = 3
    UNDONE = 4


STATES: Final[Mapping[str, State]] = {
    "done": State.DONE,
    "cancel": State.CANCELLED,
    "undoing": State.UNDOING,
    "undone": State.UNDONE,
}
"""The words by which the journal tells what became of an intent."""


@dataclass(frozen=True)
class Header:
    """The second line: the options of the sort, and its folders.

    Attributes:
        options: ``source`` and ``destination`` are absolute folders, without symbolic links.
        start: The one file in the source that is sorted, or ``""`` for the whole folder.
        folder: The journal's own folder: if it moved, the others may have moved with it.
        source_id: :func:`identity` of the source; ``""`` if unknown.
        destination_id: Of the destination.
        token: Random; part of the names of unfinished files, so that they are never another program's.
        made: Names of the folders that had to be made for the destination, its own last.
    """

    options: SortOptions
    start: str
    folder: str
    source_id: str
    destination_id: str
    token: str = ""
    made: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for path in (self.options.source, self.options.destination, self.folder):
            _require(os.path.isabs(path), f"{path!r} is not absolute")
            os.fsencode(path)
        if self.start:
            _check_inside(self.start)
        _require(os.sep not in self.start, f"{self.start!r} is not a file's name")
        _require(re.fullmatch("[0-9a-f]*", self.token) is not None, f"{self.token!r} is not a token")

    def record(self) -> dict[str, Any]:
        """Returns the line, without the options that say nothing in a journal: its own path, and ``dry_run``."""
        record = asdict(self)
        del record["options"]["journal"], record["options"]["dry_run"]
        return record


@dataclass(frozen=True)
class Equal:
    """A picture that stays where it is, because another file has the same content.

    Attributes:
        src: Its path below the source.
        dst: That of the other one below the destination.
        size: In bytes.
        mtime_ns: Modification time in nanoseconds.
        outcome: The answer: a label, ``mixed`` or a status.
    """

    src: str
    dst: str
    size: int
    mtime_ns: int
    outcome: str

    def __post_init__(self) -> None:
        _check_inside(self.src)
        _check_inside(self.dst)

    @property
    def key(self) -> bytes:
        """Stands for the picture as it was: path, size, mtime."""
        return file_key(self.src, self.size, self.mtime_ns)


@dataclass(frozen=True)
class Entry(Equal):
    """A picture that is put at ``dst``.

    Attributes:
        id: Its number in the journal, from 0.
        sha256: Of its content, lower-case hex.
    """

    id: int
    sha256: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(re.fullmatch("[0-9a-f]{64}", self.sha256) is not None, f"{self.sha256!r} is not a sha256")


@dataclass(frozen=True)
class Mark:
    """What became of the entry with this number."""

    id: int


@dataclass(frozen=True)
class Folder:
    """A folder below the destination that is about to be made."""

    path: str

    def __post_init__(self) -> None:
        _check_inside(self.path)


def identity(folder: str) -> str:
    """Returns what tells a folder from another one of its name: its inode number, which a rename does not change."""
    return str(os.stat(folder).st_ino)


def parse_header(line: bytes, version: int, path: str) -> Header:
    """Returns the header that a line holds, of this version or of version 2, which has fewer fields.

    Args:
        line: The second one.
        version: By the first one.
        path: Of the journal.

    Raises:
        JSONFormatError: If it is not a header.
    """
    record = parse(line, lone_surrogates=True)
    if version < VERSION and isinstance(record, dict):
        folder, name = os.path.split(path)
        made = record.get("made")
        same = ("source", "destination", "mode", "names", "keep_tree", "recursive")
        record = {
            "options": {key: record[key] for key in same if key in record},
            "start": record.get("start"),
            "folder": record.get("destination") if name == JOURNAL_NAME else folder,
            "source_id": "",
            "destination_id": "",
            "token": record.get("token"),
            "made": [os.path.basename(each) for each in made if isinstance(each, str)] if type(made) is list else made,
        }
    return build(Header, record)


def _check_inside(path: str) -> None:
    """Raises a ValueError unless a path stays inside the folder that it is joined to."""
    names = path.replace(os.altsep or os.sep, os.sep).split(os.sep)
    inside = path and not os.path.isabs(path) and not os.path.splitdrive(path)[0] and os.pardir not in names
    _require(bool(inside), f"{path!r} leads out of the sorted folders")
    os.fsencode(path)  # what no file can be called is a ValueError too


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
