"""Sorting predictions into folders: which folder, which name, and the journal around every step."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, final

from ...runtime.errors import OptionError
from ...runtime.prediction import Status
from ..inputs import printable
from ..jsonl import WriteError
from ..resume import file_key
from ..tally import outcome
from .journal import JOURNAL_NAME, Journal
from .journal_format import Entry, Header, State
from .naming import Namer
from .options import FAILURES, Places, SortOptions, SortTally, resolve
from .transfer import digest, place, settle, withdraw

if TYPE_CHECKING:
    from types import TracebackType

    from ...runtime.prediction import Prediction
    from ..inputs import Item

__all__ = ["Sorter", "check_destination", "open_journal", "part_name", "run_sort", "settle_open"]

# Plain strings all through: a path must come back from the journal exactly as it went in.
# ruff: noqa: PTH100, PTH102, PTH103, PTH106, PTH112, PTH114, PTH116, PTH118, PTH119, PTH120, PTH206

_STAYS = frozenset({Status.NOT_FOUND.value, Status.PERMISSION_DENIED.value, Status.NOT_A_FILE.value})
"""There is no file that could be put anywhere."""

_TRIES = 100
"""How often another program may take a name in the last moment before a picture is left where it is."""

_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What will fail for the next picture as well. An EIO need not: it can be one bad sector under one picture."""


def run_sort(
    predictions: Iterable[tuple[str, Prediction]],
    options: SortOptions,
    *,
    report: Callable[[str], None] | None = None,
    plan: Callable[[str], None] | None = None,
) -> SortTally:
    """Sorts pictures by predictions that are there already; goes on where an earlier run of the same sort ended.

    Args:
        predictions: Path and prediction of each picture; the paths lie in ``options.source``.
        options: What to do.
        report: Called with a sentence for each picture that is left where it is.
        plan: Called with a line for each picture that is put somewhere (or would be, in a dry run).

    Returns:
        The tally.

    Raises:
        OptionError: If the options do not fit the file system or the journal.
        WriteError: If nothing more can be written (disk full); the sort can be gone on with.
    """
    with Sorter(options, report=report, plan=plan) as sorter:
        for path, prediction in predictions:
            if not sorter.holds(path):
                sorter.put(path, prediction)
        return sorter.tally


@final
class Sorter:
    """An open sort. Use it as a context manager: read inputs through :meth:`missing`, hand answers to :meth:`put`.

    Attributes:
        source: The folder sorted, absolute, without symbolic links.
        start: The folder again, or the one file in it that is sorted.
        destination: The folder sorted into, absolute, without symbolic links.
        journal_path: The journal's file.
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
        places = resolve(options)
        self.source, self.destination, self.journal_path = places.source, places.destination, places.journal
        self.start = os.path.join(self.source, places.start) if places.start else self.source
        self._namer = Namer(self.destination, dry_run=options.dry_run)
        self._held: set[bytes] = set()
        self._journal = self._open(places)
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
            if item.path == self.start and self.tally.held and self._is_emptied(item):
                continue  # no picture is left, for the best of reasons
            yield item

    def _is_emptied(self, item: Item) -> bool:
        if item.problem is not None:
            return item.problem[0] is Status.NOT_FOUND
        return not os.path.lexists(item.path)

    def put(self, path: str, prediction: Prediction) -> None:
        """Puts one picture where its answer says.

        Raises:
            WriteError: If nothing more can be written.
        """
        self.tally.failed += prediction.status.failed
        answer = outcome(prediction)
        if answer in _STAYS:
            self._leave(answer, prediction.error or f"{printable(path)}: {answer}.")
            return
        try:
            if os.path.islink(path) and self.options.mode == "move":
                self._leave("symbolic_link", f"{printable(path)} is a symbolic link; moving it could break it.")
                return
            info = os.stat(path)
            if not stat.S_ISREG(info.st_mode):
                self._leave(Status.NOT_A_FILE.value, f"{printable(path)} is not a file any more.")
                return
            self._put(path, info, answer)
        except WriteError:
            raise
        except OSError as error:
            sentence = (
                f"{printable(path)} cannot be put into {printable(self.options.folder(answer))}: {error.strerror}."
            )
            if error.errno in _FATAL:
                raise WriteError(f"{sentence} The same command goes on from here.") from error
            self._leave("not_placed", sentence)

    def close(self) -> None:
        """Closes the journal."""
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> Sorter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, path: str, info: os.stat_result, answer: str) -> None:
        src = self._relative(path)
        absolute = os.path.join(self.source, src)
        sha256 = digest(absolute)
        folder = self.options.folder(answer)
        if self.options.keep_tree:
            folder = os.path.join(folder, os.path.dirname(src)) if os.path.dirname(src) else folder
        for _ in range(_TRIES):
            dst, equal = self._namer.choose(folder, os.path.basename(src), info.st_size, sha256)
            if equal:
                if self._journal is not None:
                    self._journal.note_equal(src, dst, size=info.st_size, mtime_ns=info.st_mtime_ns, outcome=answer)
                self.tally.equal += 1
                self._plan(f"equal     {printable(path)} = {printable(os.path.join(self.destination, dst))}")
                return
            try:
                self._place(src, dst, sha256, info, answer)
            except FileExistsError:
                self._namer.refresh(folder, os.path.basename(src))  # somebody was faster; look again
                continue
            self._namer.taken(folder, os.path.basename(src), dst, absolute, sha256)
            self.tally.placed[self.options.folder(answer)] += 1
            shown = printable(os.path.join(self.destination, dst))
            self._plan(f"{self.options.mode:9} {printable(path)} -> {shown}")
            return
        raise FileExistsError(errno.EEXIST, "every name tried was taken in the last moment")

    def _place(self, src: str, dst: str, sha256: str, info: os.stat_result, answer: str) -> None:
        journal = self._journal
        if journal is None:
            return
        self._make_folders(journal, os.path.dirname(dst))
        entry = journal.intend(src, dst, sha256=sha256, size=info.st_size, mtime_ns=info.st_mtime_ns, outcome=answer)
        target = os.path.join(self.destination, dst)
        part = part_name(journal.header, entry, os.path.dirname(target))
        try:
            place(self.options.mode, os.path.join(self.source, src), target, part=part, sha256=sha256)
        except OSError:
            journal.mark(entry, State.CANCELLED)
            raise
        journal.mark(entry, State.DONE)

    def _make_folders(self, journal: Journal, folder: str) -> None:
        path = ""
        for name in folder.split(os.sep):
            path = os.path.join(path, name)
            target = os.path.join(self.destination, path)
            if os.path.isdir(target):
                continue
            if os.path.lexists(target):
                raise WriteError(f"{printable(target)} is no folder; move it away, or choose other names with --names.")
            journal.note_folder(path)
            os.mkdir(target)

    def _leave(self, reason: str, sentence: str) -> None:
        self.tally.left[reason] += 1
        self._report(sentence)

    def _relative(self, path: str) -> str:
        # The folder's own links are resolved, the picture's are not: it is sorted under the name it has.
        absolute = os.path.join(os.path.realpath(os.path.dirname(path) or os.curdir), os.path.basename(path))
        if not absolute.startswith(self.source.rstrip(os.sep) + os.sep):
            raise OptionError(f"{printable(path)} is not in {printable(self.source)}.")
        return absolute[len(self.source.rstrip(os.sep)) + 1 :]

    def _open(self, places: Places) -> Journal | None:
        header = Header(
            source=self.source,
            destination=self.destination,
            mode=self.options.mode,
            names=dict(self.options.names),
            keep_tree=self.options.keep_tree,
            start=places.start,
            recursive=self.options.recursive,
            settings=dict(self.options.settings),
            model=None if self.options.model is None else dict(self.options.model),
            token=secrets.token_hex(4),
            made=tuple(_missing_folders(self.destination)),
        )
        try:
            journal = Journal.open(self.journal_path, write=not self.options.dry_run)
        except FileNotFoundError:
            return None if self.options.dry_run else self._start(header)
        try:
            conflict = journal.header.conflict(header)
            if conflict is not None:
                raise OptionError(
                    f"{printable(self.journal_path)} belongs to another sort: {conflict}. Go on with that one with "
                    "--resume alone, undo it with --undo, or keep this one's journal elsewhere with --journal FILE."
                )
            check_destination(journal)
            if not self.options.dry_run:
                _make(self.destination)
                journal.arrive()
        except BaseException:
            journal.close()
            raise
        return journal

    def _start(self, header: Header) -> Journal:
        """Starts the journal, and makes DEST, in this order, so that an undo can tell who made it."""
        journal = Journal.create(self.journal_path, header)
        try:
            _make(self.destination)
            journal.arrive()
        except OptionError:
            for folder in reversed(header.made):
                with suppress(OSError):
                    os.rmdir(folder)
            journal.remove()
            raise
        except BaseException:
            journal.close()
            raise
        return journal

    def _take_over(self, journal: Journal) -> None:
        """Ends what a killed run had begun, and counts what is done and still there."""
        if not self.options.dry_run:
            settle_open(journal)
        for entry in journal.entries(State.DONE):
            if self._is_gone(entry):
                if not self.options.dry_run:
                    journal.mark(entry, State.CANCELLED)
                continue
            if self.options.mode != "move":
                self._held.add(entry.key)
            self.tally.placed[self.options.folder(entry.outcome)] += 1
            self.tally.failed += entry.outcome in FAILURES
        for key, answer, dst in journal.equals():
            if os.path.lexists(os.path.join(self.destination, dst)):
                self._held.add(key)
                self.tally.equal += 1
                self.tally.failed += answer in FAILURES
        self.tally.held = self.tally.total
        if self.options.dry_run:
            journal.close()
            self._journal = None

    def _is_gone(self, entry: Entry) -> bool:
        """Whether somebody deleted what was put somewhere, while the picture is there to be sorted again."""
        if os.path.lexists(os.path.join(self.destination, entry.dst)):
            return False
        return self.options.mode != "move" or os.path.lexists(os.path.join(self.source, entry.src))


def settle_open(journal: Journal) -> None:
    """Ends what a killed sort or undo left open, forward or back."""
    header = journal.header
    for state, otherwise in ((State.OPEN, State.CANCELLED), (State.UNDOING, State.UNDONE)):
        for entry in list(journal.entries(state)):
            source, target = os.path.join(header.source, entry.src), os.path.join(header.destination, entry.dst)
            if state is State.UNDOING:
                withdraw(source, target, size=entry.size, part=part_name(header, entry, os.path.dirname(source)))
            part = part_name(header, entry, os.path.dirname(target))
            arrived = settle(header.mode, source, target, part=part, sha256=entry.sha256, size=entry.size)
            journal.mark(entry, State.DONE if arrived else otherwise)


def part_name(header: Header, entry: Entry, folder: str) -> str:
    """Returns the path of a copy that is under way to a folder."""
    return os.path.join(folder, f".gender-classifier-{header.token}-{entry.id}.part")


def open_journal(path: str, *, write: bool = True) -> Journal:
    """Opens the journal of a sort, given its file or the destination folder that holds it.

    Raises:
        OptionError: If there is none, or it cannot be used.
    """
    inside = os.path.join(path, JOURNAL_NAME)
    # What is not there may be the journal, or the folder that a killed undo has removed already.
    files = [inside] if os.path.isdir(path) else [path] if os.path.lexists(path) else [path, inside]
    for file in files:
        with suppress(FileNotFoundError):
            return Journal.open(os.path.abspath(file), write=write)
    raise OptionError(f"There is no journal {printable(files[0])}.")


def check_destination(journal: Journal) -> None:
    """Makes sure that the folder is there which the journal's pictures were put into.

    Raises:
        OptionError: If it is not: its disk may be away.
    """
    folder = journal.header.destination
    if not os.path.isdir(folder) and journal.has(State.DONE):
        raise OptionError(
            f"The folder {printable(folder)}, which the journal {printable(journal.path)} is about, is not there. "
            "If it was deleted on purpose, delete the journal as well."
        )


def _missing_folders(path: str) -> list[str]:
    missing: list[str] = []
    while not os.path.lexists(path):
        missing.insert(0, path)
        path = os.path.dirname(path)
    return missing


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OptionError(f"The folder {printable(folder)} cannot be made: {error.strerror}.") from error
