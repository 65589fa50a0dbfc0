"""docs/output.md lists the fields, statuses and errors that there are, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from gender_classifier import runtime
from gender_classifier.runtime import errors
from gender_classifier.runtime.prediction import Person, Prediction, Status

PAGE = (Path(__file__).resolve().parents[1] / "docs/output.md").read_text(encoding="utf-8")


def names(heading: str) -> list[list[str]]:
    """First cells of each table of a section, in order."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    cells = [re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:] for table in tables]
    return [[name for cell in table for name in re.findall(r"[\w.]+", cell)] for table in cells]


def test_fields() -> None:
    whole, person = names("One result per picture")
    assert whole == list(Prediction.from_people(None, ()).asdict())
    more = {"label", "score", "probabilities", "raw_label"}
    assert set(person) | more == set(Person(None, None, "", 0.0, {}, "").asdict())


def test_statuses() -> None:
    (listed,) = names("Statuses")
    assert listed == [status.value for status in Status]


def test_errors_and_their_builtins() -> None:
    (listed,) = names("Errors of the library")
    children = {name for name in errors.__all__ if errors.ClassifierError in getattr(errors, name).__bases__}
    assert set(listed) == children
    for name, builtin in re.findall(r"^\| `(\w+Error)` \| `(\w+)` \|", PAGE, re.MULTILINE):
        assert issubclass(getattr(errors, name), getattr(__builtins__, builtin, None) or __builtins__[builtin])
    assert all(hasattr(runtime, name) for name in ("ClassifierError", "ModelNotFoundError", "OptionError"))
