"""Puts one file somewhere else without ever overwriting anything, such that a kill at any moment loses nothing.

A name is taken by making a hard link, a symbolic link or an exclusively created file there: each of them fails when
the name exists, so no check can be outrun by another program. A name is only ever deleted when the same bytes, by
sha256, are known to be under another one (:func:`~gender_cli.sorting.files.is_spare`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO

from ...runtime.errors import OptionError
from ...runtime.escaping import printable
from ..jsonl import sync, write_all
from .files import (
    digest_of,
    has_no_links,
    holds,
    is_regular,
    is_spare,
    make_folders,
    missing_folders,
    open_regular,
    sync_folder,
)

__all__ = ["ChangedError", "Ends", "LeftoverError", "is_link_to", "place", "settle", "take_back", "try_hard_link"]

# ruff: noqa: PTH101, PTH104, PTH105, PTH108, PTH110, PTH114, PTH115, PTH116, PTH120, PTH121, PTH211
# Plain system calls, named as such: each line's failure matters here.

_BLOCK = 1 << 16
"""Bytes that are copied at a time. A block of zeros becomes a hole, so sparse files stay sparse."""

_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.EINVAL, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
)
"""What ``link`` says on FAT, on many network drives, and for files of others (``fs.protected_hardlinks``)."""

_BY_DESCRIPTOR = os.chmod in os.supports_fd and os.utime in os.supports_fd
_STOPPED = "an earlier run was stopped here"


class ChangedError(OSError):
    """A file is not what it was when its sha256 was taken."""


class LeftoverError(OSError):
    """A step failed, and so did its clean-up: the message says what stays where."""


@dataclass(frozen=True)
class Ends:
    """Where a file comes from and goes to, all absolute.

    Attributes:
        src: Where from.
        dst: Where to.
        part: A name in the folder of ``dst`` for a copy that is under way.
        part_back: One in the folder of ``src``, for the way back.
    """

    src: str
    dst: str
    part: str
    part_back: str

    def lead_elsewhere(self, mode: str) -> bool:
        """Whether a folder in which something is to be changed is a symbolic link now, or lies below one."""
        changed = (self.src, self.dst) if mode == "move" else (self.dst,)
        return not all(has_no_links(os.path.dirname(path)) for path in changed)


def place(mode: str, ends: Ends, sha256: str) -> None:
    """Copies, moves or links a file to a name that must be free; its folder must exist.

    Raises:
        FileExistsError: If the name exists; nothing was changed.
        LeftoverError: If it cannot be done, and something of it could not be removed again.
        OSError: If it cannot be done; nothing was changed. ``filename`` is ``ends.src`` where that is to blame.
    """
    if mode == "copy":
        _copy(ends.src, ends.part, sha256)
        _publish(ends.part, ends.dst)
    elif mode == "hardlink":
        os.link(os.path.realpath(ends.src), ends.dst)
    elif mode == "symlink":
        os.symlink(ends.src, ends.dst)
    else:
        _move(ends.src, ends.dst, ends.part, sha256)


def _move(src: str, dst: str, part: str, sha256: str) -> None:
    """Moves a regular file; across file systems by copy, sync, verify, delete."""
    try:
        linked = _give_name(src, dst)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        before = _copy(src, part, sha256, moving=True)
        _publish(part, dst)
        _delete_source(src, dst, before)
    else:
        if linked:
            _delete_source(src, dst, os.lstat(dst), linked=True)


def _delete_source(src: str, dst: str, before: os.stat_result, *, linked: bool = False) -> None:
    """Ends a move whose content is at both ends: the name ``src`` goes, or if that cannot be, ``dst``.

    Args:
        src: Where it comes from.
        dst: Where it is as well.
        before: What ``src`` was when it was copied or linked; if it is not that any more, it stays.
        linked: Whether ``dst`` is a link to ``src``, not a copy.
    """
    with suppress(FileNotFoundError), _cleaning_up(dst):  # if another program deleted it, the other end is all there is
        sync_folder(os.path.dirname(dst))
        now = os.lstat(src)
        # Inode numbers are not compared between two looks at a file: some file systems (FUSE) make them up each time.
        changed = (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
        if changed or (linked and not os.path.samestat(now, os.lstat(dst))):  # a program that saves a new file, say
            raise ChangedError(errno.EBUSY, "it changed while it was being moved", src)
        try:
            _unlink(src, dst)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OSError(error.errno, f"it may not be deleted ({error.strerror})", src) from error


def _unlink(path: str, other: str | None = None) -> None:
    """Deletes a name, on Windows also that of a read-only file.

    Args:
        path: The name.
        other: If that is a name of the same file, it stays as read-only as it was.
    """
    try:
        os.unlink(path)
    except PermissionError:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode) or mode & stat.S_IWUSR:  # it is the folder that may not be changed
            raise
        same = other if other is not None and os.path.samefile(path, other) else None
        os.chmod(path, stat.S_IMODE(mode) | stat.S_IWUSR)
        try:
            os.unlink(path)
        except OSError:
            os.chmod(path, stat.S_IMODE(mode))
            raise
        if same is not None:
            os.chmod(same, stat.S_IMODE(mode))


def _discard(path: str, reason: str, other: str | None = None) -> None:
    """Deletes what a step made that did not come to its end; ``other`` as for :func:`_unlink`.

    Raises:
        LeftoverError: If it stays; the message begins with the reason.
    """
    try:
        _unlink(path, other)
    except OSError as error:
        if not os.path.lexists(path):
            return
        raise LeftoverError(
            error.errno, f"{reason}; {printable(path)} is left and could not be deleted ({error.strerror})"
        ) from error


@contextmanager
def _cleaning_up(path: str) -> Iterator[None]:
    """Deletes a file if what follows fails, unless that is because something was not found any more."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        _discard(path, error.strerror or str(error))
        raise
    except BaseException:
        with suppress(OSError):
            _unlink(path)
        raise


def _copy(src: str, part: str, sha256: str, *, moving: bool = False) -> os.stat_result:
    """Copies content, times and permissions; returns when they are on the disk and the content was read back equal.

    Until then only the user may read the copy.

    Args:
        src: Where from.
        part: Where to.
        sha256: Of the content.
        moving: Keep the owner too, as far as the user may give files away, and then all permissions; and refuse a
            symbolic link.

    Returns:
        What ``src`` was when it was opened.
    """
    with open_regular(src, follow=not moving) as source:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with _cleaning_up(part), open(descriptor, "r+b", buffering=0) as target:  # noqa: PTH123
            before = os.fstat(source.fileno())
            _copy_content(source, target)
            target.seek(0)
            if digest_of(target) != sha256:
                raise ChangedError(errno.EBUSY, "it changed while it was being copied", src)
            _copy_metadata(source, target, part, before, moving)
            sync(target.fileno())
        return before


def _copy_content(source: FileIO, target: FileIO) -> None:
    zeros = bytes(_BLOCK)
    while block := source.read(_BLOCK):
        if block == zeros:
            target.seek(_BLOCK, os.SEEK_CUR)
        else:
            write_all(target.fileno(), block)
    target.truncate(target.tell())  # a hole at the end


def _copy_metadata(source: FileIO, target: FileIO, part: str, info: os.stat_result, moving: bool) -> None:
    """Copies times, permissions and the user's attributes, as far as the file system of the copy has them.

    A copy belongs to whoever makes it, so what a program gets by its owner (set-user-ID, capabilities) is not copied.
    """
    mode = info.st_mode & 0o777
    if moving and hasattr(os, "fchown"):
        with suppress(OSError):  # only root may give files away
            os.fchown(target.fileno(), info.st_uid, info.st_gid)
            mode = stat.S_IMODE(info.st_mode)
    handle = target.fileno() if _BY_DESCRIPTOR else part
    with suppress(OSError):
        os.utime(handle, ns=(info.st_atime_ns, info.st_mtime_ns))
    with suppress(OSError):
        os.chmod(handle, mode)
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(source.fileno()):
                if name.startswith("user.") or name == "system.posix_acl_access":
                    os.setxattr(target.fileno(), name, os.getxattr(source.fileno(), name))


def _publish(part: str, dst: str) -> None:
    """Gives a finished copy its name, if that is free."""
    with _cleaning_up(part):
        linked = _give_name(part, dst)
    if linked:
        _discard(part, f"it is at {printable(dst)} now", dst)


def _give_name(path: str, name: str) -> bool:
    """Gives a file a name that must be free.

    Returns:
        Whether it still has the old one: it was linked, not renamed.
    """
    if os.name == "nt":
        os.rename(path, name)  # fails there if the name exists
        return False
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _cleaning_up(name):
            os.replace(path, name)  # the only name it can replace is the empty file just made
        return False
    return True


def settle(mode: str, ends: Ends, sha256: str, size: int, *, undoing: bool = False) -> bool:
    """Brings a :func:`place`, or a :func:`take_back`, that was killed to an end: forward or back.

    Returns:
        Whether the file is at ``ends.dst`` now. If not, it is at ``ends.src``, as it was.

    Raises:
        LeftoverError: If something of it cannot be removed.
    """
    src, dst = ends.src, ends.dst
    if undoing:
        _discard(ends.part_back, _STOPPED)
        if size and is_regular(src) and os.stat(src).st_size == 0 and is_regular(dst):
            _discard(src, _STOPPED)  # a name that was reserved and never filled
    _discard(ends.part, _STOPPED)
    if mode == "symlink":
        return is_link_to(dst, src)
    if not is_regular(dst):
        return False
    if mode == "hardlink" and os.path.exists(src):
        return os.path.samefile(os.path.realpath(src), dst)
    if size and os.stat(dst).st_size == 0:
        _discard(dst, _STOPPED)  # the same
        return False
    if not holds(dst, sha256):
        return False
    if mode == "move" and is_regular(src) and is_spare(src, dst, sha256):
        sync_folder(os.path.dirname(dst))
        _discard(src, _STOPPED, dst)
    return True


def take_back(mode: str, ends: Ends, sha256: str) -> str | None:
    """Undoes a :func:`place`.

    Returns:
        ``None`` when all is as before, else why the file was left alone, as the end of a sentence.

    Raises:
        OSError: If it cannot be done; nothing was changed, or a :class:`LeftoverError` says what was.
    """
    src, dst = ends.src, ends.dst
    if not os.path.lexists(dst):
        return "is not there any more" if mode == "move" and not holds(src, sha256) else None
    if mode == "symlink":
        if not is_link_to(dst, src):
            return "is no longer the symbolic link that was made"
        os.unlink(dst)
    elif (mode != "move" or is_regular(src)) and is_spare(dst, src, sha256):
        _unlink(dst, src)
    elif not holds(dst, sha256):
        return "was changed since"
    elif mode != "move":
        return "may be the only one left: the original is gone, was changed, or leads to this very file"
    elif os.path.lexists(src):
        return "cannot go back: its old name is taken, by another file or by a link to this one"
    else:
        make_folders(missing_folders(os.path.dirname(src)))
        _move(dst, src, ends.part_back, sha256)
    return None


def is_link_to(path: str, target: str) -> bool:
    """Returns whether a path is a symbolic link with just this target."""
    return os.path.islink(path) and os.readlink(path) == target


def try_hard_link(picture: str, probe: str) -> None:
    """Makes sure that hard links can be made, by making one and deleting it again.

    Two folders of one disk may be mounted each on its own, which nothing but trying tells.

    Args:
        picture: A regular file.
        probe: A name in the folder for links that nothing else uses.

    Raises:
        OptionError: If they cannot.
    """
    picture = os.path.realpath(picture)
    try:
        with suppress(FileExistsError):  # left by a run that was killed here
            os.link(picture, probe)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise OptionError(
                "Hard links need SRC and DEST on one file system that has them; --mode copy or symlink works on two."
            ) from error
    if is_spare(probe, picture, ""):
        _unlink(probe, picture)
