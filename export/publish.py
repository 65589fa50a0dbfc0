"""A bundle appears whole or not at all: staged beside its place, then swapped in by one system call.

Killed at any moment, an export leaves the old bundle or the new one under the name, and at most a hidden folder beside
it, which the next export of that name removes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.bundle.manifest import MANIFEST_NAME
from .errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["publish", "staged"]

_RENAME_EXCHANGE = 2
"""``linux/fs.h``"""
_RENAME_SWAP = 2
"""``sys/stdio.h`` of macOS"""
_AT_FDCWD = -100


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside the target, to be filled and given to :func:`publish`; removes what is left of it.

    While it is open, another export to the same target is refused.

    Args:
        target: Where the bundle will be.

    Raises:
        PublishError: If the place cannot be written, holds something that is no bundle, or is in use.
    """
    parent, name = target.parent, target.name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise PublishError(f"{target} is in the way: it is no folder.")
        if target.is_dir() and not (target / MANIFEST_NAME).is_file() and any(target.iterdir()):
            raise PublishError(
                f"{target} is in the way: it holds something that is no model bundle. Choose another --name."
            )
        with _locked(parent / f".{name}.lock", target):
            _recover(target)
            stage = Path(tempfile.mkdtemp(prefix=f".{name}.new-", dir=parent))
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise PublishError(_sentence(target, error)) from error


def publish(stage: Path, target: Path) -> None:
    """Puts a finished folder in place of the target, whose old content is removed.

    Args:
        stage: A folder from :func:`staged`, holding a manifest.
        target: Where the bundle will be.

    Raises:
        PublishError: If it fails; the target is then as it was.
    """
    if not (stage / MANIFEST_NAME).is_file():
        raise PublishError(f"The bundle for {target} has no {MANIFEST_NAME}; it is not complete.")
    try:
        stage.chmod(0o755)  # mkdtemp makes private folders
        for path in sorted(stage.rglob("*"), reverse=True):
            _fsync(path)
        _fsync(stage)
        if not target.exists():
            stage.rename(target)
        elif _exchange(stage, target):
            shutil.rmtree(stage, ignore_errors=True)  # now the old bundle
        else:
            # No such system call here. Between the two renames there is no bundle; _recover() mends a kill there.
            backup = _backup(target)
            target.rename(backup)
            try:
                stage.rename(target)
            except OSError:
                backup.rename(target)
                raise
            shutil.rmtree(backup, ignore_errors=True)
        _fsync(target.parent)
    except OSError as error:
        raise PublishError(_sentence(target, error)) from error


def _backup(target: Path) -> Path:
    return target.parent / f".{target.name}.old"


def _recover(target: Path) -> None:
    """Mends what an export that was killed may have left; nobody else is at work here."""
    backup = _backup(target)
    if backup.is_dir():
        if target.exists():
            shutil.rmtree(backup, ignore_errors=True)
        else:
            backup.rename(target)
    for left in target.parent.glob(f".{target.name}.new-*"):
        shutil.rmtree(left, ignore_errors=True)


def _fsync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync folders
            raise
    finally:
        os.close(descriptor)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two folders in one system call; ``False`` where the system or the file system has none."""
    libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    one, two = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, two, _RENAME_EXCHANGE)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(one, two, _RENAME_SWAP)
    else:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


@contextlib.contextmanager
def _locked(path: Path, target: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: two exports to one name at once are not noticed there
        yield
        return
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # else the one before us removed the file after we had opened it
                break
        except BlockingIOError:
            os.close(descriptor)
            raise PublishError(f"Another export to {target} is running; wait for it to end.") from None
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _sentence(target: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"There is no space left on the disk that holds {target.parent}; nothing was changed there."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{target.parent} may not be written ({error.strerror}); choose another place with --output."
    return f"The bundle {target} could not be written: {error}."
