"""Expands patterns in paths: quoted ones, and all of them where the shell expands none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["glob", "has_magic"]

_MAGIC = re.compile(r"[*?[]")


def has_magic(path: str) -> bool:
    """Returns whether a path holds one of the characters ``*``, ``?`` and ``[``."""
    return _MAGIC.search(path) is not None


def glob(pattern: str) -> list[str]:
    """Returns the paths that match, in the order of their names, each once.

    ``*``, ``?`` and ``[...]`` match within a name, and ``**`` any number of folders, never through a symbolic link. A
    name that is there is taken as it stands: in ``[2019] x/*.jpg`` only the last part is a pattern. Names that start
    with a dot are matched where the pattern names one. Where it holds ``**``, only files match.
    """
    parts = Path(pattern).parts
    parts = tuple(part for part, after in zip(parts, (*parts[1:], ""), strict=True) if not part == after == "**")
    if parts and parts[-1] == "**":
        parts = (*parts, "*")
    found = sorted(set(_matches(Path(), parts)))
    # Path.is_dir would raise where a folder may not be entered.
    return [str(path) for path in found if "**" not in parts or not os.path.isdir(path)]  # noqa: PTH112


def _matches(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    if not parts:
        yield folder
        return
    name, rest = parts[0], parts[1:]
    if os.path.lexists(folder / name):
        yield from _matches(folder / name, rest)
    elif has_magic(name):
        # Two stars that are not the whole name are one, which pathlib would refuse before Python 3.13.
        for path in folder.glob(name if name == "**" else re.sub(r"\*+", "*", name)):
            below = path.relative_to(folder).parts
            if name.startswith(".") or not any(one.startswith(".") for one in below):
                yield from _matches(path, rest)
