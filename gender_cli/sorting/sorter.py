"""Sorts predictions into folders: which folder, which name, and the journal around every step."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, final

from ...runtime.errors import OptionError
from ...runtime.escaping import printable
from ...runtime.prediction import Status
from ..advice import as_flags
from ..jsonl import WriteError
from ..resume import file_key
from ..tally import outcome
from .files import digest, make_folders, missing_folders
from .journal import Journal
from .naming import Namer
from .options import FAILURES, SortOptions, SortTally
from .places import conflict, resolve
from .records import VERSION, Entry, Equal, Header, State, identity
from .recover import ends_of, settle_open
from .transfer import LeftoverError, place

if TYPE_CHECKING:
    from ...runtime.prediction import Prediction
    from ..inputs import Item

__all__ = ["Sorter"]

# Plain strings all through: a path must come back from the journal exactly as it went in.
# ruff: noqa: PTH106, PTH112, PTH114, PTH116, PTH118, PTH119, PTH120, PTH206

_STAYS = frozenset({Status.NOT_FOUND.value, Status.PERMISSION_DENIED.value, Status.NOT_A_FILE.value})
"""Statuses of what is not a file that can be put anywhere."""

_TRIES = 100
"""How often another program may take a name in the last moment before a picture is left where it is."""


@final
class Sorter:
    """An open sort. Use it as a context manager: read inputs through :meth:`missing`, hand answers to :meth:`put`.

    Args:
        options: What to do; a sort that was interrupted goes on where it ended.
        report: Called with a sentence for each picture that is left where it is.
        plan: Called with a line for each picture that is put somewhere (or would be, in a dry run).

    Raises:
        OptionError: If the options do not fit the file system or the journal.

    Attributes:
        options: As given.
        places: Where it acts.
        tally: What became of the pictures so far.
    """

    def __init__(
        self,
        options: SortOptions,
        *,
        report: Callable[[str], None] | None = None,
        plan: Callable[[str], None] | None = None,
    ) -> None:
        self.options = options
        self.tally = SortTally()
        self._report = report or (lambda sentence: None)
        self._plan = plan or (lambda line: None)
        self.places = resolve(options)
        self._namer = Namer(self.places.destination, dry_run=options.dry_run)
        self._held: set[bytes] = set()
        self._journal = self._open()
        if self._journal is not None:
            try:
                self._take_over(self._journal)
            except BaseException:
                self._journal.close()
                raise

    def holds(self, path: str) -> bool:
        """Returns whether an earlier run dealt with this picture, and it has not changed since."""
        if not self._held:
            return False
        try:
            info = os.stat(path)
            return file_key(self._relative(path), info.st_size, info.st_mtime_ns) in self._held
        except (OSError, ValueError):
            return False

    def missing(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields the inputs that no earlier run dealt with."""
        for item in items:
            if item.problem is None and self.holds(item.path):
                continue
            if item.path == self.places.start_path and self.tally.held:
                gone = item.problem[0] is Status.NOT_FOUND if item.problem else not os.path.lexists(item.path)
                if gone:
                    continue  # no picture is left, for the best of reasons
            yield item

    def put(self, path: str, prediction: Prediction) -> None:
        """Puts one picture where its answer says.

        Raises:
            OptionError: If the picture does not lie in the source.
            WriteError: If nothing more can be written (disk full); the sort can be gone on with.
        """
        self.tally.failed += prediction.status.failed
        answer = outcome(prediction)
        if answer in _STAYS:
            self._leave(answer, as_flags(prediction.error or f"{printable(path)}: {answer}."))
            return
        try:
            if os.path.islink(path) and self.options.mode == "move":
                self._leave("symbolic_link", f"{printable(path)} is a symbolic link; moving it could break it.")
                return
            info = os.stat(path)
            if not stat.S_ISREG(info.st_mode):
                self._leave(Status.NOT_A_FILE.value, f"{printable(path)} is not a file any more.")
                return
            line = self._put(path, info, answer)
        except WriteError:
            raise
        except LeftoverError as error:
            self._leave(
                "not_placed",
                f"{printable(path)} is not wholly sorted: {error.strerror}. The same command, or --undo, tries again.",
            )
        except OSError as error:
            folder = printable(self.options.folder(answer))
            sentence = f"{printable(path)} cannot be put into {folder}: {error.strerror}."
            if self._is_fatal(error, path):
                raise WriteError(f"{sentence} The same command goes on from here.") from error
            self._leave("not_placed", sentence)
        else:
            self._plan(line)

    def _is_fatal(self, error: OSError, path: str) -> bool:
        """Whether the next picture will fail as well: the disk is full, or DEST may not be written.

        An EIO need not be: it can be one bad sector under one picture. Nor need what the picture's own folder refuses.
        """
        if error.errno in (errno.EROFS, errno.EACCES):
            name = str(error.filename2 or error.filename)
            return name.startswith(self.places.destination + os.sep) and name != self._absolute(path)
        return error.errno in (errno.ENOSPC, errno.EDQUOT)

    def close(self) -> None:
        """Closes the journal."""
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> Sorter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _put(self, path: str, info: os.stat_result, answer: str) -> str:
        """Puts a picture where it belongs; returns that as a line for people."""
        src, absolute = self._relative(path), self._absolute(path)
        sha256 = digest(absolute)
        folder, name = self.options.folder(answer), os.path.basename(src)
        below = os.path.join(folder, os.path.dirname(src)).rstrip(os.sep) if self.options.keep_tree else folder
        for _ in range(_TRIES):
            dst, equal = self._namer.choose(below, name, info.st_size, sha256)
            what = Equal(src, dst, info.st_size, info.st_mtime_ns, answer)
            shown = printable(os.path.join(self.places.destination, dst))
            if equal:
                if self._journal is not None:
                    self._journal.note_equal(what)
                self.tally.equal += 1
                return f"equal     {printable(path)} = {shown}"
            try:
                if self._journal is not None:
                    self._place(self._journal, what, sha256)
            except FileExistsError:
                self._namer.refresh(below, name)  # another program was faster; look again
                continue
            self._namer.taken(below, name, dst, absolute, sha256)
            self.tally.placed[folder] += 1
            return f"{self.options.mode:9} {printable(path)} -> {shown}"
        raise FileExistsError(errno.EEXIST, "every name tried was taken in the last moment")

    def _place(self, journal: Journal, what: Equal, sha256: str) -> None:
        self._make_folders(journal, os.path.dirname(what.dst))
        entry = journal.intend(what, sha256)
        ends = ends_of(journal, entry, self.places)
        try:
            place(self.options.mode, ends, sha256)
        except LeftoverError:
            raise  # the entry stays open
        except OSError:
            journal.mark(entry, State.CANCELLED)
            raise
        journal.mark(entry, State.DONE)

    def _make_folders(self, journal: Journal, folder: str) -> None:
        path = ""
        for name in folder.split(os.sep):
            path = os.path.join(path, name)
            target = os.path.join(self.places.destination, path)
            if os.path.isdir(target) and not os.path.islink(target):
                continue
            if os.path.lexists(target):
                raise WriteError(
                    f"{printable(target)} is not a folder of its own; move it away, or choose other names with --names."
                )
            journal.note_folder(path)
            make_folders([target])

    def _leave(self, reason: str, sentence: str) -> None:
        self.tally.left[reason] += 1
        self._report(sentence)

    def _absolute(self, path: str) -> str:
        # The folder's own links are resolved, the picture's are not: it is sorted under the name it has.
        return os.path.join(os.path.realpath(os.path.dirname(path) or os.curdir), os.path.basename(path))

    def _relative(self, path: str) -> str:
        absolute, source = self._absolute(path), os.path.join(self.places.source, "")
        if not absolute.startswith(source):
            raise OptionError(f"{printable(path)} is not in {printable(self.places.source)}.")
        return absolute.removeprefix(source)

    def _open(self) -> Journal | None:
        places, dry_run = self.places, self.options.dry_run
        try:
            journal = Journal.open(places.journal, write=not dry_run)
        except FileNotFoundError:
            return None if dry_run else self._start()
        try:
            shown = printable(places.journal)
            elsewhere = "keep this one's journal elsewhere with --journal FILE"
            if journal.version < VERSION:
                raise OptionError(f"{shown} is of an older version: undo that sort with --undo, or {elsewhere}.")
            difference = conflict(journal, places, self.options)
            if difference is not None:
                raise OptionError(
                    f"{shown} belongs to another sort: {difference}. Go on with that one with --resume alone, undo it "
                    f"with --undo, or {elsewhere}."
                )
            if not os.path.isdir(places.destination) and journal.count(State.DONE):
                raise OptionError(
                    f"The folder {printable(places.destination)}, which the journal {shown} is about, is not there. If "
                    f"its disk is away, connect it; to sort anew, {elsewhere}."
                )
            if not dry_run:
                self._make(missing_folders(places.destination))
        except BaseException:
            journal.close()
            raise
        return journal

    def _start(self) -> Journal:
        """Makes DEST, and starts the journal."""
        places = self.places
        made = missing_folders(places.destination)
        try:
            self._make(made)
            header = Header(
                replace(self.options, source=places.source, destination=places.destination),
                start=places.start,
                folder=os.path.dirname(places.journal),
                source_id=identity(places.source),
                destination_id=identity(places.destination),
                token=secrets.token_hex(4),
                made=tuple(map(os.path.basename, made)),
            )
            return Journal.create(places.journal, header)
        except BaseException:
            for folder in reversed(made):
                with suppress(OSError):
                    os.rmdir(folder)
            raise

    def _make(self, folders: Iterable[str]) -> None:
        try:
            make_folders(folders, 0o755)  # a journal lies in it
        except OSError as error:
            shown = printable(self.places.destination)
            raise OptionError(f"The folder {shown} cannot be made: {error.strerror}.") from error

    def _take_over(self, journal: Journal) -> None:
        """Ends what a killed run had begun, and counts what is done and still there."""
        if not self.options.dry_run:
            settle_open(journal, self.places, self._report)
        for entry in journal.entries(State.DONE):
            if self._is_gone(entry):
                if not self.options.dry_run:
                    journal.mark(entry, State.CANCELLED)
                continue
            if self.options.mode != "move":
                self._held.add(entry.key)
            self.tally.placed[self.options.folder(entry.outcome)] += 1
            self.tally.failed += entry.outcome in FAILURES
        for equal in journal.equals():
            if os.path.lexists(os.path.join(self.places.destination, equal.dst)):
                self._held.add(equal.key)
                self.tally.equal += 1
                self.tally.failed += equal.outcome in FAILURES
        self.tally.held = self.tally.total
        if self.options.dry_run:
            journal.close()
            self._journal = None

    def _is_gone(self, entry: Entry) -> bool:
        """Whether what was put somewhere was deleted since, while the picture is there to be sorted again."""
        if os.path.lexists(os.path.join(self.places.destination, entry.dst)):
            return False
        return self.options.mode != "move" or os.path.lexists(os.path.join(self.places.source, entry.src))
