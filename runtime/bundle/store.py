"""Puts a finished folder in its place whole or not at all, and takes one away at once.

A folder is filled beside its place, under a hidden name, and renamed. Killed at any moment, that leaves the old folder
or the new one. Between the two renames that replace a folder there is none for some microseconds; a kill just then is
mended by the next attempt. What else a kill leaves is hidden, and swept away later.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..errors import ClassifierError, StoreError
from .manifest import MANIFEST_NAME

__all__ = ["publishing", "remove"]

_ABANDONED_S: Final = 24 * 3600.0
"""A hidden folder that was not written to for so long was left by a process that was killed."""


@contextmanager
def publishing(target: Path, *, marker: str = MANIFEST_NAME, replace: bool = True) -> Iterator[Path]:
    """Yields an empty folder beside the target, and puts it into the target's place when the block ends well.

    Whatever is raised inside the block leaves the target as it was. Meanwhile another attempt at it is refused.

    Args:
        target: Where the folder will be.
        marker: A file of every finished folder of this kind; a folder without it is not replaced.
        replace: Whether a folder that is there is replaced.

    Raises:
        StoreError: If the place cannot be written, holds something else, or is in use, or the marker is missing.
    """
    parent, name = target.parent, target.name
    with _sentences(target):
        parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise StoreError(f"{target} is in the way: it is not a folder.")
        if target.is_dir() and not (target / marker).is_file() and any(target.iterdir()):
            raise StoreError(f"{target} is in the way: it holds something else, without a {marker}.")
        with _locked(parent / f".{name}.lock", target):
            _recover(target)
            stage = Path(tempfile.mkdtemp(prefix=f".{name}.new-", dir=parent))
            try:
                yield stage
                if not (stage / marker).is_file():
                    raise StoreError(f"What was to become {target} has no {marker}; it is not complete.")
                if not replace and target.exists():
                    raise StoreError(f"{target} is there already.")
                _swap(stage, target)
            finally:
                shutil.rmtree(stage, ignore_errors=True)


def _swap(stage: Path, target: Path) -> None:
    stage.chmod(0o755)  # mkdtemp makes private folders, and others may use a model
    for path in sorted(stage.rglob("*"), reverse=True):
        _fsync(path)
    _fsync(stage)
    old = _aside(target)
    if target.exists():
        target.rename(old)
    try:
        stage.rename(target)
    except OSError:
        if old.is_dir():
            old.rename(target)
        raise
    _fsync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove(folder: Path) -> None:
    """Removes a folder: it is gone at once for all who look, whatever happens to its files afterwards.

    Of a link to a folder only the link goes; ``rmtree`` follows none.

    Raises:
        StoreError: If it cannot be taken away, or some of its files cannot be deleted.
    """
    with _sentences(folder):
        away = Path(tempfile.mkdtemp(prefix=f".{folder.name}.gone-", dir=folder.parent))
        try:
            folder.rename(away / folder.name)
        except OSError:
            away.rmdir()
            raise
        shutil.rmtree(away)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.old"


def _recover(target: Path) -> None:
    """Mends what a process that was killed may have left of this target, and sweeps away what is old of any other."""
    old = _aside(target)
    if old.is_dir():
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)
    for left in target.parent.glob(f".{target.name}.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in (*target.parent.glob(".*.new-*"), *target.parent.glob(".*.gone-*")):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
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


@contextmanager
def _locked(path: Path, target: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: two at once are not noticed there
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
            raise StoreError(f"Another process is writing {target}; wait for it to end.") from None
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def _sentences(target: Path) -> Iterator[None]:
    try:
        yield
    except ClassifierError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"There is no space left on the disk that holds {target.parent}"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            what = f"{target.parent} may not be written ({error.strerror})"
        else:
            what = f"{target} could not be written or removed: {error.strerror or error}"
        raise StoreError(f"{what}.") from error
