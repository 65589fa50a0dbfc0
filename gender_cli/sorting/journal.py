"""The journal of a sort: what was meant, what was done, what was undone, one JSON object a line.

An intent is on the disk before the file system is touched, and its ``done`` follows. So after a kill or a power cut at
any moment exactly one entry can be open, and it tells where to look. ``docs/sorting.md`` shows the format.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, final

from ...runtime.errors import OptionError
from ..inputs import printable
from ..jsonl import WriteError, write_line
from ..resume import file_key
from .journal_files import (
    FOR_READING,
    FOR_WRITING,
    claim,
    open_regular,
    sync_file,
    sync_folder,
    waiting_place,
    waiting_places,
)
from .journal_format import FIRST_LINE, STATES, Entry, Header, State, parse_entry
from .journal_reading import Contents, foreign, is_unfinished, read

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["JOURNAL_NAME", "Journal"]

# Paths as they are in the journal, and a file descriptor:
# ruff: noqa: PTH104, PTH108, PTH119, PTH120

JOURNAL_NAME = ".gender-classifier-journal.jsonl"
"""Where a sort keeps its journal, in the destination folder, unless told otherwise."""


@final
class Journal:
    """An open journal. Only one process at a time can have it open for writing, where the system can lock files.

    A journal that lies in folders which the sort itself makes cannot be there before them, nor after them. It is
    started beside the outermost of them and moved in (:meth:`arrive`), and moved out again (:meth:`step_aside`) before
    they are removed. So at every moment it tells what is to be done, and :meth:`open` finds it in either place.
    """

    def __init__(self, path: str, place: str, descriptor: int, header: Header, contents: Contents, length: int) -> None:
        self.path = path
        self.header = header
        self._place = place  # where it is; elsewhere than at ``path`` while it waits aside
        self._descriptor = descriptor
        self._contents = contents
        self._length = length

    @classmethod
    def create(cls, path: str, header: Header) -> Journal:
        """Starts a journal, aside if the folder that it belongs in is still to be made.

        What a killed start left of one is overwritten.

        Raises:
            OptionError: If it cannot be written, is in use or holds something.
        """
        shown = printable(path)
        place = waiting_place(path, header.made) or path
        descriptor = open_regular(place, FOR_WRITING | os.O_CREAT, shown)
        journal = cls(path, place, descriptor, header, Contents(), 0)
        try:
            try:
                claim(descriptor, place, shown)
            except FileNotFoundError as error:
                raise OptionError(f"{shown} was taken away while it was being opened; start again.") from error
            if not is_unfinished(descriptor):
                raise foreign(shown)
            os.ftruncate(descriptor, 0)
            journal._write(FIRST_LINE)
            journal._append(asdict(header), sync=True)
            sync_folder(os.path.dirname(place))
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
            OptionError: If it cannot be read, is in use, or is not a journal of this version.
        """
        waiting = [place for place in waiting_places(path) if os.path.lexists(place)]
        for place in (path, *waiting):
            with suppress(FileNotFoundError):
                return cls._open(path, place, write=write)
        raise FileNotFoundError(errno.ENOENT, "There is no journal", path)

    @classmethod
    def _open(cls, path: str, place: str, *, write: bool) -> Journal:
        shown = printable(path)
        descriptor = open_regular(place, FOR_WRITING if write else FOR_READING, shown)
        try:
            if write:
                claim(descriptor, place, shown)
            found = read(descriptor, shown)
            if found is None:
                # Where only a sort puts a file, what was never finished goes; else --undo would leave it for ever.
                if write and (place != path or os.path.basename(path) == JOURNAL_NAME):
                    os.unlink(place)
                raise FileNotFoundError(errno.ENOENT, "It holds no finished line", place)
            header, contents, length = found
            if write:
                os.ftruncate(descriptor, length)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, place, descriptor, header, contents, length)

    def arrive(self) -> None:
        """Moves a journal that waits aside to where it belongs; the folder must be there.

        Raises:
            OptionError: If it cannot be moved.
        """
        if self._place == self.path:
            return
        try:
            if os.path.lexists(self.path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._rename(self.path)
        except OSError as error:
            raise OptionError(f"The journal {printable(self.path)} cannot be written: {error.strerror}.") from error

    def step_aside(self) -> bool:
        """Moves the journal out of the folders that the sort made, so that they can be removed first.

        Returns:
            Whether it lies outside them now; if not, they can only be removed after it.
        """
        aside = waiting_place(self.path, self.header.made)
        if aside is not None and self._place == self.path and not os.path.lexists(aside):
            with suppress(OSError):
                self._rename(aside)
        return aside is None or self._place == aside

    def remove(self) -> None:
        """Deletes the journal and closes it."""
        if os.name != "posix":  # an open file cannot be deleted there
            self.close()
        os.unlink(self._place)
        self.close()

    def _rename(self, target: str) -> None:
        if os.name != "posix":  # an open file cannot be renamed there
            os.close(self._descriptor)
            self._descriptor = -1
        try:
            os.rename(self._place, target)
            sync_folder(os.path.dirname(target))
            self._place = target
        finally:
            if self._descriptor < 0:
                self._descriptor = os.open(self._place, FOR_WRITING)

    def equals(self) -> Iterator[tuple[bytes, str, str]]:
        """Yields key, answer and the path below the destination of what was equal, for pictures left for that."""
        for key, offset in self._contents.equal.items():
            record = self._record(offset)
            yield key, record["outcome"], record["dst"]

    def folders(self) -> list[str]:
        """Returns the folders that the sort made below the destination, in the order of making."""
        return list(self._contents.folders)

    def has(self, state: State) -> bool:
        """Returns whether any entry is in this state."""
        return state in self._contents.states

    def entries(self, *states: State) -> Iterator[Entry]:
        """Yields the entries in these states, the last one first."""
        for index in reversed(range(len(self._contents.offsets))):
            if self._contents.states[index] in states:
                yield parse_entry(self._record(self._contents.offsets[index]))

    def intend(self, src: str, dst: str, *, sha256: str, size: int, mtime_ns: int, outcome: str) -> Entry:
        """Writes an intent, and returns when it is on the disk.

        Raises:
            WriteError: If it cannot be written.
        """
        contents = self._contents
        entry = Entry(len(contents.states), src, dst, sha256, size, mtime_ns, outcome)
        offset = self._length
        self._append({"op": "place", **asdict(entry)}, sync=True)
        contents.add(entry, offset)
        return entry

    def mark(self, entry: Entry, state: State) -> None:
        """Writes what became of an intent.

        Only :attr:`State.UNDOING`, an intent itself, is on the disk on return; the next one's sync carries the others.

        Raises:
            WriteError: If it cannot be written.
        """
        word = next(word for word, known in STATES.items() if known is state)
        self._append({"op": word, "id": entry.id}, sync=state is State.UNDOING)
        self._contents.states[entry.id] = state

    def note_equal(self, src: str, dst: str, *, size: int, mtime_ns: int, outcome: str) -> None:
        """Writes that a picture stays where it is, because ``dst`` has the same content."""
        offset = self._length
        self._append({"op": "equal", "src": src, "dst": dst, "size": size, "mtime_ns": mtime_ns, "outcome": outcome})
        self._contents.equal[file_key(src, size, mtime_ns)] = offset

    def forget_equal(self) -> None:
        """Writes that what was equal once need not be so any more, since files are being taken away."""
        self._append({"op": "forget"})
        self._contents.equal.clear()

    def note_folder(self, path: str) -> None:
        """Writes that a folder below the destination is about to be made."""
        self._append({"op": "mkdir", "path": path}, sync=True)
        self._contents.folders.append(path)

    def close(self) -> None:
        """Closes the journal."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, record: Mapping[str, Any], *, sync: bool = False) -> None:
        self._write(json.dumps(record).encode("ascii") + b"\n", sync=sync)

    def _write(self, line: bytes, *, sync: bool = False) -> None:
        try:
            write_line(self._descriptor, line, self._length)
            self._length += len(line)
            if sync:
                sync_file(self._descriptor)
        except OSError as error:
            raise WriteError(f"The journal {printable(self.path)} cannot be written: {error.strerror}.") from error

    def _record(self, offset: int) -> dict[str, Any]:
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            record: dict[str, Any] = json.loads(file.readline())
            return record
