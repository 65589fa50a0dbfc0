"""The journal of a sort: what was meant, what was done, what was undone, one JSON object a line.

An intent is on the disk before the file system is touched, and its ``done`` follows. So after a kill or a power cut at
any moment exactly one entry can be open, and it tells where to look. ``docs/sorting.md`` shows the format.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, final

from gender_cli.inputs import printable
from gender_cli.results import WriteError, file_key, lock, write_line
from runtime.errors import OptionError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["JOURNAL_NAME", "MODES", "SETTINGS", "VERSION", "Entry", "Header", "Journal", "State", "sync_folder"]

# Paths as they are in the journal, and a file descriptor:
# ruff: noqa: PTH104, PTH108, PTH116, PTH117, PTH118, PTH119, PTH120, PTH206

JOURNAL_NAME = ".gender-classifier-journal.jsonl"
"""Where a sort keeps its journal, in the destination folder, unless told otherwise."""

MODES = ("copy", "move", "hardlink", "symlink")
"""What can be done with each picture."""

SETTINGS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "variant": (str,),
    "threshold": (int, float),
    "faces": (bool,),
    "detector": (str,),
    "detector_threshold": (int, float),
    "detect_size": (int,),
    "min_face": (int,),
    "max_faces": (int,),
    "max_bytes": (int,),
    "max_pixels": (int,),
    "exact": (bool,),
}
"""The options, by their names on the command line, that decide the answers. Each may also be ``None``: not given."""

_PLACES = frozenset({"model", "detector"})
"""Settings that say where something lies, so that it is found again. What it is, ``Header.model`` says."""

VERSION = 2
_FIRST = b'{"journal": %d, "of": "gender-classifier sort"}\n' % VERSION
"""The first line. It is always the same, so a file that holds a part of it, or it and a part of the next line, is a
journal that was never finished; and a file that merely starts like one is not taken for it."""

_LONGEST = 1 << 20
"""More bytes than any line has."""


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
    """The second line: what the sort was told.

    Attributes:
        source: The folder that pictures come from, absolute, without symbolic links.
        destination: The folder that they go to, likewise.
        mode: ``copy``, ``move``, ``hardlink`` or ``symlink``.
        names: Folder by answer (label, status, ``failed``, ``mixed``).
        keep_tree: Whether the folders inside ``source`` are made again inside each answer's folder.
        mixed: Whether photographs whose people differ go to a folder of their own.
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
        _check_inside(self.src)
        _check_inside(self.dst)

    @property
    def key(self) -> bytes:
        """Stands for the picture as it was: path, size, mtime."""
        return file_key(self.src, self.size, self.mtime_ns)


def _check_inside(path: str) -> None:
    names = path.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if not path or os.path.isabs(path) or os.path.splitdrive(path)[0] or os.pardir in names or "\0" in path:
        raise ValueError(f"{path!r} leads out of the sorted folders")
    os.fsencode(path)  # what no file can be called is a ValueError too


_ENTRY_FIELDS = frozenset(entry.name for entry in fields(Entry))
_HEADER_FIELDS = frozenset(entry.name for entry in fields(Header))
_EQUAL_FIELDS = frozenset({"op", "src", "dst", "size", "mtime_ns", "outcome"})


@dataclass
class _Contents:
    """What the lines of a journal add up to; a few dozen bytes per entry."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)
    equal: dict[bytes, int] = field(default_factory=dict)  # where the line is
    folders: list[str] = field(default_factory=list)


@final
class Journal:
    """An open journal. Only one process at a time can have it open for writing, where the system can lock files.

    A journal that lies in folders which the sort itself makes cannot be there before them, nor after them. It is
    started beside the outermost of them and moved in (:meth:`arrive`), and moved out again (:meth:`step_aside`) before
    they are removed. So at every moment it tells what is to be done, and :meth:`open` finds it in either place.
    """

    def __init__(
        self, path: str, place: str, descriptor: int, header: Header, contents: _Contents, length: int
    ) -> None:
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
        place = _aside(path, header.made) or path
        descriptor = _open_regular(place, _FLAGS | os.O_CREAT, shown)
        journal = cls(path, place, descriptor, header, _Contents(), 0)
        try:
            try:
                _claim(descriptor, place, shown)
            except FileNotFoundError as error:
                raise OptionError(f"{shown} was taken away while it was being opened; start again.") from error
            if not _is_unfinished(descriptor):
                raise _foreign(shown)
            os.ftruncate(descriptor, 0)
            journal._write(_FIRST)
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
        waiting = [place for place in _asides(path) if os.path.lexists(place)]
        for place in (path, *waiting):
            with suppress(FileNotFoundError):
                return cls._open(path, place, write=write)
        raise FileNotFoundError(errno.ENOENT, "There is no journal", path)

    @classmethod
    def _open(cls, path: str, place: str, *, write: bool) -> Journal:
        shown = printable(path)
        descriptor = _open_regular(place, _FLAGS if write else os.O_RDONLY | getattr(os, "O_BINARY", 0), shown)
        try:
            if write:
                _claim(descriptor, place, shown)
            found = _read(descriptor, shown)
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
        aside = _aside(self.path, self.header.made)
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
                self._descriptor = os.open(self._place, _FLAGS)

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
                yield _entry(self._record(self._contents.offsets[index]))

    def intend(self, src: str, dst: str, *, sha256: str, size: int, mtime_ns: int, outcome: str) -> Entry:
        """Writes an intent, and returns when it is on the disk.

        Raises:
            WriteError: If it cannot be written.
        """
        contents = self._contents
        entry = Entry(len(contents.states), src, dst, sha256, size, mtime_ns, outcome)
        offset = self._length
        self._append({"op": "place", **asdict(entry)}, sync=True)
        _add(entry, contents, offset)
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
                _sync(self._descriptor)
        except OSError as error:
            raise WriteError(f"The journal {printable(self.path)} cannot be written: {error.strerror}.") from error

    def _record(self, offset: int) -> dict[str, Any]:
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            record: dict[str, Any] = json.loads(file.readline())
            return record


_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)


def _open_regular(path: str, flags: int, shown: str) -> int:
    """Opens a regular file; anything else is neither waited for nor touched.

    Raises:
        FileNotFoundError: If it is not there.
        OptionError: If it cannot be opened, or is something else.
    """
    something_else = OptionError(
        f"{shown} is no regular file, so it is no journal of a sort; name another with --journal."
    )
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise something_else
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    except FileNotFoundError:
        if flags & os.O_CREAT:
            raise OptionError(f"The journal {shown} cannot be written: there is no such folder.") from None
        raise
    except OptionError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OptionError(f"The journal {shown} cannot be opened: {reason}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it took the file's place after the look
        os.close(descriptor)
        raise something_else
    return descriptor


def _claim(descriptor: int, place: str, shown: str) -> None:
    """Locks an open journal for this process.

    Raises:
        OptionError: If another process has it.
        FileNotFoundError: If another process removed it, or moved it, before the lock was taken.
    """
    lock(descriptor, f"{shown} belongs to a sort that is still running.")
    if not os.path.samestat(os.fstat(descriptor), os.stat(place)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)


def _aside_name(path: str) -> str:
    return f".gender-classifier-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.jsonl"


def _resolved(path: str) -> str:
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _aside(path: str, made: Iterable[str]) -> str | None:
    """Returns where a journal waits that lies in a folder of ``made``; ``None`` if it lies in none of them."""
    outermost = next(iter(made), None)
    resolved = _resolved(path)
    if outermost is None or not resolved.startswith(outermost + os.sep):
        return None
    return os.path.join(os.path.dirname(outermost), _aside_name(resolved))


def _asides(path: str) -> Iterator[str]:
    """Yields every place where this journal may wait."""
    resolved = _resolved(path)
    folder = os.path.dirname(resolved)
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        yield os.path.join(folder, _aside_name(resolved))


def _sync(descriptor: int) -> None:
    """Returns when what was written is on the disk, where the file system can tell.

    Raises:
        OSError: If it could not be written after all: some file systems notice a full disk only now.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise


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


def _is_unfinished(descriptor: int) -> bool:
    """Whether a file is empty or holds no more than a start that was never finished."""
    if os.fstat(descriptor).st_size > _LONGEST:
        return False
    with open(descriptor, "rb", closefd=False) as file:
        return _is_torn_start(file.read())


def _is_torn_start(content: bytes) -> bool:
    head = content.rstrip(b"\0")  # a power cut can leave zeros where a line should be
    if head.startswith(_FIRST):
        return _is_torn(head[len(_FIRST) :], b'{"source": "')
    return _FIRST.startswith(head)


def _is_torn(tail: bytes, start: bytes) -> bool:
    tail = tail.rstrip(b"\0")
    return b"\n" not in tail and (tail.startswith(start) or start.startswith(tail))


def _foreign(shown: str) -> OptionError:
    return OptionError(f"{shown} is no journal of a sort, so it is left as it is; name another file with --journal.")


def _read(descriptor: int, shown: str) -> tuple[Header, _Contents, int] | None:
    """Reads a journal from its start; returns also where its last whole line ends, or ``None`` if it has no header.

    Raises:
        OptionError: If it is no journal of this version.
    """
    with open(descriptor, "rb", closefd=False) as file:
        first = file.readline(_LONGEST)
        if first != _FIRST:
            if _is_torn_start(first) and not file.read(1):
                return None
            _refuse_version(first, shown)
            raise _foreign(shown)
        contents = _Contents()
        header: Header | None = None
        end, number = len(first), 1
        while line := file.readline(_LONGEST):
            number += 1
            if not line.endswith(b"\n"):
                if file.read(1) or not _is_torn(line, b'{"source": "' if header is None else b'{"op": "'):
                    raise _damaged(shown, number, "it is no line of a journal")
                break
            try:
                record = json.loads(line)
                if header is None:
                    header = _header(record)
                else:
                    _take(record, contents, end)
            except (ValueError, TypeError, AttributeError) as error:
                raise _damaged(shown, number, error) from error
            except KeyError as error:
                raise _damaged(shown, number, f"it has no {error}") from error
            except RecursionError as error:
                raise _damaged(shown, number, "it is nested too deep") from error
            end += len(line)
    return None if header is None else (header, contents, end)


def _damaged(shown: str, number: int, reason: object) -> OptionError:
    return OptionError(
        f"{shown} is damaged, or no journal of this version, so nothing is done. "
        f"Line {number}: {printable(str(reason))[:500]}."
    )


def _refuse_version(first: bytes, shown: str) -> None:
    """Raises an OptionError if a line is the first one of a journal of another version."""
    try:
        version = json.loads(first)["journal"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return
    if type(version) is int and 0 < version < 1000 and first.endswith(b"\n"):
        raise OptionError(
            f"{shown} is a journal of version {version}, and this gender-classifier reads version {VERSION} only. "
            "The one that wrote it can go on with it or undo it."
        )


def _header(record: dict[str, Any]) -> Header:
    if set(record) != _HEADER_FIELDS:
        raise ValueError("its fields are not those of this version")
    for name in ("source", "destination"):
        _check_absolute(record[name])
    for name in ("keep_tree", "mixed", "recursive"):
        _check(type(record[name]) is bool, name, record[name])
    _check(record["mode"] in MODES, "mode", record["mode"])
    _check(record["start"] == "" or os.sep not in record["start"], "start", record["start"])
    if record["start"]:
        _check_inside(record["start"])
    for name, value in record["names"].items():
        _check(isinstance(value, str), name, value)
    _check(record["model"] is None or isinstance(record["model"], dict), "model", record["model"])
    for name, value in record["settings"].items():
        _check_setting(name, value)
    _check(re.fullmatch("[0-9a-f]*", record["token"]) is not None, "token", record["token"])
    for path in record["made"]:
        _check_absolute(path)
        inside = f"{record['destination']}{os.sep}".startswith(f"{path.rstrip(os.sep)}{os.sep}")
        _check(inside, "made", path)  # what an undo will remove
    return Header(**{**record, "made": tuple(record["made"])})


def _check_absolute(path: str) -> None:
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError(f"{path!r} is not absolute")
    os.fsencode(path)


def _check_setting(name: str, value: Any) -> None:
    _check(name in SETTINGS and (value is None or type(value) in SETTINGS[name]), name, value)
    if isinstance(value, str):
        _check("\0" not in value, name, value)
        os.fsencode(value)
    elif isinstance(value, (int, float)):
        _check(-_HUGE <= value < _HUGE, name, value)


def _check(holds: bool, name: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{value!r} cannot be its {name}")


_HUGE = 1 << 63


def _check_facts(record: dict[str, Any]) -> None:
    """Checks what an entry and a note of an equal file both have."""
    for name in ("src", "dst", "outcome"):
        _check(isinstance(record[name], str), name, record[name])
    for name in ("size", "mtime_ns"):
        _check(type(record[name]) is int and -_HUGE <= record[name] < _HUGE, name, record[name])


def _entry(record: dict[str, Any]) -> Entry:
    if set(record) != _ENTRY_FIELDS | {"op"}:
        raise ValueError("its fields are not those of an entry")
    _check_facts(record)
    _check(re.fullmatch("[0-9a-f]{64}", record["sha256"]) is not None, "sha256", record["sha256"])
    return Entry(**{name: record[name] for name in _ENTRY_FIELDS})


def _add(entry: Entry, contents: _Contents, offset: int) -> None:
    contents.offsets.append(offset)
    contents.states.append(State.OPEN)
    contents.equal.pop(entry.key, None)  # it was asked again, because its equal had gone


def _take(record: dict[str, Any], contents: _Contents, offset: int) -> None:
    op = record["op"]
    if op == "place":
        entry = _entry(record)
        _check(type(entry.id) is int and entry.id == len(contents.states), "id", entry.id)
        _add(entry, contents, offset)
    elif op in _STATES:
        number = record["id"]
        _check(type(number) is int and 0 <= number < len(contents.states), "id", number)
        contents.states[number] = _STATES[op]
    elif op == "equal":
        if set(record) != _EQUAL_FIELDS:
            raise ValueError("its fields are not those of an equal file")
        _check_facts(record)
        _check_inside(record["dst"])
        contents.equal[file_key(record["src"], record["size"], record["mtime_ns"])] = offset
    elif op == "mkdir":
        _check_inside(record["path"])
        contents.folders.append(record["path"])
    elif op == "forget":
        contents.equal.clear()
    else:
        raise ValueError(f"{op!r} is no operation")
