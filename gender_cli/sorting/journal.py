"""Writes and reads the journal of a sort: what was meant, what was done, what was undone, one JSON object a line.

An intent is on the disk before the file system is touched, and its ``done`` follows. So after a kill or a power cut at
any moment an entry that is open tells where to look. ``docs/sorting.md`` shows the format.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, final

from ...runtime.bundle.strict_json import JSONFormatError, build, parse
from ...runtime.errors import OptionError
from ...runtime.escaping import printable
from ..jsonl import JsonLines, WriteError
from .files import sync_folder
from .records import FIRST_LINES, STATES, VERSION, Entry, Equal, Folder, Header, Mark, State, parse_header

__all__ = ["Journal"]

# Paths as they are in the journal, and a file descriptor:
# ruff: noqa: PTH108, PTH120

_FIRST_LINE = next(line for line, version in FIRST_LINES.items() if version == VERSION)
_SHORT: Final = 1 << 16
"""Bytes of zeros alone that a power cut may leave of a journal that was just begun."""

_WORDS = {state: word for word, state in STATES.items()}


@final
class Journal:
    """An open journal. Only one process at a time can have it open for writing, where the system can lock files.

    Attributes:
        path: Of its file, absolute.
        version: Of its format; only one of :data:`~gender_cli.sorting.records.VERSION` can be gone on with.
        header: Options and folders of the sort.
    """

    def __init__(self, path: str, file: JsonLines) -> None:
        self.path = path
        self.version = VERSION
        self.header: Header
        self._file = file
        # What the lines add up to; a few dozen bytes per entry.
        self._offsets = array("q")
        self._states = bytearray()
        self._equal: dict[bytes, int] = {}  # where the line is
        self._folders: list[str] = []

    @classmethod
    def create(cls, path: str, header: Header) -> Journal:
        """Starts a journal. What a killed start left of one is overwritten.

        Raises:
            OptionError: If it cannot be written, is in use or holds something.
        """
        journal = cls(path, JsonLines(path, create=True, private=True))
        try:
            journal._check_owner()
            if journal._read():
                raise _foreign(journal._file.name)
            journal.header = header
            journal._file.cut(0)
            journal._file.append(json.loads(_FIRST_LINE), header.record(), durable=True)
            sync_folder(os.path.dirname(path))
        except WriteError:
            journal.remove()
            raise
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open(cls, path: str, *, write: bool = True) -> Journal:
        """Opens a journal; a torn last line is cut off.

        Raises:
            FileNotFoundError: If there is none, or none whose first lines were finished.
            OptionError: If it cannot be read, is in use, belongs to another user or is not a journal.
        """
        journal = cls(path, JsonLines(path, write=write, private=True))
        try:
            journal._check_owner()
            if not journal._read():
                raise FileNotFoundError(path)
            if write:
                journal._file.cut()
        except BaseException:
            journal.close()
            raise
        return journal

    def info(self) -> os.stat_result:
        """Returns what the file system tells of its file."""
        return os.fstat(self._file.descriptor)

    def remove(self) -> None:
        """Deletes the journal and closes it."""
        if os.name == "nt":  # an open file cannot be deleted there
            self.close()
        os.unlink(self.path)
        self.close()

    def equals(self) -> Iterator[Equal]:
        """Yields the pictures that were left because of an equal file."""
        for offset in self._equal.values():
            yield build(Equal, self._record(offset))

    def folders(self) -> list[str]:
        """Returns the folders that the sort made below the destination, in the order of making."""
        return list(self._folders)

    def state(self, entry: Entry) -> State:
        """Returns what became of an entry."""
        return State(self._states[entry.id])

    def count(self, *states: State) -> int:
        """Returns how many entries are in these states."""
        return sum(self._states.count(state) for state in states)

    def entries(self, *states: State) -> Iterator[Entry]:
        """Yields the entries in these states, the last one first."""
        for index in reversed(range(len(self._offsets))):
            if self._states[index] in states:
                yield build(Entry, self._record(self._offsets[index]))

    def intend(self, what: Equal, sha256: str) -> Entry:
        """Writes the intent to put a picture at ``dst``, and returns when it is on the disk.

        Raises:
            WriteError: If it cannot be written.
        """
        entry = Entry(**vars(what), id=len(self._states), sha256=sha256)
        self._add(entry, self._file.append({"op": "place", **asdict(entry)}, durable=True))
        return entry

    def mark(self, entry: Entry, state: State) -> None:
        """Writes what became of an intent.

        Only :attr:`State.UNDOING`, an intent itself, is on the disk on return; the next one's sync carries the others.

        Raises:
            WriteError: If it cannot be written.
        """
        self._file.append({"op": _WORDS[state], "id": entry.id}, durable=state is State.UNDOING)
        self._states[entry.id] = state

    def note_equal(self, equal: Equal) -> None:
        """Writes that a picture stays where it is, because another file has the same content."""
        self._equal[equal.key] = self._file.append({"op": "equal", **asdict(equal)})

    def forget_equal(self) -> None:
        """Writes that what was equal once need not be so any more, since files are being taken away."""
        self._file.append({"op": "forget"})
        self._equal.clear()

    def note_folder(self, path: str) -> None:
        """Writes that a folder below the destination is about to be made."""
        self._file.append({"op": "mkdir", "path": path}, durable=True)
        self._folders.append(path)

    def close(self) -> None:
        """Closes the journal."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_owner(self) -> None:
        if hasattr(os, "geteuid") and self.info().st_uid != os.geteuid():
            raise OptionError(
                f"{self._file.name} belongs to another user, so it is not obeyed. Undo that sort, or go on with it, as "
                "that user; or keep this one's journal elsewhere with --journal FILE."
            )

    def _read(self) -> bool:
        """Takes in every whole line; returns whether it has a header, and not what was left of a killed start.

        Raises:
            OptionError: If it is not a journal of a version that can be read.
        """
        name, number = self._file.name, 0
        for number, (offset, line) in enumerate(self._file.lines(), 1):
            if number == 1:
                self.version = _version(line, name)
                continue
            try:
                if number == 2:
                    self.header = parse_header(line, self.version, self.path)
                else:
                    self._take(parse(line, lone_surrogates=True), offset)
            except ValueError as error:
                raise _damaged(name, number, str(error)) from error
        starts = (_FIRST_LINE, b'{"options": {"source": "', b'{"op": "')
        start = starts[min(number, 2)]
        zeros = number == 0 and not self._file.tail[:_SHORT].strip(b"\0") and len(self._file.tail) < _SHORT
        if not zeros and not self._file.is_torn(lambda tail: tail.startswith(start) or start.startswith(tail)):
            raise _foreign(name) if number < 2 else _damaged(name, number + 1, "it is not a line of a journal")
        return number >= 2

    def _take(self, record: Any, offset: int) -> None:
        op = record.pop("op", None) if isinstance(record, dict) else None
        if op == "place":
            entry = build(Entry, record)
            if entry.id != len(self._states):
                raise ValueError(f"its id is {entry.id}, not {len(self._states)}")
            self._add(entry, offset)
        elif isinstance(op, str) and op in STATES:
            number = build(Mark, record).id
            if not 0 <= number < len(self._states):
                raise ValueError(f"there is no entry {number}")
            self._states[number] = STATES[op]
        elif op == "equal":
            self._equal[build(Equal, record).key] = offset
        elif op == "mkdir":
            self._folders.append(build(Folder, record).path)
        elif op == "forget" and not record:
            self._equal.clear()
        else:
            raise ValueError("it is not an operation of a journal")

    def _add(self, entry: Entry, offset: int) -> None:
        self._offsets.append(offset)
        self._states.append(State.OPEN)
        self._equal.pop(entry.key, None)  # it was asked again, because its equal had gone

    def _record(self, offset: int) -> dict[str, Any]:
        record: dict[str, Any] = parse(self._file.line_at(offset), lone_surrogates=True)
        del record["op"]
        return record


def _version(line: bytes, name: str) -> int:
    """Returns the version of a journal by its first line.

    Raises:
        OptionError: If it is of one that cannot be read, or not a journal.
    """
    version: Any = FIRST_LINES.get(line)
    if version is not None:
        return int(version)
    with suppress(JSONFormatError, TypeError, LookupError):
        version = parse(line)["journal"]
        if type(version) is int and version not in FIRST_LINES.values():
            raise OptionError(
                f"{name} is a journal of version {version}, and this gender-classifier reads version "
                f"{' and '.join(map(str, FIRST_LINES.values()))}. The one that wrote it can go on with it or undo it."
            )
    raise _foreign(name)


def _foreign(name: str) -> OptionError:
    return OptionError(f"{name} is not a journal of a sort, so it is left as it is; name another file with --journal.")


def _damaged(name: str, number: int, reason: str) -> OptionError:
    return OptionError(
        f"{name} is damaged, or not a journal of this version, so nothing is done. "
        f"Line {number}: {printable(reason)[:500]}."
    )
