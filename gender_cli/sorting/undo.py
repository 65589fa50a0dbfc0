"""Takes a sort back: every file that is still what it was goes where it came from, the last one first."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from ...runtime.escaping import printable
from .files import has_no_links
from .journal import Journal
from .places import Places, ask, locate, open_journal
from .records import Entry, State
from .recover import ends_of, settle_open
from .transfer import LeftoverError, take_back

__all__ = ["UndoTally", "undo"]

# ruff: noqa: PTH106, PTH118, PTH119, PTH120

_SHOWN = 10
"""Files that are shown before a journal is obeyed that is in doubt; ``--dry-run`` shows all."""


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
    source: str | None = None,
    destination: str | None = None,
    confirm: Callable[[str], bool] | None = None,
    dry_run: bool = False,
    report: Callable[[str], None] | None = None,
    plan: Callable[[str], None] | None = None,
) -> UndoTally:
    """Takes back everything that a journal says was done. May be killed and called again.

    When nothing had to be left alone, the folders that the sort made go too, if they are empty, and so does the
    journal, since there is nothing more that it could undo.

    Args:
        path: The journal, or the destination folder that holds it.
        source: The folder that pictures came from, if it is elsewhere now.
        destination: The folder that they went to, if it is elsewhere now and does not hold the journal.
        confirm: Called with what the journal would do, if it is in doubt; returns whether to do it.
        dry_run: Change nothing, only call ``plan``; what was changed since is then not known yet.
        report: Called with a sentence for each picture that is left alone.
        plan: Called with a line for each picture that is (or would be) put back.

    Returns:
        The tally.

    Raises:
        OptionError: If there is no journal, it cannot be used, or it is in doubt and not confirmed.
        WriteError: If the journal cannot be written.
    """
    report = report or (lambda sentence: None)
    plan = plan or (lambda line: None)
    tally = UndoTally()
    with open_journal(path, write=not dry_run) as journal:
        places = locate(journal, named=path, source=source, destination=destination)
        if dry_run:
            for entry in journal.entries(State.DONE):
                tally.restored += 1
                plan(_line(journal, places, entry))
            return tally
        ask(places, _announcement(journal, places), confirm)
        tally.left = settle_open(journal, places, report)
        journal.forget_equal()
        for entry in journal.entries(State.DONE):
            reason = _take_back(journal, places, entry)
            if reason is None:
                tally.restored += 1
                plan(_line(journal, places, entry))
            else:
                tally.left += 1
                report(f"{printable(os.path.join(places.destination, entry.dst))} {reason}; it was left alone.")
        _clear(journal, places, keep=bool(tally.left))
    return tally


def _take_back(journal: Journal, places: Places, entry: Entry) -> str | None:
    """Takes one entry back; returns ``None``, or why it was left alone, as the end of a sentence."""
    mode, ends = journal.header.options.mode, ends_of(journal, entry, places)
    if ends.lead_elsewhere(mode):
        return "or where it came from lies below a symbolic link now"
    if mode == "move":
        journal.mark(entry, State.UNDOING)
    try:
        reason = take_back(mode, ends, entry.sha256)
    except LeftoverError as error:
        return f"cannot be put back ({error.strerror})"  # the entry stays open
    except OSError as error:
        reason = f"cannot be put back ({error.strerror})"
    if reason is None or mode == "move":
        journal.mark(entry, State.UNDONE if reason is None else State.DONE)
    return reason


def _line(journal: Journal, places: Places, entry: Entry) -> str:
    """Returns what undoing an entry means, for people."""
    src, dst = (printable(os.path.join(*two)) for two in ((places.source, entry.src), (places.destination, entry.dst)))
    return f"{dst} -> {src}" if journal.header.options.mode == "move" else f"{dst} removed"


def _announcement(journal: Journal, places: Places) -> str:
    """Returns what a journal would do."""
    count = journal.count(State.DONE, State.OPEN, State.UNDOING)
    mode = journal.header.options.mode
    lines = [f"It would undo {count} step{'' if count == 1 else 's'} of a sort by {mode}:"]
    lines += [_line(journal, places, entry) for entry in islice(journal.entries(State.DONE), _SHOWN)]
    return "\n".join(lines if count <= _SHOWN else [*lines, "... (--dry-run shows all)"])


def _clear(journal: Journal, places: Places, *, keep: bool) -> None:
    """Removes the folders that the sort made and that are empty now, and the journal unless it is still needed."""
    for folder in reversed(journal.folders()):
        _remove_if_empty(os.path.join(places.destination, folder))
    if keep:
        return
    journal.remove()
    folder, names = places.destination, list(journal.header.made)
    while names:  # its own name may be another one now, and then those above are other folders
        _remove_if_empty(folder)
        if os.path.basename(folder) != names.pop():
            break
        folder = os.path.dirname(folder)


def _remove_if_empty(folder: str) -> None:
    if has_no_links(os.path.dirname(folder)):
        with suppress(OSError):  # not empty, or gone
            os.rmdir(folder)
