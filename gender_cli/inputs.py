"""Expands the arguments of a command into a stream of pictures: files, folders, patterns and ``-``.

The stream is lazy, its order depends on names alone, and memory grows with the largest folder, not with the tree.
Nothing is skipped silently: what cannot be a picture (a socket, a FIFO, a device, a loop of symbolic links, a folder
that may not be read) is an :class:`Item` with a problem, and so becomes a result with a status. Files of other programs
that only look like photographs, and copies that this one made, are counted in :class:`LeftOut`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from ..runtime.escaping import printable
from ..runtime.prediction import Status
from .globbing import glob, has_magic

__all__ = ["COPY_MARK", "PICTURE_SUFFIXES", "STDIN", "Item", "LeftOut", "expand"]

# pathlib would rewrite what was typed ("./a.jpg" -> "a.jpg"), and it costs time for every file:
# ruff: noqa: PTH116, PTH118, PTH122

STDIN = "-"
"""The argument that stands for one picture on standard input."""

PICTURE_SUFFIXES: frozenset[str] = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo",
    ".png", ".apng", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff",
    ".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs",
    ".pbm", ".pgm", ".ppm", ".pnm", ".pfm",
    ".tga", ".psd", ".ico",
})  # fmt: skip
"""What a folder's pictures end with, in lower case; a file that is named on the command line needs none of these.

Vector and page formats (``.eps``, ``.pdf``, ``.svg``) and camera raw files are left out: a photo library keeps them
beside the pictures, and each would only be one more failure.
"""


COPY_MARK = ".gender-"
"""Stands in the name of every copy that is written for people to look at: ``IMG_1.gender-annotated.jpg``."""

_NO_PHOTOGRAPH = re.compile(rf"\._.*|.*{re.escape(COPY_MARK)}(annotated|input\d*)(-\d+)?\.(jpg|png)", re.DOTALL)
"""Names of macOS's own files beside pictures (AppleDouble), and of the copies made here."""

_NO_PHOTOGRAPHS = frozenset({"__MACOSX", "@eaDir", ".@__thumb", ".thumbnails"})
"""Folders in which unzipped archives of macOS, Synology, QNAP and desktops keep resource forks and thumbnails."""


@dataclass
class LeftOut:
    """Files and folders of a walk that are not photographs, whatever they are called.

    Attributes:
        count: How many; a folder counts once.
        examples: The first three names.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Counts one."""
        self.count += 1
        if len(self.examples) < 3:
            self.examples.append(name)


@dataclass(frozen=True)
class Item:
    """One input.

    Attributes:
        path: The path, or ``-``; bytes that are not UTF-8 stand in it as lone surrogates (PEP 383).
        problem: Status and sentence of an input that is not a picture, or ``None`` for one that is worth opening.
    """

    path: str
    problem: tuple[Status, str] | None = None


class _Kind(Enum):
    PICTURE = auto()
    FOLDER = auto()
    LINKED_FOLDER = auto()
    SPECIAL = auto()
    LOOP = auto()
    DANGLING = auto()


_Identity = tuple[int, int]


def expand(
    arguments: Sequence[str],
    *,
    recursive: bool,
    exclude: Collection[str] = (),
    follow_folder_links: bool = True,
    left_out: LeftOut | None = None,
) -> Iterator[Item]:
    """Yields every input that the arguments name, in the order of the arguments, each folder in the order of its names.

    A file is taken whatever its suffix; in a folder, the files with one of :data:`PICTURE_SUFFIXES` are. A name that
    exists is never read as a pattern, nor is a folder's in a longer pattern. A match of a pattern is treated like an
    argument; where the pattern holds ``**``, only files are matched.

    Args:
        arguments: Files, folders, patterns (``*``, ``?``, ``[...]``, ``**``) and ``-``.
        recursive: Whether the folders inside a folder are read too.
        exclude: Existing folders that are left out wherever they are met.
        follow_folder_links: Whether symbolic links to folders are followed (never twice to the same folder).
        left_out: Counts what folders and patterns hold that is not a photograph by its name.

    Yields:
        One item per input. A missing file is an item without a problem (opening it will tell); a folder without
        pictures is one with :attr:`Status.NOT_FOUND`.
    """
    excluded = frozenset(_identity(folder) for folder in exclude)
    left_out = left_out or LeftOut()
    stdin_taken = False
    for argument in arguments:
        if argument == STDIN:
            problem = (Status.UNREADABLE, "Standard input can be read only once.") if stdin_taken else None
            stdin_taken = True
            yield Item(STDIN, problem)
            continue
        walk = _Walk(recursive, excluded, follow_folder_links, left_out)
        if not has_magic(argument) or os.path.lexists(argument):
            yield from walk.argument(argument)
            continue
        matched = False
        for path in glob(argument):
            matched = True
            odd = next((part for part in Path(path).parts if _is_left_out(part) and part not in argument), None)
            if odd is not None:
                left_out.add(odd)
            else:  # a file called - is not the standard input
                yield from walk.argument(os.path.join(os.curdir, STDIN) if path == STDIN else path)
        if not matched:
            yield Item(argument, (Status.NOT_FOUND, f"No file matches {printable(argument)}."))


class _Walk:
    """What one argument leads to."""

    def __init__(self, recursive: bool, excluded: frozenset[_Identity], follow: bool, left_out: LeftOut) -> None:
        self._recursive = recursive
        self._excluded = excluded
        self._follow = follow
        self._left_out = left_out
        self._seen: set[_Identity] = set()  # folders read so far, so that links cannot multiply the work

    def argument(self, path: str) -> Iterator[Item]:
        """Yields what a path on the command line stands for."""
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            yield Item(path, _loop(path) if error.errno == errno.ELOOP else None)
        except ValueError:  # a NUL in the path; opening it gives the sentence
            yield Item(path)
        else:
            if stat.S_ISDIR(mode):
                yield from self._folder(path)
            else:
                yield Item(path, None if stat.S_ISREG(mode) else _special(path))

    def _folder(self, root: str) -> Iterator[Item]:
        empty = True
        for item in self._tree(root):
            empty = False
            yield item
        if empty:
            hint = "" if self._recursive else " itself; -r looks into the folders inside it as well"
            yield Item(root, (Status.NOT_FOUND, f"There is no picture in the folder {printable(root)}{hint}."))

    def _tree(self, root: str) -> Iterator[Item]:
        """Walks a folder with a stack of its own: a deep tree must not meet Python's recursion limit."""
        levels: list[tuple[str, _Identity, Iterator[tuple[str, _Kind]]]] = []
        problem = self._enter(root, levels)
        if problem is not None:
            yield Item(root, problem)
        while levels:
            folder, _, entries = levels[-1]
            for name, kind in entries:
                path = os.path.join(folder, name)
                if _is_left_out(name):
                    self._left_out.add(name)
                elif kind is _Kind.PICTURE:
                    yield Item(path)
                elif kind not in (_Kind.FOLDER, _Kind.LINKED_FOLDER):
                    yield Item(path, _PROBLEMS[kind](path))
                elif self._recursive:
                    problem = self._enter(path, levels, linked=kind is _Kind.LINKED_FOLDER)
                    if problem is not None:
                        yield Item(path, problem)
                    break  # on with the folder just entered, or with the rest of this one
            else:
                levels.pop()

    def _enter(
        self,
        path: str,
        levels: list[tuple[str, _Identity, Iterator[tuple[str, _Kind]]]],
        *,
        linked: bool = False,
    ) -> tuple[Status, str] | None:
        """Puts a folder's entries on the stack, or returns why not; an excluded folder has neither."""
        shown = printable(path)
        if linked and not self._follow:
            return Status.NOT_A_FILE, f"{shown} is a symbolic link to a folder, and links are not followed here."
        try:
            identity = _identity(path)
            if identity in self._excluded:
                return None
            if any(identity == above for _, above, _ in levels):
                return _loop(path)
            if linked and identity in self._seen:
                return Status.NOT_A_FILE, f"{shown} is a symbolic link to a folder that was read already."
            entries = _entries(path)
        except FileNotFoundError:
            return Status.NOT_FOUND, f"The folder {shown} is gone."
        except PermissionError:
            return Status.PERMISSION_DENIED, f"The folder {shown} may not be read."
        except OSError as error:
            return Status.UNREADABLE, f"The folder {shown} cannot be read: {error.strerror}."
        self._seen.add(identity)
        levels.append((path, identity, iter(entries)))
        return None


def _entries(folder: str) -> list[tuple[str, _Kind]]:
    with os.scandir(folder) as entries:
        kept = [(entry.name, kind) for entry in entries if (kind := _kind(entry)) is not None]
    kept.sort(key=lambda pair: pair[0])
    return kept


def _kind(entry: os.DirEntry[str]) -> _Kind | None:
    """Returns what an entry is, or ``None`` for a file that is not a picture by its name."""
    picture = os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES
    try:
        if not entry.is_symlink():
            if entry.is_dir(follow_symlinks=False):
                return _Kind.FOLDER
            if not entry.is_file(follow_symlinks=False):
                return _Kind.SPECIAL
        else:
            mode = entry.stat().st_mode
            if stat.S_ISDIR(mode):
                return _Kind.LINKED_FOLDER
            if not stat.S_ISREG(mode):
                return _Kind.SPECIAL
    except FileNotFoundError:
        return _Kind.DANGLING if picture else None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return _Kind.LOOP
    return _Kind.PICTURE if picture else None


def _is_left_out(name: str) -> bool:
    return name in _NO_PHOTOGRAPHS or _NO_PHOTOGRAPH.fullmatch(name) is not None


def _identity(path: str) -> _Identity:
    info = os.stat(path)
    return info.st_dev, info.st_ino


def _special(path: str) -> tuple[Status, str]:
    return Status.NOT_A_FILE, f"{printable(path)} is a device, a FIFO or a socket, not a picture file."


def _loop(path: str) -> tuple[Status, str]:
    return Status.NOT_A_FILE, f"{printable(path)} is a loop of symbolic links."


def _dangling(path: str) -> tuple[Status, str]:
    return Status.NOT_FOUND, f"{printable(path)} is a symbolic link to a file that is not there."


_PROBLEMS: dict[_Kind, Callable[[str], tuple[Status, str]]] = {
    _Kind.SPECIAL: _special,
    _Kind.LOOP: _loop,
    _Kind.DANGLING: _dangling,
}
