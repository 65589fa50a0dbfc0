"""Decides in which folders a sort, or its undo, may act, and when a journal is to be asked about first."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ...runtime.errors import OptionError
from ...runtime.escaping import printable
from ..inputs import expand
from .files import missing_folders
from .journal import Journal
from .options import SortOptions
from .records import JOURNAL_NAME, VERSION, State, identity
from .transfer import try_hard_link

__all__ = ["Places", "ask", "conflict", "locate", "open_journal", "resolve"]

# Plain strings all through: a path must come back from the journal exactly as it went in.
# ruff: noqa: PTH100, PTH110, PTH112, PTH116, PTH118, PTH120


@dataclass(frozen=True)
class Places:
    """Where a sort, or its undo, acts and nowhere else; all absolute, the folders without symbolic links.

    Attributes:
        source: The folder that pictures come from.
        destination: The folder that they go to.
        journal: The journal's file.
        start: The one file in the source that is to be sorted, or ``""`` for the whole folder.
        doubts: What is not sure about the journal or the folders, as ends of a sentence.
    """

    source: str
    destination: str
    journal: str
    start: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def start_path(self) -> str:
        """The folder, or the one file in it, that is sorted."""
        return os.path.join(self.source, self.start) if self.start else self.source


def resolve(options: SortOptions) -> Places:
    """Returns where a sort works.

    Raises:
        OptionError: If the folders cannot be those of a sort.
    """
    source, start, destination = os.path.realpath(options.source), "", os.path.realpath(options.destination)
    journal = _resolved(options.journal or os.path.join(destination, JOURNAL_NAME))
    if not os.path.isdir(source):
        folder, start = os.path.split(os.path.abspath(options.source))
        source = os.path.realpath(folder)
        # A picture that a sort has moved is not there any more, and the same command may be given again.
        if not os.path.exists(options.source) and not _is_about(journal, source, start):
            raise OptionError(f"There is no folder {printable(options.source)} to sort.")
    if source == destination:
        raise OptionError("SRC and DEST are the same folder; a folder inside it can be DEST, or one beside it.")
    try:
        missing = missing_folders(destination)
    except FileNotFoundError as error:
        raise OptionError(f"There is no {printable(str(error.filename))}: {error.strerror}.") from error
    if not missing and not os.path.isdir(destination):
        raise OptionError(f"{printable(options.destination)} is not a folder.")
    places = Places(source, destination, journal, start)
    if options.mode == "hardlink" and not options.dry_run:
        pictures = expand([places.start_path], recursive=options.recursive, follow_folder_links=False)
        picture = next((item.path for item in pictures if item.problem is None), None)
        if picture is not None:
            above = os.path.dirname(missing[0]) if missing else destination
            try_hard_link(picture, os.path.join(above, ".gender-classifier-link.part"))
    return places


def _is_about(journal: str, source: str, start: str) -> bool:
    """Whether a journal is that of the sort of one file."""
    try:
        with Journal.open(journal, write=False) as opened:
            return (opened.header.options.source, opened.header.start) == (source, start)
    except (OSError, OptionError):
        return False


def _resolved(path: str) -> str:
    """Returns a file's path with the links of its folder resolved, and not its own."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def open_journal(path: str, *, write: bool = True) -> Journal:
    """Opens the journal of a sort, given its file or the destination folder that holds it.

    Raises:
        OptionError: If there is none, or it cannot be used.
    """
    file = _resolved(os.path.join(path, JOURNAL_NAME) if os.path.isdir(path) else path)
    try:
        return Journal.open(file, write=write)
    except FileNotFoundError:
        raise OptionError(f"There is no journal {printable(file)}.") from None


def locate(journal: Journal, *, named: str, source: str | None = None, destination: str | None = None) -> Places:
    """Finds the folders that a journal is about.

    They may have been moved or renamed, together or each alone; a folder of the right name may be another one. So a
    folder is taken without a doubt only if it is the very one of then, or if the user names it.

    Args:
        journal: The journal.
        named: As what the user named it: its file, or the folder that holds it.
        source: The folder that pictures came from, if the user names it.
        destination: The folder that they went to, if the user names it.

    Raises:
        OptionError: If a folder is not to be found.
    """
    header, here = journal.header, os.path.dirname(journal.path)
    then = header.options
    doubts = []
    if not os.path.isdir(named):
        doubts.append("it was given as a file")
    if journal.version < VERSION:
        doubts.append("it is of an older version, which cannot tell its folders from others of the same name")
    if _others_may_write(journal):
        doubts.append("other users may have changed it")
    if destination is not None:
        destination = os.path.realpath(destination)
    elif then.destination == header.folder:  # the journal lies in it, wherever that is now
        destination = here
        if not _is_folder(here, header.destination_id):
            doubts.append(f"{printable(here)} is not the folder that it was written in, but may be a copy of it")
    elif journal.count(State.DONE):
        destination = _find(journal, then.destination, header.destination_id, "--destination", doubts)
    else:
        destination = then.destination
    if source is not None:
        source = os.path.realpath(source)
    elif here == header.folder and not os.path.lexists(then.source):
        source = then.source  # emptied by the sort and deleted since; it is made again
    else:
        source = _find(journal, then.source, header.source_id, "--source", doubts)
    return Places(source, destination, journal.path, header.start, tuple(doubts))


def ask(places: Places, act: str, confirm: Callable[[str], bool] | None) -> None:
    """Asks whether a journal that is in doubt is to be obeyed.

    Args:
        places: Where it would act.
        act: What it would do.
        confirm: Called with an announcement; returns whether to go on. Without it the answer is no.

    Raises:
        OptionError: If it is not to be.
    """
    if places.doubts:
        announcement = f"{printable(places.journal)} wants a second look: {'; '.join(places.doubts)}. {act}"
        if confirm is None or not confirm(announcement):
            raise OptionError(f"{announcement}\nNothing was done. If this is what you want, give --yes as well.")


def _find(journal: Journal, path: str, known: str, option: str, doubts: list[str]) -> str:
    """Returns where a folder of the journal is now, and adds what is not sure about that."""
    candidates = [folder for folder in _where_now(journal, path) if os.path.isdir(folder)]
    if not candidates:
        raise OptionError(
            f"The folder {printable(path)}, which the journal {printable(journal.path)} is about, is not there. If its "
            f"disk is away, connect it; if the folder is elsewhere now, name it with {option} DIR."
        )
    folder = next((folder for folder in candidates if _is_folder(folder, known)), None)
    if folder is None:
        folder = candidates[0]
        doubts.append(f"{printable(folder)} is not the folder that it was then")
    return folder


def _where_now(journal: Journal, path: str) -> Iterator[str]:
    """Yields where a folder of the journal can be: moved together with the journal, or where it was."""
    then, here = journal.header.folder, os.path.dirname(journal.path)
    if here != then:
        with suppress(ValueError):  # on another drive
            yield os.path.normpath(os.path.join(here, os.path.relpath(path, then)))
    yield path


def _is_folder(folder: str, known: str) -> bool:
    return bool(known) and os.path.isdir(folder) and identity(folder) == known


def conflict(journal: Journal, places: Places, options: SortOptions) -> str | None:
    """Returns the first difference between the sort of a journal and another one, in words, or ``None``."""
    header = journal.header
    for what, then, known, now in (
        ("SRC", header.options.source, header.source_id, places.source),
        ("DEST", header.options.destination, header.destination_id, places.destination),
    ):
        if now not in _where_now(journal, then) and not _is_folder(now, known):
            return f"{what} was {printable(then)} then and is {printable(now)} now"
    if header.start != places.start:
        then = Places(places.source, "", "", header.start).start_path
        return f"SRC was {printable(then)} then and is {printable(places.start_path)} now"
    return header.options.difference(options)


def _others_may_write(journal: Journal) -> bool:
    """Whether another user could have written the journal, or put it there."""
    if not hasattr(os, "geteuid"):
        return False
    folder = os.stat(os.path.dirname(journal.path))
    if folder.st_uid not in (0, os.geteuid()) or _is_open_to_others(journal.info()):
        return True
    return not folder.st_mode & stat.S_ISVTX and _is_open_to_others(folder)


def _is_open_to_others(info: os.stat_result) -> bool:
    return bool(info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and not _is_own_group(info.st_gid)))


def _is_own_group(group_id: int) -> bool:
    """Whether a group has this user as its only member, as Linux distributions make one for each user."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    return user.pw_gid == group_id and user.pw_name == group.gr_name and set(group.gr_mem) <= {user.pw_name}
