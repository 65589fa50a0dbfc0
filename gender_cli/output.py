"""Writes predictions as text for people, JSON, JSON lines or CSV, one at a time."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from ..runtime.escaping import printable
from ..runtime.labels import FEMALE, MALE
from ..runtime.prediction import UNCERTAIN
from .words import counted, display, phrase

if TYPE_CHECKING:
    from ..runtime.prediction import Person, Prediction

__all__ = ["Writer", "csv_safe", "make_writer", "percent"]

_BAR_WIDTH: Final = 12
# Sky blue and orange stay apart for every kind of colour blindness; the words carry the meaning all the same.
_COLOURS: Final = {FEMALE: "\x1b[38;5;208m", MALE: "\x1b[38;5;75m", UNCERTAIN: "\x1b[2m"}
_RESET: Final = "\x1b[0m"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class Writer(Protocol):
    """Writes predictions one by one; :meth:`close` ends the document, also after an interrupt."""

    def write(self, prediction: Prediction) -> None:
        """Writes one prediction."""

    def close(self) -> None:
        """Ends the document."""


def make_writer(
    form: str, stream: TextIO, *, lang: str, meanings: tuple[str, ...], rows: str = "pictures", verbose: bool = False
) -> Writer:
    """Returns the writer for ``text``, ``json``, ``jsonl`` or ``csv``.

    Args:
        form: One of these four.
        stream: Where it writes.
        lang: Language of ``text``.
        meanings: The model's classes, a column of ``csv`` each.
        rows: ``pictures`` or ``people``: what a row of ``csv`` stands for.
        verbose: Whether ``text`` has a line for every person, with every probability.
    """
    if form == "json":
        return _JsonWriter(stream)
    if form == "jsonl":
        return _JsonLinesWriter(stream)
    if form == "csv":
        return _PeopleTable(stream, meanings) if rows == "people" else _PictureTable(stream, meanings)
    return _TextWriter(stream, lang, verbose=verbose)


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


class _Table:
    """CSV whose rows hold no line end that a reader could take for the row's own."""

    def __init__(self, stream: TextIO, meanings: tuple[str, ...]) -> None:
        self._meanings = meanings
        self._stream = stream
        self._row(self._header())

    def _header(self) -> list[str]:
        raise NotImplementedError

    def _row(self, cells: Iterable[object]) -> None:
        # With "\n" as its line end the writer leaves "\r" unquoted, and readers would take it for the end of a row.
        row = io.StringIO()
        safe = [csv_safe(cell) if isinstance(cell, str) else cell for cell in cells]
        csv.writer(row, lineterminator="\r\n").writerow(safe)
        self._stream.write(row.getvalue().removesuffix("\r\n") + "\n")
        self._stream.flush()

    def _answer(self, answer: Prediction | Person) -> Iterator[object]:
        """Yields the cells of a picture's or a person's own answer: label, score, each class, raw label."""
        yield answer.label
        yield _six_digits(answer.score)
        yield from (_six_digits((answer.probabilities or {}).get(each)) for each in self._meanings)
        yield answer.raw_label

    def close(self) -> None:
        pass


class _PictureTable(_Table):
    def _header(self) -> list[str]:
        counts = ["people", "women", "men", "uncertain"]
        end = ["width", "height", "model", "error"]
        return ["path", "status", "label", "score", *self._meanings, "raw_label", *counts, *end]

    def write(self, prediction: Prediction) -> None:
        given = Counter(person.label for person in prediction.people)
        counts = (len(prediction.people), given[FEMALE], given[MALE], given[UNCERTAIN])
        self._row(
            (
                prediction.path,
                prediction.status,
                *self._answer(prediction),
                *((None,) * 4 if prediction.status.failed else counts),
                prediction.width,
                prediction.height,
                prediction.model,
                prediction.error,
            )
        )


class _PeopleTable(_Table):
    """A row for each person; a picture without any has one row, so that none is missing."""

    def _header(self) -> list[str]:
        face = ["x0", "y0", "x1", "y1", "detection_score"]
        end = ["width", "height", "model", "error"]
        return ["path", "status", "person", "label", "score", *self._meanings, "raw_label", *face, *end]

    def write(self, prediction: Prediction) -> None:
        end = (prediction.width, prediction.height, prediction.model, prediction.error)
        if not prediction.people:
            self._row((prediction.path, prediction.status, None, *self._answer(prediction), *(None,) * 5, *end))
        for number, person in enumerate(prediction.people, 1):
            box = (round(edge, 2) for edge in person.box) if person.box is not None else (None,) * 4
            face = (*box, _six_digits(person.detection_score))
            self._row((prediction.path, prediction.status, number, *self._answer(person), *face, *end))


class _TextWriter:
    """A line a picture for people: the word, its probability and a small bar, or how many there are of each."""

    def __init__(self, stream: TextIO, lang: str, *, verbose: bool) -> None:
        self._stream = stream
        self._lang = lang
        self._verbose = verbose
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._full, self._empty = ("█", "░") if _can_write(stream, "█░") else ("#", ".")

    def write(self, prediction: Prediction) -> None:
        if prediction.status.failed:
            return  # the sentence goes to stderr: stdout carries answers only
        lines = [f"{printable(prediction.path or '-')}  {self._headline(prediction)}"]
        if self._verbose:
            several = len(prediction.people) > 1
            for number, person in enumerate(prediction.people, 1):
                lines.append(f"  {f'{number}. ' if several else ''}{self._person(person)}")
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()

    def close(self) -> None:
        pass

    def _headline(self, prediction: Prediction) -> str:
        people = prediction.people
        if not people:
            return display(prediction.status.value, self._lang)
        if prediction.probabilities is not None:
            others = f"  {phrase(self._lang, 'of_people', n=len(people))}" if len(people) > 1 else ""
            return self._one(people[0]) + others
        given = Counter(person.label for person in people)
        order = [FEMALE, MALE, *sorted(set(given) - {FEMALE, MALE, UNCERTAIN}), UNCERTAIN]
        counts = ((label, counted(self._lang, f"people.{label}", given[label])) for label in order if given[label])
        return ", ".join(self._paint(label, text) for label, text in counts)

    def _one(self, person: Person) -> str:
        filled = round(person.score * _BAR_WIDTH)
        bar = self._paint(person.label, self._full * filled) + self._empty * (_BAR_WIDTH - filled)
        share = percent(person.score, self._lang)
        if person.label == UNCERTAIN:  # of what, then?
            best = max(person.probabilities, key=person.probabilities.__getitem__)
            share = f"({display(best, self._lang)} {share})"
        return f"{self._paint(person.label, display(person.label, self._lang))} {share}  {bar}"

    def _person(self, person: Person) -> str:
        shares = (
            f"{display(meaning, self._lang)} {percent(share, self._lang)}"
            for meaning, share in person.probabilities.items()
        )
        text = printable(f"{display(person.label, self._lang)}: {', '.join(shares)}")
        if person.box is None:
            return text
        x0, y0, x1, y1 = (round(edge) for edge in person.box)
        return f"{text}  {phrase(self._lang, 'face_at', width=x1 - x0, height=y1 - y0, x=x0, y=y0)}"

    def _paint(self, label: str, text: str) -> str:
        colour = _COLOURS.get(label, "") if self._coloured else ""
        return f"{colour}{printable(text)}{_RESET}" if colour and text else printable(text)


def percent(share: float, language: str, digits: int = 1) -> str:
    """Returns a share in [0, 1] as people of that language write it: ``97.3%``, ``97,3 %``."""
    value = f"{100 * share:.{digits}f}"
    return phrase(language, "percent", value=value.replace(".", ",") if language == "fr" else value)


def csv_safe(text: str) -> str:
    """Returns a cell that no spreadsheet reads as a formula.

    A text that starts with ``=``, ``+``, ``-``, ``@``, tab, CR or LF gets a ``'`` in front (OWASP, "CSV Injection"). So
    does one that starts with ``'``, which makes it reversible: taking one leading ``'`` off gives every text back.
    """
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def _six_digits(share: float | None) -> str | None:
    return None if share is None else f"{share:.6f}"


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
