"""Reading a journal: what its lines add up to, what a kill or a power cut left torn, and what is none at all."""

from __future__ import annotations

import json
import os
from array import array
from dataclasses import dataclass, field
from typing import Any

from ...runtime.errors import OptionError
from ..inputs import printable
from ..resume import file_key
from .journal_format import (
    FIRST_LINE,
    STATES,
    VERSION,
    Entry,
    Header,
    State,
    check,
    check_equal,
    check_inside,
    parse_entry,
    parse_header,
)

__all__ = ["Contents", "foreign", "is_unfinished", "read"]

_LONGEST = 1 << 20
"""More bytes than any line has."""


@dataclass
class Contents:
    """What the lines of a journal add up to; a few dozen bytes per entry."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)
    equal: dict[bytes, int] = field(default_factory=dict)  # where the line is
    folders: list[str] = field(default_factory=list)

    def add(self, entry: Entry, offset: int) -> None:
        """Adds an intent, whose line is at ``offset``."""
        self.offsets.append(offset)
        self.states.append(State.OPEN)
        self.equal.pop(entry.key, None)  # it was asked again, because its equal had gone

    def take(self, record: dict[str, Any], offset: int) -> None:
        """Adds what a line tells, or raises an error, as :func:`~gender_cli.journal_format.parse_header` does."""
        op = record["op"]
        if op == "place":
            entry = parse_entry(record)
            check(type(entry.id) is int and entry.id == len(self.states), "id", entry.id)
            self.add(entry, offset)
        elif op in STATES:
            number = record["id"]
            check(type(number) is int and 0 <= number < len(self.states), "id", number)
            self.states[number] = STATES[op]
        elif op == "equal":
            check_equal(record)
            self.equal[file_key(record["src"], record["size"], record["mtime_ns"])] = offset
        elif op == "mkdir":
            check_inside(record["path"])
            self.folders.append(record["path"])
        elif op == "forget":
            self.equal.clear()
        else:
            raise ValueError(f"{op!r} is no operation")


def read(descriptor: int, shown: str) -> tuple[Header, Contents, int] | None:
    """Reads a journal from its start; returns also where its last whole line ends, or ``None`` if it has no header.

    Raises:
        OptionError: If it is no journal of this version.
    """
    with open(descriptor, "rb", closefd=False) as file:
        first = file.readline(_LONGEST)
        if first != FIRST_LINE:
            if _is_torn_start(first) and not file.read(1):
                return None
            _refuse_version(first, shown)
            raise foreign(shown)
        contents = Contents()
        header: Header | None = None
        end, number = len(first), 1
        while line := file.readline(_LONGEST):
            number += 1
            if not line.endswith(b"\n"):
                if file.read(1) or not _is_torn(line, b'{"source": "' if header is None else b'{"op": "'):
                    raise _damaged(shown, number, "it is no line of a journal")
                break
            try:
                record = json.loads(line)
                if header is None:
                    header = parse_header(record)
                else:
                    contents.take(record, end)
            except (ValueError, TypeError, AttributeError) as error:
                raise _damaged(shown, number, error) from error
            except KeyError as error:
                raise _damaged(shown, number, f"it has no {error}") from error
            except RecursionError as error:
                raise _damaged(shown, number, "it is nested too deep") from error
            end += len(line)
    return None if header is None else (header, contents, end)


def _damaged(shown: str, number: int, reason: object) -> OptionError:
    return OptionError(
        f"{shown} is damaged, or no journal of this version, so nothing is done. "
        f"Line {number}: {printable(str(reason))[:500]}."
    )


def _refuse_version(first: bytes, shown: str) -> None:
    """Raises an OptionError if a line is the first one of a journal of another version."""
    try:
        version = json.loads(first)["journal"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return
    if type(version) is int and 0 < version < 1000 and first.endswith(b"\n"):
        raise OptionError(
            f"{shown} is a journal of version {version}, and this gender-classifier reads version {VERSION} only. "
            "The one that wrote it can go on with it or undo it."
        )


def foreign(shown: str) -> OptionError:
    """Returns the error for a file that is something else than a journal."""
    return OptionError(f"{shown} is no journal of a sort, so it is left as it is; name another file with --journal.")


def is_unfinished(descriptor: int) -> bool:
    """Whether a file is empty or holds no more than a start that was never finished."""
    if os.fstat(descriptor).st_size > _LONGEST:
        return False
    with open(descriptor, "rb", closefd=False) as file:
        return _is_torn_start(file.read())


def _is_torn_start(content: bytes) -> bool:
    head = content.rstrip(b"\0")  # a power cut can leave zeros where a line should be
    if head.startswith(FIRST_LINE):
        return _is_torn(head[len(FIRST_LINE) :], b'{"source": "')
    return FIRST_LINE.startswith(head)


def _is_torn(tail: bytes, start: bytes) -> bool:
    tail = tail.rstrip(b"\0")
    return b"\n" not in tail and (tail.startswith(start) or start.startswith(tail))
