"""Holds the options of a sort, which the journal records too, and its tally."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from ...runtime.errors import OptionError
from ...runtime.escaping import printable
from ...runtime.options import PARTS, options_of
from ...runtime.prediction import Status
from ..words import display

__all__ = ["FAILED", "FAILURES", "MODES", "SETTINGS", "Mode", "SortOptions", "SortTally"]

# ruff: noqa: PTH117

Mode = Literal["copy", "move", "hardlink", "symlink"]

MODES: Final = get_args(Mode)
"""What can be done with each picture."""

FAILED: Final = "failed"
"""The folder's key for pictures that could not be classified; a status of its own may have another folder."""

FAILURES: Final = frozenset(status.value for status in Status if status.failed)
"""Outcomes that are not answers."""

SETTINGS: Final[Mapping[str, type]] = {
    "model": str,
    **{option.name: option.kind for part in PARTS for _, option in options_of(part) if option.decides},
}
"""The options, by their names on the command line, that decide the answers. Each may also be ``None``: not given."""

_PLACES: Final = ("model", "detector")
"""Settings that say where something lies, so that it is found again. What it is, ``SortOptions.model`` says."""


@dataclass(frozen=True)
class SortOptions:
    """The options of a sort.

    Attributes:
        source: The folder, or the one file, to sort.
        destination: The folder to sort into; made if it is not there.
        mode: What is done with each picture.
        names: Folder names that differ from the default, by label, status or ``failed``.
        keep_tree: Make the folders inside ``source`` again inside each answer's folder.
        journal: The journal's file; by default :data:`~gender_cli.sorting.records.JOURNAL_NAME` in ``destination``.
        dry_run: Write nothing.
        recursive: Whether the folders inside ``source`` are sorted too.
        settings: The options that decide the answers, some of :data:`SETTINGS`.
        model: What gives the answers; a sort is not gone on with by another model.

    Raises:
        OptionError: If a value cannot be.
    """

    source: str
    destination: str
    mode: Mode = "copy"
    names: dict[str, str] = field(default_factory=dict)
    keep_tree: bool = False
    journal: str | None = None
    dry_run: bool = False
    recursive: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    model: str | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise OptionError(f"The mode {self.mode!r} is not one of {', '.join(MODES)}.")
        for key, name in self.names.items():
            if not name or name in (os.curdir, os.pardir) or any(c in name for c in "/\\\0") or os.path.isabs(name):
                raise OptionError(f"{name!r} cannot be the name of the folder for {key}.")
        for name, value in self.settings.items():
            kind = SETTINGS.get(name)
            if kind is None or not (value is None or type(value) is kind or (kind is float and type(value) is int)):
                raise OptionError(f"{value!r} cannot be the setting {name}.")

    def folder(self, answer: str) -> str:
        """Returns the name of the folder for an answer."""
        if answer in self.names:
            return self.names[answer]
        if answer in FAILURES:
            return self.names.get(FAILED, FAILED)
        return display(answer).replace(" ", "-").replace("/", "_").replace("\\", "_")

    def difference(self, now: SortOptions) -> str | None:
        """Returns the first option, but the folders, that another sort has otherwise, in words, or ``None``."""
        for (what, mine), (_, theirs) in zip(self._choices(), now._choices(), strict=True):
            if mine != theirs:
                return f"{what} was {_shown(mine, theirs)} then and is {_shown(theirs, mine)} now"
        return None

    def _choices(self) -> Iterator[tuple[str, Any]]:
        yield from (("--mode", self.mode), ("--names", self.names), ("--keep-tree", self.keep_tree))
        yield "--recursive", self.recursive
        for name in SETTINGS:
            if name not in _PLACES:
                yield f"--{name.replace('_', '-')}", self.settings.get(name)
        yield "the model", self.model


def _shown(value: Any, other: Any) -> str:
    """Returns a value for people; of names only those that are not the same in the other one."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={name}" for key, name in value.items() if other.get(key) != name) or "without these"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not given" if value is None else printable(str(value))


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
        parts = [f"{count} in {name}/" for name, count in sorted(self.placed.items())]
        if self.equal:
            parts.append(f"{self.equal} there already")
        if self.left:
            reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(self.left.items()))
            parts.append(f"{self.left.total()} left where they are ({reasons})")
        text = f"{self.total} picture{'' if self.total == 1 else 's'}" + (f": {', '.join(parts)}" if parts else "")
        return f"{text}; {self.held} of them by an earlier run." if self.held else f"{text}."
