"""How predictions are shown: readable text, JSON, JSON lines, CSV. Each writer sees one prediction at a time."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from ..runtime.prediction import UNCERTAIN
from .inputs import printable
from .words import display

if TYPE_CHECKING:
    from ..runtime.prediction import Person, Prediction

__all__ = ["Writer", "csv_safe", "make_writer"]

_BAR_WIDTH: Final = 24
# Sky blue and orange stay apart for every kind of colour blindness; the words carry the meaning all the same.
_COLOURS: Final = {"female": "\x1b[38;5;208m", "male": "\x1b[38;5;75m", UNCERTAIN: "\x1b[2m"}
_RESET: Final = "\x1b[0m"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class Writer(Protocol):
    """Writes predictions one by one; :meth:`close` ends the document, also after an interrupt."""

    def write(self, prediction: Prediction) -> None:
        """Writes one prediction."""

    def close(self) -> None:
        """Ends the document."""


def make_writer(form: str, stream: TextIO, *, lang: str, meanings: tuple[str, ...]) -> Writer:
    """Returns the writer for ``text``, ``json``, ``jsonl`` or ``csv``."""
    if form == "json":
        return _JsonWriter(stream)
    if form == "jsonl":
        return _JsonLinesWriter(stream)
    if form == "csv":
        return _CsvWriter(stream, meanings)
    return _TextWriter(stream, lang)


class _JsonLinesWriter:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, prediction: Prediction) -> None:
        # ASCII only: a path that is not valid UTF-8 survives as \udcXX escapes.
        self._stream.write(json.dumps(prediction.asdict(), allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        pass


class _JsonWriter:
    """A JSON list, written as it grows so that memory stays flat."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._first = True

    def write(self, prediction: Prediction) -> None:
        text = json.dumps(prediction.asdict(), indent=2, allow_nan=False).replace("\n", "\n  ")
        self._stream.write(("[\n  " if self._first else ",\n  ") + text)
        self._stream.flush()
        self._first = False

    def close(self) -> None:
        self._stream.write("[]\n" if self._first else "\n]\n")


class _CsvWriter:
    def __init__(self, stream: TextIO, meanings: tuple[str, ...]) -> None:
        self._meanings = meanings
        self._stream = stream
        self._row("path", "status", "label", "score", *meanings, "raw_label", "people", "error")

    def _row(self, *cells: str) -> None:
        # With "\n" as its line end the writer leaves "\r" unquoted, and readers would take it for the end of a row.
        row = io.StringIO()
        csv.writer(row, lineterminator="\r\n").writerow([csv_safe(cell) for cell in cells])
        self._stream.write(row.getvalue().removesuffix("\r\n") + "\n")
        self._stream.flush()

    def write(self, prediction: Prediction) -> None:
        probabilities = prediction.probabilities or {}
        self._row(
            prediction.path or "",
            prediction.status.value,
            prediction.label or "",
            "" if prediction.score is None else f"{prediction.score:.6f}",
            *(f"{probabilities[each]:.6f}" if each in probabilities else "" for each in self._meanings),
            prediction.raw_label or "",
            str(len(prediction.people)),
            prediction.error or "",
        )

    def close(self) -> None:
        pass


def csv_safe(text: str) -> str:
    """Returns a cell that no spreadsheet reads as a formula.

    A text that starts with ``=``, ``+``, ``-``, ``@``, tab, CR or LF gets a ``'`` in front (OWASP, "CSV Injection"). So
    does one that starts with ``'``, which makes it reversible: take one leading ``'`` off, always.
    """
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


class _TextWriter:
    """Answers for people: the word, the probability of every class, a small bar."""

    def __init__(self, stream: TextIO, lang: str) -> None:
        self._stream = stream
        self._lang = lang
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._full, self._empty = ("█", "░") if _can_write(stream, "█░") else ("#", ".")

    def write(self, prediction: Prediction) -> None:
        if prediction.status.failed:
            return  # the sentence goes to stderr: stdout carries answers only
        lines = [f"{printable(prediction.path or '-')}: {self._headline(prediction)}"]
        several = len(prediction.people) > 1
        for number, person in enumerate(prediction.people, 1):
            if several:
                lines.append(f"  {number}. {self._answer(person)}{_where(person)}")
            lines.extend(self._bars(person, indent="     " if several else "  "))
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()

    def close(self) -> None:
        pass

    def _headline(self, prediction: Prediction) -> str:
        if not prediction.people:
            return display(prediction.status.value, self._lang)
        if len(prediction.people) == 1:
            return self._answer(prediction.people[0])
        people = "personnes" if self._lang == "fr" else "people"
        return f"{len(prediction.people)} {people}"

    def _answer(self, person: Person) -> str:
        return self._paint(person.label, display(person.label, self._lang))

    def _bars(self, person: Person, *, indent: str) -> list[str]:
        width = max(len(display(each, self._lang)) for each in person.probabilities)
        lines = []
        for meaning, probability in person.probabilities.items():
            filled = round(probability * _BAR_WIDTH)
            bar = self._paint(meaning, self._full * filled) + self._empty * (_BAR_WIDTH - filled)
            word = display(meaning, self._lang).ljust(width)
            lines.append(f"{indent}{word}  {bar}  {self._percent(probability)}")
        return lines

    def _percent(self, probability: float) -> str:
        text = f"{100 * probability:5.1f}"
        return f"{text.replace('.', ',')} %" if self._lang == "fr" else f"{text}%"

    def _paint(self, meaning: str, text: str) -> str:
        colour = _COLOURS.get(meaning, "") if self._coloured else ""
        return f"{colour}{text}{_RESET}" if colour and text else text


def _where(person: Person) -> str:
    if person.box is None:
        return ""
    x0, y0, x1, y1 = (round(edge) for edge in person.box)
    return f"  ({x1 - x0} x {y1 - y0} px at {x0}, {y0})"


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
