"""Ends what a kill, or a clean-up that failed, left open in a journal, forward or back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ...runtime.escaping import printable
from .files import has_no_links
from .journal import Journal
from .places import Places
from .records import Entry, State
from .transfer import clear_way_back, is_link_to, settle

__all__ = ["Ends", "ends_of", "settle_open"]

# ruff: noqa: PTH118, PTH120


@dataclass(frozen=True)
class Ends:
    """Where an entry's file came from and went to, with the names of copies that are under way to either."""

    src: str
    dst: str
    part: str
    part_back: str

    def lead_elsewhere(self, mode: str) -> bool:
        """Whether a folder in which something is to be changed is a symbolic link now, or lies below one."""
        changed = (self.src, self.dst) if mode == "move" else (self.dst,)
        return not all(has_no_links(os.path.dirname(path)) for path in changed)


def ends_of(journal: Journal, entry: Entry, places: Places) -> Ends:
    """Returns the ends of an entry."""
    options = journal.header.options
    src, dst = os.path.join(places.source, entry.src), os.path.join(places.destination, entry.dst)
    if options.mode == "symlink" and is_link_to(dst, then := os.path.join(options.source, entry.src)):
        src = then  # the link has the path of then, wherever the folders are now
    part = f".gender-classifier-{journal.header.token}-{entry.id}.part"
    return Ends(src, dst, os.path.join(os.path.dirname(dst), part), os.path.join(os.path.dirname(src), part))


def settle_open(journal: Journal, places: Places, report: Callable[[str], None]) -> int:
    """Ends what is open, and returns how many entries had to stay so, each reported with a sentence."""
    mode, left = journal.header.options.mode, 0
    for state, otherwise in ((State.OPEN, State.CANCELLED), (State.UNDOING, State.UNDONE)):
        for entry in list(journal.entries(state)):
            ends = ends_of(journal, entry, places)
            try:
                if ends.lead_elsewhere(mode):
                    raise OSError(0, "a folder on its way is a symbolic link now")
                if state is State.UNDOING:
                    clear_way_back(ends.src, ends.dst, size=entry.size, part=ends.part_back)
                arrived = settle(mode, ends.src, ends.dst, part=ends.part, sha256=entry.sha256, size=entry.size)
            except OSError as error:
                left += 1
                report(f"{printable(ends.dst)}, at which an earlier run was stopped, was left alone: {error.strerror}.")
            else:
                journal.mark(entry, State.DONE if arrived else otherwise)
    return left
