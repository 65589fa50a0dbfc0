"""The journal of a sort: what was meant, what was done, what was undone, one JSON object a line.

An intent is on the disk before the file system is touched, and its ``done`` follows. So after a kill or a power cut at
any moment exactly one entry can be open, and it tells where to look. ``docs/sorting.md`` shows the format.
"""

from __future__ import annotations

import json
import os
from array import array
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, final

from gender_cli.inputs import printable
from gender_cli.results import WriteError, file_key, lock, write_line
from runtime.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

__all__ = ["JOURNAL_NAME", "MODES", "VERSION", "Entry", "Header", "Journal", "State", "sync_folder"]

# Paths as they are in the journal, and a file descriptor:
# ruff: noqa: PTH117, PTH120, PTH206

JOURNAL_NAME = ".gender-classifier-journal.jsonl"
"""Where a sort keeps its journal, in the destination folder, unless told otherwise."""

MODES = ("copy", "move", "hardlink", "symlink")
"""What can be done with each picture."""

VERSION = 1
_START = b'{"journal": '


class State(IntEnum):
    """What became of an intent. After a kill at most one entry is ``OPEN`` or ``UNDOING``."""

    OPEN = 0
    DONE = 1
    CANCELLED = 2
    UNDOING = 3
    UNDONE = 4


_STATES = {
    "done": State.DONE,
    "cancel": State.CANCELLED,
    "undoing": State.UNDOING,
    "undone": State.UNDONE,
}


@dataclass(frozen=True)
class Header:
    """The first line: what the sort was told.

    Attributes:
        source: The folder that pictures come from, absolute, without symbolic links.
        destination: The folder that they go to, likewise.
        mode: ``copy``, ``move``, ``hardlink`` or ``symlink``.
        names: Folder by answer (label, status, ``failed``, ``mixed``).
        keep_tree: Whether the folders inside ``source`` are made again inside each answer's folder.
        mixed: Whether photographs whose people differ go to a folder of their own.
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
    model: Mapping[str, Any] | None = None
    token: str = ""
    made: tuple[str, ...] = ()

    def conflict(self, other: Header) -> str | None:
        """Returns the first setting in which two headers differ, in words, or ``None``."""
        for name in ("source", "destination", "mode", "names", "keep_tree", "mixed", "model"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name} is {mine!r} there and {theirs!r} now"
        return None


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
        _check_inside(self.src)
        _check_inside(self.dst)


def _check_inside(path: str) -> None:
    names = path.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if not path or os.path.isabs(path) or os.path.splitdrive(path)[0] or os.pardir in names or "\0" in path:
        raise ValueError(f"{path!r} leads out of the sorted folders")


_ENTRY_FIELDS = frozenset(entry.name for entry in fields(Entry))
_HEADER_FIELDS = frozenset(entry.name for entry in fields(Header))


@dataclass
class _Contents:
    """What the lines of a journal add up to; a few dozen bytes per entry."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)
    keys: list[bytes] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    equal: dict[bytes, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


@final
class Journal:
    """An open journal. Only one process at a time can have it open for writing, where the system can lock files."""

    def __init__(self, path: str, descriptor: int, header: Header, contents: _Contents, length: int) -> None:
        self.path = path
        self.header = header
        self._descriptor = descriptor
        self._contents = contents
        self._length = length
        self._words: dict[str, str] = {}

    @classmethod
    def create(cls, path: str, header: Header) -> Journal:
        """Starts a journal; what a killed start left of one is overwritten.

        Raises:
            OptionError: If it cannot be written, is in use or holds something.
        """
        shown = printable(path)
        try:
            descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o666)
        except OSError as error:
            raise OptionError(f"The journal {shown} cannot be written: {error.strerror}.") from error
        journal = cls(path, descriptor, header, _Contents(), 0)
        try:
            lock(descriptor, f"{shown} belongs to a sort that is still running.")
            if not _is_torn_start(os.read(descriptor, 1 << 20)):
                raise OptionError(f"{shown} is no journal of a sort; name another file with --journal.")
            os.ftruncate(descriptor, 0)
            journal._append({"journal": VERSION, **asdict(header)}, sync=True)
            sync_folder(os.path.dirname(path))
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open(cls, path: str, *, write: bool = True) -> Journal:
        """Opens a journal; a torn last line is cut off.

        Raises:
            FileNotFoundError: If there is none, or none whose first line was finished.
            OptionError: If it cannot be read, is in use, or is not a journal of this version.
        """
        shown = printable(path)
        try:
            descriptor = os.open(path, _FLAGS if write else os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OptionError(f"The journal {shown} cannot be opened: {error.strerror}.") from error
        try:
            if write:
                lock(descriptor, f"{shown} belongs to a sort that is still running.")
            header, contents, length = _read(descriptor, shown)
            if write:
                os.ftruncate(descriptor, length)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, header, contents, length)

    def held(self, *, with_done: bool) -> dict[bytes, str]:
        """Returns the answers given already, by :func:`gender_cli.results.file_key`.

        Args:
            with_done: Whether the pictures that were put somewhere count, or only those whose equal was there already.
        """
        contents = self._contents
        held = dict(contents.equal)
        if with_done:
            done = (index for index, state in enumerate(contents.states) if state == State.DONE)
            held.update((contents.keys[index], contents.outcomes[index]) for index in done)
        return held

    def outcomes(self) -> Iterator[str]:
        """Yields the answer of every picture that was put somewhere."""
        contents = self._contents
        for outcome, state in zip(contents.outcomes, contents.states, strict=True):
            if state == State.DONE:
                yield outcome

    def folders(self) -> list[str]:
        """Returns the folders that the sort made below the destination, in the order of making."""
        return list(self._contents.folders)

    def entries(self, *states: State) -> Iterator[Entry]:
        """Yields the entries in these states, the last one first."""
        for index in reversed(range(len(self._contents.offsets))):
            if self._contents.states[index] in states:
                yield self._entry(index)

    def intend(self, src: str, dst: str, *, sha256: str, size: int, mtime_ns: int, outcome: str) -> Entry:
        """Writes an intent, and returns when it is on the disk.

        Raises:
            WriteError: If it cannot be written.
        """
        contents = self._contents
        entry = Entry(len(contents.states), src, dst, sha256, size, mtime_ns, outcome)
        offset = self._length
        self._append({"op": "place", **asdict(entry)}, sync=True)
        contents.offsets.append(offset)
        contents.states.append(State.OPEN)
        contents.keys.append(file_key(src, size, mtime_ns))
        contents.outcomes.append(self._words.setdefault(outcome, outcome))
        return entry

    def mark(self, entry: Entry, state: State) -> None:
        """Writes what became of an intent.

        Only :attr:`State.UNDOING`, an intent itself, is on the disk on return; the next one's sync carries the others.

        Raises:
            WriteError: If it cannot be written.
        """
        word = next(word for word, known in _STATES.items() if known is state)
        self._append({"op": word, "id": entry.id}, sync=state is State.UNDOING)
        self._contents.states[entry.id] = state

    def note_equal(self, src: str, dst: str, *, size: int, mtime_ns: int, outcome: str) -> None:
        """Writes that a picture stays where it is, because ``dst`` has the same content."""
        self._append({"op": "equal", "src": src, "dst": dst, "size": size, "mtime_ns": mtime_ns, "outcome": outcome})
        self._contents.equal[file_key(src, size, mtime_ns)] = outcome

    def forget_equal(self) -> None:
        """Writes that what was equal once need not be so any more, since files are being taken away."""
        self._append({"op": "forget"})
        self._contents.equal.clear()

    def note_folder(self, path: str) -> None:
        """Writes that a folder below the destination is about to be made."""
        self._append({"op": "mkdir", "path": path}, sync=True)
        self._contents.folders.append(path)

    def sync(self) -> None:
        """Returns when everything written is on the disk."""
        with suppress(OSError):  # a file system without fsync
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Closes the journal."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, record: Mapping[str, Any], *, sync: bool = False) -> None:
        line = json.dumps(record).encode("ascii") + b"\n"
        try:
            write_line(self._descriptor, line, self._length)
        except OSError as error:
            raise WriteError(f"The journal {printable(self.path)} cannot be written: {error.strerror}.") from error
        self._length += len(line)
        if sync:
            self.sync()

    def _entry(self, index: int) -> Entry:
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(self._contents.offsets[index])
            return _entry(json.loads(file.readline()))


_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)


def sync_folder(folder: str) -> None:
    """Returns when the names in a folder are on the disk, where the system can do that."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder or os.curdir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_torn_start(content: bytes) -> bool:
    """Whether a file is empty or holds no more than a first line that was never finished."""
    head = content.rstrip(b"\0")
    return b"\n" not in head and (head.startswith(_START) or _START.startswith(head))


def _entry(record: dict[str, Any]) -> Entry:
    if set(record) - {"op"} != _ENTRY_FIELDS:
        raise ValueError("its fields are not those of an entry")
    record.pop("op", None)
    return Entry(**record)


def _read(descriptor: int, shown: str) -> tuple[Header, _Contents, int]:
    """Reads a journal from its start; returns also where its last whole line ends."""
    contents = _Contents()
    words: dict[str, str] = {}
    header: Header | None = None
    end = 0
    with open(descriptor, "rb", closefd=False) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                if header is None and not _is_torn_start(line):
                    raise OptionError(f"{shown} is no journal of a sort.")
                break
            try:
                record = json.loads(line)
                if header is None:
                    header = _header(record)
                else:
                    _take(record, contents, words, end)
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                raise OptionError(f"{shown} is no journal that this version reads: line {number}: {error}.") from error
            end += len(line)
    if header is None:
        raise FileNotFoundError(f"{shown} holds no finished line")
    return header, contents, end


def _header(record: dict[str, Any]) -> Header:
    if record.get("journal") != VERSION:
        raise ValueError(f"its version is {record.get('journal')!r}, not {VERSION}")
    record.pop("journal")
    if set(record) != _HEADER_FIELDS:
        raise ValueError("its fields are not those of this version")
    record["made"] = tuple(record["made"])
    header = Header(**record)
    if header.mode not in MODES:
        raise ValueError(f"the mode {header.mode!r} is not known")
    for path in (header.source, header.destination, *header.made):
        if not os.path.isabs(path):
            raise ValueError(f"{path!r} is not absolute")
    return header


def _take(record: dict[str, Any], contents: _Contents, words: dict[str, str], offset: int) -> None:
    op = record["op"]
    if op == "place":
        entry = _entry(record)
        if entry.id != len(contents.states):
            raise ValueError(f"entry {entry.id} comes where {len(contents.states)} is due")
        contents.offsets.append(offset)
        contents.states.append(State.OPEN)
        contents.keys.append(file_key(entry.src, entry.size, entry.mtime_ns))
        contents.outcomes.append(words.setdefault(entry.outcome, entry.outcome))
    elif op in _STATES:
        contents.states[record["id"]] = _STATES[op]
    elif op == "equal":
        key = file_key(record["src"], record["size"], record["mtime_ns"])
        contents.equal[key] = words.setdefault(record["outcome"], record["outcome"])
    elif op == "mkdir":
        _check_inside(record["path"])
        contents.folders.append(record["path"])
    elif op == "forget":
        contents.equal.clear()
    else:
        raise ValueError(f"{op!r} is no operation")
