"""Appends a long run's results to a file (``--output FILE.jsonl``) and goes on with one (``--resume``).

One line per picture is written with one system call as soon as the picture is answered, so a run that is killed loses
the pictures in flight and nothing else. A line holds the fields of ``Prediction.asdict()`` and one more, ``file``: size
and mtime of the picture as it was before it was read, by which ``--resume`` knows it again. ``docs/long-runs.md`` tells
the whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections import Counter, deque
from typing import TYPE_CHECKING, final

from ..runtime.errors import OptionError
from ..runtime.prediction import Prediction, Status
from .inputs import STDIN, printable
from .jsonl import WriteError, lock, write_line
from .tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from .inputs import Item

__all__ = ["ResultsFile", "file_key", "is_torn"]

# File descriptors all through, which pathlib has no methods for:
# ruff: noqa: PTH116

_FIELDS = frozenset(Prediction(path=None, status=Status.OK).asdict())
_TORN = re.compile(rb'\{"path": ("(?:[^"\\]|\\.)*"|null), "status": "')
"""How every line begins; the start of a line that was torn off is a start of this, or begins with it."""
_LONGEST = 1 << 26
"""Bytes of a line beyond which it is nobody's result: a picture of ten thousand people takes three million."""


@final
class ResultsFile:
    """Appends predictions to a JSONL file and knows which pictures it holds.

    Use it as a context manager, read the inputs through :meth:`missing`, and hand every prediction to :meth:`append`
    in the order of the inputs. Only one run at a time can have the file open, where the system can lock files.

    Attributes:
        held: Number of results that the file held when it was opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool, tally: Tally | None = None) -> None:
        """Opens or creates the file.

        Args:
            path: The file; its folder must exist.
            resume: Whether to go on with a file that holds results. A torn last line is cut off.
            tally: Counts the inputs that :meth:`missing` leaves out because the file holds them.

        Raises:
            OptionError: If the file cannot be opened, is in use, holds results and ``resume`` is false, or holds
                anything but results.
        """
        self._name = printable(os.fspath(path))
        self._tally = tally
        # Digest of the path -> the stamp and outcome of its last line: that line is the one that counts.
        self._known: dict[bytes, tuple[bytes, str]] = {}
        self._repeated: Counter[bytes] = Counter()  # an input that was given several times has several lines
        self._in_flight: deque[tuple[str, dict[str, int] | None]] = deque()
        self.held = 0
        self._descriptor = self._open(path)
        try:
            lock(self._descriptor, f"{self._name} is being written by another run; wait for it, or name another file.")
            end = os.fstat(self._descriptor).st_size
            if end and not resume:
                raise OptionError(
                    f"{self._name} is not empty. --resume goes on with it and skips the pictures it holds; "
                    "to start anew, name another file."
                )
            self._length = self._read() if end else 0
            if self._length != end:
                os.ftruncate(self._descriptor, self._length)
        except BaseException:
            self.close()
            raise

    def missing(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields the inputs that the file does not hold with the same path, size and mtime. ``-`` is never held."""
        for item in items:
            stamp = None if item.problem is not None or item.path == STDIN else _stamp(item.path)
            key = file_key(item.path, None, None)
            held, known = self._known.get(key, (b"", "")) if item.path != STDIN else (b"", "")
            if held != _digest(stamp):
                self._in_flight.append((item.path, stamp))
                yield item
                continue
            if self._repeated[key]:
                self._repeated[key] -= 1
            else:
                del self._known[key], self._repeated[key]
            if self._tally is not None:
                self._tally.held += 1
                self._tally.count(known)

    def append(self, prediction: Prediction) -> None:
        """Writes the prediction of the next input that :meth:`missing` yielded.

        Raises:
            ValueError: If it is the prediction of another input.
            WriteError: If it cannot be written; the file then ends with the last whole line.
        """
        path, stamp = self._in_flight.popleft()
        if path != prediction.path:
            raise ValueError(f"the prediction of {prediction.path!r} came where that of {path!r} was due")
        line = json.dumps({**prediction.asdict(), "file": stamp}, allow_nan=False).encode("ascii") + b"\n"
        try:
            write_line(self._descriptor, line, self._length)
        except OSError as error:
            raise WriteError(f"{self._name} cannot be written: {error.strerror}.") from error
        self._length += len(line)

    def close(self) -> None:
        """Hands the lines to the disk and closes the file."""
        if self._descriptor < 0:
            return
        try:
            os.fsync(self._descriptor)
        except OSError:
            pass  # a file system without fsync; the lines are written all the same
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: str | os.PathLike[str]) -> int:
        try:
            if os.path.lexists(path) and not stat.S_ISREG(os.stat(path).st_mode):
                raise OptionError(f"{self._name} is no regular file; the results go to one, or to stdout with --jsonl.")
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            return os.open(path, flags, 0o666)
        except (OSError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            reason = error.strerror if isinstance(error, OSError) else error
            raise OptionError(f"{self._name} cannot be opened for writing: {reason}.") from error

    def _read(self) -> int:
        """Takes in every whole line and returns where the last of them ends."""
        end = 0
        with open(self._descriptor, "rb", closefd=False) as file:
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                self._take(line, self.held + 1)
                end += len(line)
            tail = line.rstrip(b"\0")  # a power cut can leave zeros where a line should be
            rest = iter(lambda: file.read(1 << 20), b"")
            if tail:
                torn = is_torn(tail) and len(line) < _LONGEST
            else:  # zeros alone, after at least one result; or nothing
                torn = not line or (self.held > 0 and not any(chunk.strip(b"\0") for chunk in rest))
            if not torn:
                raise self._foreign(self.held + 1)
        return end

    def _take(self, line: bytes, number: int) -> None:
        try:
            data = json.loads(line)
            stamp = data.pop("file")
            if set(data) != _FIELDS or not isinstance(data["path"], str):
                raise self._foreign(number)
            stamp = None if stamp is None else {"size": int(stamp["size"]), "mtime_ns": int(stamp["mtime_ns"])}
            known = str(data["label"]) if Status(data["status"]) is Status.OK else str(Status(data["status"]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise self._foreign(number) from error
        key, digest = file_key(data["path"], None, None), _digest(stamp)
        before = self._known.get(key)
        if before is not None and before[0] == digest:
            self._repeated[key] += 1
        else:  # the file has changed since its line before, or is there again
            self._repeated.pop(key, None)
        self._known[key] = (digest, known)
        self.held += 1

    def _foreign(self, number: int) -> OptionError:
        return OptionError(
            f"Line {number} of {self._name} is no result that --output wrote, so the file is left as it is. "
            "Name another file."
        )


_ENDINGS = tuple(
    ending[start:]
    for ending in (b'{"path": "", "status": "', b'{"path": null, "status": "', b'\\", "status": "')
    for start in range(len(ending))
)
"""What can follow the place where the start of a line was torn, up to where :data:`_TORN` ends."""


def _stamp(path: str) -> dict[str, int] | None:
    """Returns size and mtime of the file that a picture is read from, or ``None`` when it cannot be asked."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return {"size": info.st_size, "mtime_ns": info.st_mtime_ns}


def _digest(stamp: dict[str, int] | None) -> bytes:
    """Returns what stands for size and mtime; not empty, also where there is no file to ask."""
    return f"{stamp['size']} {stamp['mtime_ns']}".encode("ascii") if stamp else b"none"


def is_torn(tail: bytes) -> bool:
    """Whether bytes without a newline are the start of a line that :class:`ResultsFile` writes.

    A whole JSON value is that only if it has the fields of a line: then the newline alone is missing.
    """
    try:
        data = json.loads(tail)
    except RecursionError:
        return False
    except ValueError:  # torn, or no JSON
        whole = _TORN.match(tail)
        return whole is not None or any(_TORN.match(tail + ending) for ending in _ENDINGS)
    return isinstance(data, dict) and set(data) == _FIELDS | {"file"}


def file_key(path: str, size: int | None, mtime_ns: int | None) -> bytes:
    """Returns 16 bytes that stand for a path, size and mtime: small, so that a set of a hundred thousand is too."""
    return hashlib.blake2b(f"{size} {mtime_ns} {path}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
