"""Ends what a kill, or a clean-up that failed, left open in a journal, forward or back."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...runtime.escaping import printable
from .files import has_no_links
from .journal import Journal
from .places import Reach
from .records import Entry, Header, State
from .transfer import clear_way_back, is_link_to, settle

__all__ = ["ends_of", "leads_elsewhere", "part_name", "settle_open"]

# ruff: noqa: PTH118, PTH120


def part_name(header: Header, entry: Entry, folder: str) -> str:
    """Returns the path of a copy that is under way to a folder."""
    return os.path.join(folder, f".gender-classifier-{header.token}-{entry.id}.part")


def ends_of(header: Header, entry: Entry, reach: Reach) -> tuple[str, str]:
    """Returns where an entry's file came from, and where it went."""
    src, dst = os.path.join(reach.source, entry.src), os.path.join(reach.destination, entry.dst)
    if header.mode == "symlink" and is_link_to(dst, then := os.path.join(header.source, entry.src)):
        src = then  # the link has the path of then, wherever the folders are now
    return src, dst


def leads_elsewhere(mode: str, src: str, dst: str) -> bool:
    """Whether a folder in which something would be changed has become a symbolic link, or lies below one."""
    changed = (src, dst) if mode == "move" else (dst,)
    return not all(has_no_links(os.path.dirname(path)) for path in changed)


def settle_open(journal: Journal, reach: Reach, report: Callable[[str], None]) -> int:
    """Ends what is open, and returns how many entries had to stay so, each reported with a sentence."""
    header, left = journal.header, 0
    for state, otherwise in ((State.OPEN, State.CANCELLED), (State.UNDOING, State.UNDONE)):
        for entry in list(journal.entries(state)):
            src, dst = ends_of(header, entry, reach)
            part = part_name(header, entry, os.path.dirname(dst))
            try:
                if leads_elsewhere(header.mode, src, dst):
                    raise OSError(0, "a folder on its way is a symbolic link now")
                if state is State.UNDOING:
                    back = part_name(header, entry, os.path.dirname(src))
                    clear_way_back(src, dst, size=entry.size, part=back)
                arrived = settle(header.mode, src, dst, part=part, sha256=entry.sha256, size=entry.size)
            except OSError as error:
                left += 1
                report(f"{printable(dst)}, on which an earlier run was stopped, was left alone: {error.strerror}.")
                continue
            journal.mark(entry, State.DONE if arrived else otherwise)
    return left
