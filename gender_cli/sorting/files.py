"""Looks at files without waiting for them or being led elsewhere, and tells whether a content has a second place."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from io import FileIO
from typing import BinaryIO

from ..jsonl import sync

__all__ = [
    "digest",
    "digest_of",
    "has_no_links",
    "holds",
    "is_regular",
    "is_spare",
    "make_folders",
    "missing_folders",
    "open_regular",
    "sync_folder",
]

# Plain system calls, named as such: each line's failure matters here.
# ruff: noqa: PTH102, PTH116, PTH120, PTH123, PTH208

_BLOCK = 1 << 20


def open_regular(path: str, *, follow: bool = False) -> FileIO:
    """Opens a regular file for reading. A FIFO, a device or a folder is never opened, and never waited for.

    Args:
        path: Of the file.
        follow: Whether a symbolic link to a regular file counts as one.

    Raises:
        OSError: If it cannot be read, or is something else.
    """
    refusal = OSError(errno.EINVAL, "it is not a regular file", path)
    if not stat.S_ISREG((os.stat if follow else os.lstat)(path).st_mode):
        raise refusal
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # it took the file's place after the look
        os.close(descriptor)
        raise refusal
    return open(descriptor, "rb", buffering=0)


def digest(path: str) -> str:
    """Returns the sha256 of a regular file's content, lower-case hex, following symbolic links.

    Raises:
        OSError: If it cannot be read, or is something else.
    """
    with open_regular(path, follow=True) as file:
        return digest_of(file)


def digest_of(file: BinaryIO | FileIO) -> str:
    """Returns the sha256 of what is still to be read of a file, lower-case hex."""
    hasher = hashlib.sha256()
    while block := file.read(_BLOCK):
        hasher.update(block)
    return hasher.hexdigest()


def is_regular(path: str) -> bool:
    """Returns whether a path is a regular file and not a symbolic link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def holds(path: str, sha256: str) -> bool:
    """Returns whether a path is a regular file, not a link to one, with this content."""
    try:
        with open_regular(path) as file:
            return digest_of(file) == sha256
    except OSError:
        return False


def is_spare(path: str, other: str, sha256: str) -> bool:
    """Returns whether the content is still to be had at ``other`` when the name ``path`` is deleted.

    It is, if they are two files and both have the content; or one file, of two names that are different entries of
    their folders. Links, bind mounts and names that differ by case only can make two paths lead to one entry.

    Args:
        path: A regular file.
        other: A regular file, or a symbolic link to one.
        sha256: Of the content; of one file of two names it may be another one by now.
    """
    try:
        with open_regular(path) as mine, open_regular(other, follow=True) as theirs:
            here, there = os.fstat(mine.fileno()), os.fstat(theirs.fileno())
            if not os.path.samestat(here, there):
                return digest_of(mine) == digest_of(theirs) == sha256
            return here.st_nlink > 1 and _are_two_entries(path, os.path.realpath(other))
    except OSError:
        return False


def _are_two_entries(path: str, other: str) -> bool:
    """Returns whether two paths of one file are two entries. Neither may end in a symbolic link."""
    (folder, name), (other_folder, other_name) = os.path.split(path), os.path.split(other)
    if not os.path.samestat(os.stat(folder), os.stat(other_folder)):
        return True
    names = os.listdir(folder)  # as the file system has them, whatever it takes for equal
    return name != other_name and name in names and other_name in names


def has_no_links(folder: str) -> bool:
    """Returns whether no part of a folder's path is a symbolic link; what is not there is none."""
    return os.path.realpath(folder) == folder


def missing_folders(path: str) -> list[str]:
    """Returns the folders that are to be made for a path, the outermost one first.

    Raises:
        FileNotFoundError: If there is not even a drive or a share to make them on.
    """
    missing: list[str] = []
    while not os.path.lexists(path):
        above = os.path.dirname(path)
        if above == path:
            raise FileNotFoundError(errno.ENOENT, "the drive or share is not connected", path)
        missing.insert(0, path)
        path = above
    return missing


def make_folders(folders: Iterable[str], mode: int = 0o777) -> None:
    """Makes folders, the outermost one first, and returns when they are on the disk.

    Raises:
        OSError: If one cannot be made.
    """
    for folder in folders:
        os.mkdir(folder, mode)
        sync_folder(os.path.dirname(folder))


def sync_folder(folder: str) -> None:
    """Returns when the names in a folder are on the disk, where the system can do that.

    Raises:
        OSError: If they could not be written.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it may be entered, but not read
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
