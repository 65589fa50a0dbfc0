"""What the lines of a journal mean: the header, the entries and their states, and which values each may hold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

from ...runtime.options import PARTS, options_of
from ..inputs import printable
from ..resume import file_key

__all__ = [
    "FIRST_LINE",
    "MODES",
    "SETTINGS",
    "STATES",
    "VERSION",
    "Entry",
    "Header",
    "State",
    "check",
    "check_equal",
    "check_inside",
    "parse_entry",
    "parse_header",
]

# Paths as they are in the journal:
# ruff: noqa: PTH117, PTH118, PTH206

MODES = ("copy", "move", "hardlink", "symlink")
"""What can be done with each picture."""

_TYPES: Mapping[type, tuple[type, ...]] = {float: (int, float)}

SETTINGS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    **{
        option.name: _TYPES.get(option.kind, (option.kind,))
        for part in PARTS
        for _, option in options_of(part)
        if option.decides
    },
}
"""The options, by their names on the command line, that decide the answers. Each may also be ``None``: not given."""

_PLACES = frozenset({"model", "detector"})
"""Settings that say where something lies, so that it is found again. What it is, ``Header.model`` says."""

VERSION = 2
"""Of the journals that are written, and the only one that is read."""

FIRST_LINE = b'{"journal": %d, "of": "gender-classifier sort"}\n' % VERSION
"""The first line. It is always the same, so a file that holds a part of it, or it and a part of the next line, is a
journal that was never finished; and a file that merely starts like one is not taken for it."""

_HUGE = 1 << 63


class State(IntEnum):
    """What became of an intent. After a kill at most one entry is ``OPEN`` or ``UNDOING``."""

    OPEN = 0
    DONE = 1
    CANCELLED = 2
    UNDOING = 3
    UNDONE = 4


STATES: Mapping[str, State] = {
    "done": State.DONE,
    "cancel": State.CANCELLED,
    "undoing": State.UNDOING,
    "undone": State.UNDONE,
}
"""The words by which the journal tells what became of an intent."""


@dataclass(frozen=True)
class Header:
    """The second line: what the sort was told.

    Attributes:
        source: The folder that pictures come from, absolute, without symbolic links.
        destination: The folder that they go to, likewise.
        mode: ``copy``, ``move``, ``hardlink`` or ``symlink``.
        names: Folder by answer (label, status, ``failed``, ``mixed``).
        keep_tree: Whether the folders inside ``source`` are made again inside each answer's folder.
        mixed: Whether photographs whose people differ go to a folder of their own; no longer a choice.
        start: The one file in ``source`` that is sorted, or ``""`` for the whole folder.
        recursive: Whether the folders inside ``source`` are sorted too.
        settings: The options that decide the answers, some of :data:`SETTINGS`.
        model: What gave the answers, or ``None`` if unknown.
        token: Random; part of the names of unfinished files, so that they are never somebody else's.
        made: Folders that had to be made for ``destination`` itself, outermost first, absolute.
    """

    source: str
    destination: str
    mode: str
    names: Mapping[str, str]
    keep_tree: bool = False
    mixed: bool = False
    start: str = ""
    recursive: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None
    token: str = ""
    made: tuple[str, ...] = ()

    @property
    def start_path(self) -> str:
        """The folder, or the one file, that is sorted."""
        return os.path.join(self.source, self.start) if self.start else self.source

    def conflict(self, other: Header) -> str | None:
        """Returns the first thing in which two sorts differ, in words, or ``None``."""
        for (what, mine), (_, theirs) in zip(self._told(), other._told(), strict=True):
            if mine != theirs:
                return f"{what} was {_shown(mine, theirs)} then and is {_shown(theirs, mine)} now"
        return None

    def _told(self) -> Iterator[tuple[str, Any]]:
        """Yields what the sort was told, each with its name for people."""
        yield "SRC", self.start_path
        yield "DEST", self.destination
        yield "--mode", self.mode
        yield "--names", self.names
        yield "--keep-tree", self.keep_tree
        yield "--mixed", self.mixed
        yield "--recursive", self.recursive
        for name in SETTINGS:
            if name not in _PLACES:
                yield f"--{name.replace('_', '-')}", self.settings.get(name)
        yield "the model", self.model


def _shown(value: Any, other: Any) -> str:
    """Returns a setting for people; of a table only what is not the same in the other one."""
    if isinstance(value, Mapping):
        others = other if isinstance(other, Mapping) else {}
        differing = {name: what for name, what in value.items() if name not in others or others[name] != what}
        return ", ".join(f"{name}={_shown(what, None)}" for name, what in differing.items()) or "without these"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not given" if value is None else printable(str(value))


@dataclass(frozen=True)
class Entry:
    """One picture that is put somewhere.

    Attributes:
        id: Its number in the journal, from 0.
        src: Its path below ``source``.
        dst: Its path below ``destination``.
        sha256: Of its content, lower-case hex.
        size: In bytes.
        mtime_ns: Modification time in nanoseconds.
        outcome: The answer: a label, ``mixed`` or a status.
    """

    id: int
    src: str
    dst: str
    sha256: str
    size: int
    mtime_ns: int
    outcome: str

    def __post_init__(self) -> None:
        check_inside(self.src)
        check_inside(self.dst)

    @property
    def key(self) -> bytes:
        """Stands for the picture as it was: path, size, mtime."""
        return file_key(self.src, self.size, self.mtime_ns)


_ENTRY_FIELDS = frozenset(entry.name for entry in fields(Entry))
_HEADER_FIELDS = frozenset(entry.name for entry in fields(Header))
_EQUAL_FIELDS = frozenset({"op", "src", "dst", "size", "mtime_ns", "outcome"})


def parse_header(record: dict[str, Any]) -> Header:
    """Returns the header that a record holds.

    Raises:
        ValueError: If a value cannot be.
        KeyError: If a value is missing.
        TypeError: If a value is of another kind.
        AttributeError: Likewise.
    """
    if set(record) != _HEADER_FIELDS:
        raise ValueError("its fields are not those of this version")
    for name in ("source", "destination"):
        _check_absolute(record[name])
    for name in ("keep_tree", "mixed", "recursive"):
        check(type(record[name]) is bool, name, record[name])
    check(record["mode"] in MODES, "mode", record["mode"])
    check(record["start"] == "" or os.sep not in record["start"], "start", record["start"])
    if record["start"]:
        check_inside(record["start"])
    for name, value in record["names"].items():
        check(isinstance(value, str), name, value)
    check(record["model"] is None or isinstance(record["model"], dict), "model", record["model"])
    for name, value in record["settings"].items():
        _check_setting(name, value)
    check(re.fullmatch("[0-9a-f]*", record["token"]) is not None, "token", record["token"])
    for path in record["made"]:
        _check_absolute(path)
        inside = f"{record['destination']}{os.sep}".startswith(f"{path.rstrip(os.sep)}{os.sep}")
        check(inside, "made", path)  # what an undo will remove
    return Header(**{**record, "made": tuple(record["made"])})


def parse_entry(record: dict[str, Any]) -> Entry:
    """Returns the entry that a record holds, or raises an error, as :func:`parse_header` does."""
    if set(record) != _ENTRY_FIELDS | {"op"}:
        raise ValueError("its fields are not those of an entry")
    _check_facts(record)
    check(re.fullmatch("[0-9a-f]{64}", record["sha256"]) is not None, "sha256", record["sha256"])
    return Entry(**{name: record[name] for name in _ENTRY_FIELDS})


def check_equal(record: dict[str, Any]) -> None:
    """Raises an error, as :func:`parse_header` does, unless a record is a note of an equal file."""
    if set(record) != _EQUAL_FIELDS:
        raise ValueError("its fields are not those of an equal file")
    _check_facts(record)
    check_inside(record["dst"])


def check_inside(path: str) -> None:
    """Raises a ValueError unless a path stays inside the folder that it is joined to."""
    names = path.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if not path or os.path.isabs(path) or os.path.splitdrive(path)[0] or os.pardir in names or "\0" in path:
        raise ValueError(f"{path!r} leads out of the sorted folders")
    os.fsencode(path)  # what no file can be called is a ValueError too


def check(holds: bool, name: str, value: object) -> None:
    """Raises a ValueError that tells of a value unless something holds."""
    if not holds:
        raise ValueError(f"{value!r} cannot be its {name}")


def _check_absolute(path: str) -> None:
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError(f"{path!r} is not absolute")
    os.fsencode(path)


def _check_setting(name: str, value: Any) -> None:
    check(name in SETTINGS and (value is None or type(value) in SETTINGS[name]), name, value)
    if isinstance(value, str):
        check("\0" not in value, name, value)
        os.fsencode(value)
    elif isinstance(value, (int, float)):
        check(-_HUGE <= value < _HUGE, name, value)


def _check_facts(record: dict[str, Any]) -> None:
    """Checks what an entry and a note of an equal file both have."""
    for name in ("src", "dst", "outcome"):
        check(isinstance(record[name], str), name, record[name])
    for name in ("size", "mtime_ns"):
        check(type(record[name]) is int and -_HUGE <= record[name] < _HUGE, name, record[name])
