"""Ends what a kill, or a clean-up that failed, left open in a journal, forward or back."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...runtime.escaping import printable
from .journal import Journal
from .places import Places
from .records import Entry, State
from .transfer import Ends, is_link_to, settle

__all__ = ["ends_of", "settle_open"]

# ruff: noqa: PTH118, PTH120


def ends_of(journal: Journal, entry: Entry, places: Places) -> Ends:
    """Returns where an entry's file came from and went to."""
    options = journal.header.options
    src, dst = os.path.join(places.source, entry.src), os.path.join(places.destination, entry.dst)
    if options.mode == "symlink" and is_link_to(dst, then := os.path.join(options.source, entry.src)):
        src = then  # the link has the path of then, wherever the folders are now
    part = f".gender-classifier-{journal.header.token}-{entry.id}.part"
    return Ends(src, dst, os.path.join(os.path.dirname(dst), part), os.path.join(os.path.dirname(src), part))


def settle_open(journal: Journal, places: Places, report: Callable[[str], None]) -> int:
    """Ends what is open, and returns how many entries had to stay so, each reported with a sentence."""
    mode, left = journal.header.options.mode, 0
    for entry in list(journal.entries(State.OPEN, State.UNDOING)):
        ends, undoing = ends_of(journal, entry, places), journal.state(entry) is State.UNDOING
        try:
            if ends.lead_elsewhere(mode):
                raise OSError(0, "an earlier run was stopped here, and a folder on its way is a symbolic link now")
            arrived = settle(mode, ends, entry.sha256, entry.size, undoing=undoing)
        except OSError as error:
            left += 1
            report(f"{printable(ends.dst)} was left alone: {error.strerror}.")
        else:
            journal.mark(entry, State.DONE if arrived else State.UNDONE if undoing else State.CANCELLED)
    return left
