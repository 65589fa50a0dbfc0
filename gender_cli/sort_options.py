"""What a sort is told, and what it tells at its end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gender_cli.inputs import printable
from gender_cli.placing import MODES
from gender_cli.vocabulary import display
from runtime.errors import OptionError
from runtime.prediction import Status

__all__ = ["FAILED", "STATUSES", "SortOptions", "SortTally", "resolve"]

# ruff: noqa: PTH100, PTH110, PTH112, PTH116, PTH117, PTH120

FAILED = "failed"
"""The folder's key for pictures that could not be classified; a status of its own may have another folder."""

STATUSES = frozenset(status.value for status in Status)
"""Answers that are no labels."""


@dataclass(frozen=True)
class SortOptions:
    """What a sort is told.

    Attributes:
        source: The folder, or the one file, to sort.
        destination: The folder to sort into; made if it is not there.
        mode: ``copy``, ``move``, ``hardlink`` or ``symlink``.
        names: Folder names that differ from the default, by label, status, ``failed`` or ``mixed``.
        keep_tree: Make the folders inside ``source`` again inside each answer's folder.
        mixed: Put photographs whose people differ into a folder of their own.
        journal: The journal's file; by default :data:`~gender_cli.journal.JOURNAL_NAME` in ``destination``.
        dry_run: Write nothing.
        model: What gives the answers, for the journal; a sort is not gone on with by another model.
    """

    source: str
    destination: str
    mode: str = "copy"
    names: Mapping[str, str] = field(default_factory=dict)
    keep_tree: bool = False
    mixed: bool = False
    journal: str | None = None
    dry_run: bool = False
    model: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise OptionError(f"The mode {self.mode!r} is none of {', '.join(MODES)}.")
        for key, name in self.names.items():
            if not name or name in (os.curdir, os.pardir) or any(c in name for c in "/\\\0") or os.path.isabs(name):
                raise OptionError(f"{name!r} cannot be the name of the folder for {key}.")

    def folder(self, answer: str) -> str:
        """Returns the name of the folder for an answer."""
        if answer in self.names:
            return self.names[answer]
        if answer in STATUSES:
            return self.names.get(FAILED, FAILED)
        return display(answer).replace("/", "_").replace("\\", "_")


@dataclass
class SortTally:
    """What became of the pictures of a sort, those of the runs it goes on with among them.

    Attributes:
        placed: Pictures that were put somewhere, by folder name.
        equal: Pictures whose equal was there already.
        left: Pictures left where they are for another reason, by that reason (mostly a status).
        failed: Pictures that were not classified, wherever they are now.
        held: How many of all of them earlier runs had dealt with.
    """

    placed: Counter[str] = field(default_factory=Counter)
    equal: int = 0
    left: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    held: int = 0

    @property
    def total(self) -> int:
        """How many pictures there were."""
        return self.placed.total() + self.equal + self.left.total()

    @property
    def exit_code(self) -> int:
        """1 when a picture was not classified or could not be put anywhere, else 0."""
        return 1 if self.failed or self.left else 0

    def sentence(self) -> str:
        """Returns the tally for people."""
        parts = [f"{count} {name}" for name, count in sorted(self.placed.items())]
        if self.equal:
            parts.append(f"{self.equal} there already")
        if self.left:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left.items()))
            parts.append(f"{self.left.total()} left where they are ({reasons})")
        text = f"{self.total} picture{'' if self.total == 1 else 's'}" + (f": {', '.join(parts)}" if parts else "")
        return f"{text}; {self.held} of them by an earlier run." if self.held else f"{text}."


def resolve(options: SortOptions) -> tuple[str, str]:
    """Returns the two folders of a sort, absolute and without symbolic links.

    Raises:
        OptionError: If they cannot be those of a sort.
    """
    source, destination = os.path.realpath(options.source), os.path.realpath(options.destination)
    if not os.path.isdir(source):
        if not os.path.exists(source):
            raise OptionError(f"There is no folder {printable(options.source)} to sort.")
        source = os.path.realpath(os.path.dirname(os.path.abspath(options.source)))
    if source == destination:
        raise OptionError("SRC and DEST are the same folder; a folder inside it can be DEST, or one beside it.")
    if os.path.lexists(destination) and not os.path.isdir(destination):
        raise OptionError(f"{printable(options.destination)} is no folder.")
    if options.mode == "hardlink":
        above = destination
        while not os.path.exists(above):
            above = os.path.dirname(above)
        if os.stat(source).st_dev != os.stat(above).st_dev:
            raise OptionError("Hard links need SRC and DEST on one file system; --mode copy or symlink works on two.")
    return source, destination
