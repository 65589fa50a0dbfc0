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
from collections import Counter, deque
from typing import TYPE_CHECKING, final

from ..runtime.errors import OptionError
from ..runtime.prediction import Prediction, Status
from .inputs import STDIN
from .jsonl import JsonLines
from .tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .inputs import Item

__all__ = ["ResultsFile", "file_key", "is_torn"]

# ruff: noqa: PTH116

_FIELDS = frozenset(Prediction(path=None, status=Status.OK).asdict())
_TORN = re.compile(rb'\{"path": ("(?:[^"\\]|\\.)*"|null), "status": "')
"""How every line begins; the start of a line that was torn off is a start of this, or begins with it."""


@final
class ResultsFile:
    """Appends predictions to a JSONL file and knows which pictures it holds.

    Use it as a context manager, read the inputs through :meth:`missing`, and hand every prediction to :meth:`append`
    in the order of the inputs. Only one run at a time can have the file open, where the system can lock files.

    Attributes:
        held: Number of results that the file held when it was opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        resume: bool,
        tally: Tally | None = None,
        model: str | None = None,
    ) -> None:
        """Opens or creates the file.

        Args:
            path: The file; its folder must exist.
            resume: Whether to go on with a file that holds results. A torn last line is cut off.
            tally: Counts the inputs that :meth:`missing` leaves out because the file holds them.
            model: The classifier's identity; a file with results of another one cannot be resumed.

        Raises:
            OptionError: If the file cannot be opened, is in use, holds results and ``resume`` is false, or holds
                anything but results of this model.
        """
        self._tally = tally
        self._model = model
        # Digest of the path -> the stamp and outcome of its last line: that line is the one that counts.
        self._known: dict[bytes, tuple[bytes, str]] = {}
        self._repeated: Counter[bytes] = Counter()  # an input that was given several times has several lines
        self._in_flight: deque[tuple[str, dict[str, int] | None]] = deque()
        self.held = 0
        self._file = JsonLines(path, create=True)
        try:
            if not resume and os.fstat(self._file.descriptor).st_size:
                raise OptionError(
                    f"{self._file.name} is not empty. --resume goes on with it and skips the pictures it holds; "
                    "to start anew, name another file."
                )
            for _, line in self._file.lines():
                self._take(line)
            if not self._file.is_torn(is_torn):
                raise self._foreign()
            self._file.cut()
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
        self._file.append({**prediction.asdict(), "file": stamp})

    def close(self) -> None:
        """Hands the lines to the disk and closes the file."""
        self._file.close()

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take(self, line: bytes) -> None:
        try:
            data = json.loads(line)
            stamp = data.pop("file")
            if set(data) != _FIELDS or not isinstance(data["path"], str):
                raise self._foreign()
            stamp = None if stamp is None else {"size": int(stamp["size"]), "mtime_ns": int(stamp["mtime_ns"])}
            model = str(data["model"])
            known = str(data["label"]) if Status(data["status"]) is Status.OK else str(Status(data["status"]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise self._foreign() from error
        if self._model is not None and model != self._model:
            raise OptionError(
                f"Line {self.held + 1} of {self._file.name} was answered by {model}, and this run would answer by "
                f"{self._model}. Name that model and the options it had, or another file."
            )
        key, digest = file_key(data["path"], None, None), _digest(stamp)
        before = self._known.get(key)
        if before is not None and before[0] == digest:
            self._repeated[key] += 1
        else:  # the file has changed since its line before, or is there again
            self._repeated.pop(key, None)
        self._known[key] = (digest, known)
        self.held += 1

    def _foreign(self) -> OptionError:
        return OptionError(
            f"Line {self.held + 1} of {self._file.name} is not a result that --output wrote, so the file is left as "
            "it is. Name another file."
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
