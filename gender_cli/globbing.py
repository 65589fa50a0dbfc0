"""Patterns in paths, expanded by the program itself: quoted ones, and all of them where the shell expands none.

Unlike :func:`glob.glob` the matches come in the order of their names, ``**`` never follows a symbolic link to a folder
(so that a loop cannot hang it), and nothing is matched twice.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from fnmatch import translate

__all__ = ["glob", "has_magic"]

# pathlib would rewrite what was typed ("./*.jpg" -> "*.jpg"):
# ruff: noqa: PTH112, PTH118

_MAGIC = re.compile(r"[*?[]")


def has_magic(path: str) -> bool:
    """Returns whether a path holds one of the characters ``*``, ``?`` and ``[``."""
    return _MAGIC.search(path) is not None


def glob(pattern: str) -> Iterator[str]:
    """Yields the paths that match, lazily, in the order of their names.

    ``*``, ``?`` and ``[...]`` match within a name, and ``**`` any number of folders; none of them matches a leading
    dot.

    Args:
        pattern: A path with at least one magic character.

    Yields:
        Files and folders; files only where the pattern holds ``**``. A folder that may not be read is yielded itself,
        whatever its name: it may hold matches, and nothing is to be skipped silently.
    """
    drive, rest = os.path.splitdrive(pattern)
    separators = os.sep + (os.altsep or "")
    root = drive + (os.sep if rest[:1] and rest[0] in separators else "")
    names = [name for name in re.split(f"[{re.escape(separators)}]+", rest) if name]
    fixed = next(index for index, name in enumerate(names) if has_magic(name))
    base = os.path.join(root, *names[:fixed]) if fixed or root else ""
    if "**" in names:
        # A last ** takes at least one name, the file's own.
        patterns = (*names[fixed:], "*") if names[-1] == "**" else tuple(names[fixed:])
        for path, parts in _files(base):
            if parts is None or (_match(parts, patterns) and not os.path.isdir(path)):  # a link to a folder is no file
                yield path
    else:
        yield from _by_name(base, names[fixed:])


def _by_name(folder: str, names: list[str]) -> Iterator[str]:
    """Matches a pattern without ``**``, one name per level."""
    if not names:
        yield folder
        return
    name, *rest = names
    if not has_magic(name):
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            yield from _by_name(path, rest)
        return
    entries = _scan(folder)
    if entries is None:
        yield folder or os.curdir
        return
    for entry, _ in entries:
        if _match_name(entry, name):
            yield from _by_name(os.path.join(folder, entry), rest)


def _files(base: str) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """Yields every file below a folder with its names below it; hidden ones too, the pattern decides.

    A folder that may not be read is yielded with ``None``.
    """
    first = _scan(base)
    if first is None:
        yield base or os.curdir, None
        return
    levels: list[tuple[tuple[str, ...], Iterator[tuple[str, bool]]]] = [((), iter(first))]
    while levels:
        above, entries = levels[-1]
        for name, is_folder in entries:
            parts = (*above, name)
            path = os.path.join(base, *parts)
            if is_folder:
                inner = _scan(path)
                if inner is None:
                    yield path, None
                    continue
                levels.append((parts, iter(inner)))
                break
            yield path, parts
        else:
            levels.pop()


def _scan(folder: str) -> list[tuple[str, bool]] | None:
    """Returns a folder's names, sorted, and whether each is a folder and no link to one.

    What is no folder, or not there, has no names; a folder that may not or cannot be read gives ``None``.
    """
    try:
        with os.scandir(folder or os.curdir) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    except OSError as error:
        return [] if error.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL) else None


def _match(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    """Matches names against patterns, of which ``**`` takes any number of names that do not start with a dot."""
    states = {0}  # positions in the patterns that the names so far can have led to
    for part in parts:
        after: set[int] = set()
        for state in _skip(states, patterns):
            if state == len(patterns):
                continue
            if patterns[state] == "**":
                if not part.startswith("."):
                    after.add(state)
            elif _match_name(part, patterns[state]):
                after.add(state + 1)
        states = after
    return len(patterns) in _skip(states, patterns)


def _skip(states: set[int], patterns: tuple[str, ...]) -> set[int]:
    """Adds the positions after a ``**``, which may take no name at all."""
    reached = set(states)
    for state in states:
        while state < len(patterns) and patterns[state] == "**":
            state += 1
            reached.add(state)
    return reached


def _match_name(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return re.match(translate(os.path.normcase(pattern)), os.path.normcase(name)) is not None
