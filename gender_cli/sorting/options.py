"""What a sort is told, and what it tells at its end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...runtime.errors import OptionError
from ...runtime.prediction import Status
from ..words import display
from .records import MODES

__all__ = ["FAILED", "FAILURES", "SortOptions", "SortTally"]

# ruff: noqa: PTH117

FAILED = "failed"
"""The folder's key for pictures that could not be classified; a status of its own may have another folder."""

FAILURES = frozenset(status.value for status in Status if status.failed)
"""Outcomes that are not answers."""


@dataclass(frozen=True)
class SortOptions:
    """What a sort is told.

    Attributes:
        source: The folder, or the one file, to sort.
        destination: The folder to sort into; made if it is not there.
        mode: ``copy``, ``move``, ``hardlink`` or ``symlink``.
        names: Folder names that differ from the default, by label, status or ``failed``.
        keep_tree: Make the folders inside ``source`` again inside each answer's folder.
        journal: The journal's file; by default :data:`~gender_cli.sorting.records.JOURNAL_NAME` in ``destination``.
        dry_run: Write nothing.
        recursive: Whether the folders inside ``source`` are sorted too; for the journal.
        settings: The options that decide the answers, some of :data:`~gender_cli.sorting.records.SETTINGS`; for the
            journal.
        model: What gives the answers, for the journal; a sort is not gone on with by another model.
    """

    source: str
    destination: str
    mode: str = "copy"
    names: Mapping[str, str] = field(default_factory=dict)
    keep_tree: bool = False
    journal: str | None = None
    dry_run: bool = False
    recursive: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise OptionError(f"The mode {self.mode!r} is not one of {', '.join(MODES)}.")
        for key, name in self.names.items():
            if not name or name in (os.curdir, os.pardir) or any(c in name for c in "/\\\0") or os.path.isabs(name):
                raise OptionError(f"{name!r} cannot be the name of the folder for {key}.")

    def folder(self, answer: str) -> str:
        """Returns the name of the folder for an answer."""
        if answer in self.names:
            return self.names[answer]
        if answer in FAILURES:
            return self.names.get(FAILED, FAILED)
        return display(answer).replace(" ", "-").replace("/", "_").replace("\\", "_")


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
