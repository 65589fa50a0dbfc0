"""Putting one file somewhere else without ever overwriting anything, such that a kill at any moment loses nothing.

A name is taken by making a hard link, a symbolic link or an exclusively created file there: each of them fails when
the name exists, so no check can be outrun by another program. Contents are only ever removed when the same bytes, by
sha256, are known to be at the other end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from io import FileIO
from typing import BinaryIO

from .journal_files import sync_folder
from .journal_format import MODES

__all__ = ["MODES", "ChangedError", "digest", "is_regular", "move", "place", "settle", "take_back", "withdraw"]

# ruff: noqa: PTH103, PTH105, PTH108, PTH110, PTH114, PTH115, PTH116, PTH120, PTH121, PTH123, PTH211
# Plain system calls, named as such: each line's failure matters here.

_BLOCK = 1 << 20
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.EINVAL, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
)
"""What ``link`` says on FAT, on many network drives, and for files of others (``fs.protected_hardlinks``)."""


class ChangedError(OSError):
    """A file is not what it was when its sha256 was taken."""


def digest(path: str) -> str:
    """Returns the sha256 of a file's content, lower-case hex, following symbolic links.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        return _digest(file)


def _digest(file: BinaryIO | FileIO) -> str:
    hasher = hashlib.sha256()
    while block := file.read(_BLOCK):
        hasher.update(block)
    return hasher.hexdigest()


def is_regular(path: str) -> bool:
    """Returns whether a path is a regular file and no symbolic link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def place(mode: str, src: str, dst: str, *, part: str, sha256: str) -> None:
    """Copies, moves or links a file to a name that must be free.

    Args:
        mode: One of :data:`MODES`.
        src: An absolute path.
        dst: The name to take; its folder must exist.
        part: A name in the same folder for a copy that is under way; a file of that name is a leftover.
        sha256: Of the content of ``src``.

    Raises:
        FileExistsError: If ``dst`` exists; nothing was changed.
        ChangedError: If ``src`` changed meanwhile; nothing was changed.
        OSError: If it cannot be done; nothing was changed.
    """
    if mode == "copy":
        _copy(src, part, sha256, keep_owner=False)
        _publish(part, dst)
    elif mode == "hardlink":
        os.link(os.path.realpath(src), dst)
    elif mode == "symlink":
        os.symlink(src, dst)
    else:
        move(src, dst, part=part, sha256=sha256)


def move(src: str, dst: str, *, part: str, sha256: str) -> None:
    """Moves a regular file to a name that must be free; across file systems by copy, sync, verify, delete.

    Raises:
        OSError: As :func:`place`.
    """
    try:
        os.link(src, dst)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.EXDEV:
            _move_by_copy(src, dst, part, sha256)
            return
        if error.errno not in _NO_LINKS:
            raise
    else:
        _delete_or_withdraw(src, dst, os.lstat(dst), linked=True)
        return
    _reserve(dst)
    try:
        os.replace(src, dst)  # the only name it can replace is the empty file just made
    except OSError as error:
        os.unlink(dst)
        if error.errno != errno.EXDEV:
            raise
        _move_by_copy(src, dst, part, sha256)


def _move_by_copy(src: str, dst: str, part: str, sha256: str) -> None:
    before = _copy(src, part, sha256, keep_owner=True)
    _publish(part, dst)
    sync_folder(os.path.dirname(dst))
    _delete_or_withdraw(src, dst, before)


def _delete_or_withdraw(src: str, dst: str, before: os.stat_result, *, linked: bool = False) -> None:
    """Ends a move whose content is at both ends; what is no longer the file that it was ``before`` is not deleted."""
    try:
        if linked and not os.path.samefile(src, dst):  # a program that saves a new file and renames it, say
            raise ChangedError(errno.EBUSY, "it changed while it was being moved", src)
        _unlink_unchanged(src, before)
    except FileNotFoundError:
        return  # somebody else deleted it; the other end is all there is
    except OSError:
        os.unlink(dst)
        raise


def _unlink_unchanged(path: str, before: os.stat_result) -> None:
    """Deletes a file, unless somebody wrote to it or put another in its place since a look at it.

    Raises:
        ChangedError: If that happened.
    """
    now = os.lstat(path)
    # Inode numbers are not compared between two looks at a file: some file systems (FUSE) make them up each time.
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ChangedError(errno.EBUSY, "it changed while it was being moved", path)
    os.unlink(path)


def _copy(src: str, part: str, sha256: str, *, keep_owner: bool) -> os.stat_result:
    """Copies content, times and permissions, returns when they are on the disk and read back equal.

    Returns:
        What ``src`` was when it was opened.
    """
    with suppress(FileNotFoundError):
        os.unlink(part)
    try:
        # The buffer is what writes all of it: a plain file may take a part, on a disk that is nearly full.
        with open(src, "rb", buffering=0) as source, open(part, "x+b") as target:
            before = os.fstat(source.fileno())
            shutil.copyfileobj(source, target, _BLOCK)
            target.flush()
            if keep_owner and hasattr(os, "fchown"):
                with suppress(OSError):  # only root may give files away
                    os.fchown(target.fileno(), before.st_uid, before.st_gid)
            _copy_metadata(src, part)
            os.fsync(target.fileno())
            target.seek(0)
            if _digest(target) != sha256:
                raise ChangedError(errno.EBUSY, "it changed while it was being copied", src)
            return before
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _copy_metadata(src: str, part: str) -> None:
    """Copies times, permissions and extended attributes, as far as the file system of the copy has them."""
    try:
        shutil.copystat(src, part)
    except OSError:  # no permissions there (FAT, some network drives); the times can be kept all the same
        info = os.stat(src)
        with suppress(OSError):
            os.utime(part, ns=(info.st_atime_ns, info.st_mtime_ns))


def _publish(part: str, dst: str) -> None:
    """Gives a finished copy its name, if that is free."""
    try:
        try:
            os.link(part, dst)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _reserve(dst)
            os.replace(part, dst)  # the only name it can replace is the empty file just made
            return
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    os.unlink(part)


def _reserve(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def settle(mode: str, src: str, dst: str, *, part: str, sha256: str, size: int) -> bool:
    """Brings a :func:`place` that was killed to an end, forward where its content had arrived, else back.

    Returns:
        Whether the file is at ``dst`` now. If not, ``src`` is as it was.
    """
    with suppress(OSError):
        os.unlink(part)
    if mode == "symlink":
        return os.path.islink(dst) and os.readlink(dst) == src
    if not is_regular(dst):
        return False
    if mode == "hardlink" and os.path.exists(src):
        return os.path.samefile(os.path.realpath(src), dst)
    if size and os.stat(dst).st_size == 0:
        os.unlink(dst)  # a name that was reserved and never filled
        return False
    if not _holds(dst, sha256):
        return False
    if mode == "move" and is_regular(src):
        before = os.lstat(src)
        if os.path.samefile(src, dst) or _holds(src, sha256):
            with suppress(ChangedError):  # somebody goes on working with it; it is a picture of its own now
                _unlink_unchanged(src, before)
    return True


def withdraw(src: str, dst: str, *, size: int, part: str) -> None:
    """Clears what a :func:`take_back` that was killed may have left where the file came from, short of the file."""
    with suppress(OSError):
        os.unlink(part)
    if size and is_regular(src) and os.stat(src).st_size == 0 and is_regular(dst):
        os.unlink(src)  # a name that was reserved and never filled


def take_back(mode: str, src: str, dst: str, *, part: str, sha256: str) -> str | None:
    """Undoes a :func:`place`.

    Args:
        mode: One of :data:`MODES`.
        src: Where the file came from.
        dst: Where it went.
        part: A name in the folder of ``src`` for a copy that is under way.
        sha256: Of its content then.

    Returns:
        ``None`` when all is as before the sort, else why the file was left alone, as the end of a sentence.

    Raises:
        OSError: If it cannot be done; nothing was changed.
    """
    if not os.path.lexists(dst):
        if mode == "move" and not (is_regular(src) and _holds(src, sha256)):
            return "is not there any more"
        return None
    if mode == "symlink":
        if not (os.path.islink(dst) and os.readlink(dst) == src):
            return "is no longer the symbolic link that was made"
        os.unlink(dst)
        return None
    if mode == "hardlink" and is_regular(dst) and os.path.exists(src) and os.path.samefile(os.path.realpath(src), dst):
        os.unlink(dst)  # the same file under its other name: nothing can be lost
        return None
    if not (is_regular(dst) and _holds(dst, sha256)):
        return "was changed since"
    if mode == "move":
        return _move_back(src, dst, part=part, sha256=sha256)
    if not _holds(src, sha256):
        return "may be the only one left: the original is gone or was changed"
    os.unlink(dst)
    return None


def _move_back(src: str, dst: str, *, part: str, sha256: str) -> str | None:
    if os.path.lexists(src):
        if not (is_regular(src) and _holds(src, sha256)):
            return "cannot go back: another file has its old name"
        os.unlink(dst)  # an undo that was killed had brought it back already
        return None
    os.makedirs(os.path.dirname(src), exist_ok=True)
    move(dst, src, part=part, sha256=sha256)
    return None


def _holds(path: str, sha256: str) -> bool:
    try:
        return digest(path) == sha256
    except OSError:
        return False
