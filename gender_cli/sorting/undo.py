"""Taking a sort back: every file that is still what it was goes where it came from, the last one first."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..inputs import printable
from .journal import Journal
from .journal_format import State
from .sorter import check_destination, open_journal, part_name, settle_open
from .transfer import take_back

__all__ = ["UndoTally", "undo"]

# ruff: noqa: PTH106, PTH118, PTH120


@dataclass
class UndoTally:
    """What an undo did.

    Attributes:
        restored: Pictures that are where they were before the sort, and only there.
        left: Pictures that were left alone, because something had changed since.
    """

    restored: int = 0
    left: int = 0

    def sentence(self) -> str:
        """Returns the tally for people."""
        text = f"{self.restored} picture{'' if self.restored == 1 else 's'} put back"
        return f"{text}, {self.left} left alone (see above); the journal is kept." if self.left else f"{text}."


def undo(
    path: str,
    *,
    dry_run: bool = False,
    report: Callable[[str], None] | None = None,
    plan: Callable[[str], None] | None = None,
) -> UndoTally:
    """Takes back everything that a journal says was done. May be killed and called again.

    When nothing had to be left alone, the folders that the sort made go too, if they are empty, and so does the
    journal, since there is nothing more that it could undo.

    Args:
        path: The journal, or the destination folder that holds it.
        dry_run: Change nothing, only call ``plan``; what was changed since is then not known yet.
        report: Called with a sentence for each picture that is left alone.
        plan: Called with a line for each picture that is (or would be) put back.

    Returns:
        The tally.

    Raises:
        OptionError: If there is no journal, or it cannot be used.
        WriteError: If the journal cannot be written.
    """
    report = report or (lambda sentence: None)
    plan = plan or (lambda line: None)
    tally = UndoTally()
    with open_journal(path, write=not dry_run) as journal:
        header = journal.header
        check_destination(journal)
        if not dry_run:
            settle_open(journal)
            journal.forget_equal()
        for entry in journal.entries(State.DONE):
            src, dst = os.path.join(header.source, entry.src), os.path.join(header.destination, entry.dst)
            back = f"-> {printable(src)}" if header.mode == "move" else "removed"
            if dry_run:
                tally.restored += 1
                plan(f"{printable(dst)} {back}")
                continue
            part = part_name(header, entry, os.path.dirname(src))
            if header.mode == "move":
                journal.mark(entry, State.UNDOING)
            try:
                reason = take_back(header.mode, src, dst, part=part, sha256=entry.sha256)
            except OSError as error:
                reason = f"cannot be put back ({error.strerror})"
            if reason is not None:
                if header.mode == "move":
                    journal.mark(entry, State.DONE)
                tally.left += 1
                report(f"{printable(dst)} {reason}; it was left alone.")
                continue
            journal.mark(entry, State.UNDONE)
            tally.restored += 1
            plan(f"{printable(dst)} {back}")
        if not dry_run:
            _clear(journal, keep=bool(tally.left))
    return tally


def _clear(journal: Journal, *, keep: bool) -> None:
    """Removes the folders that the sort made and that are empty now, and the journal unless it is still needed."""
    header = journal.header
    for folder in reversed(journal.folders()):
        _remove_if_empty(os.path.join(header.destination, folder))
    if keep:
        return
    # The journal goes last, so that an undo which was killed here can be called again, and knows what remains.
    aside = journal.step_aside()
    for folder in reversed(header.made):
        _remove_if_empty(folder)
    journal.remove()
    if not aside:
        for folder in reversed(header.made):
            _remove_if_empty(folder)


def _remove_if_empty(folder: str) -> None:
    with suppress(OSError):  # not empty, or gone
        os.rmdir(folder)
