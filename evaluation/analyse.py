"""Keeps the measured figures of ANALYSE.md equal to the committed reports.

Two kinds of span are rewritten, and nothing else is touched:

- a block, ``<!-- mesure: NAME -->`` to ``<!-- fin -->`` on lines of their own: a table or a paragraph of
  :mod:`evaluation.analyse_blocks`;
- a figure inside a sentence, ``<!-- valeur: REPORT PATH -->92,3 %<!-- fin -->``, where PATH leads to an estimate or a
  number of that report's JSON (``overall.balanced_accuracy``).

A percentage anywhere else is somebody else's figure, and its paragraph has to say how sure it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .analyse_blocks import BLOCKS, Reports, number
from .errors import LabelsError
from .report import load_report

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SURENESS", "problems", "read_reports", "render", "rewrite"]

SURENESS = ("(confirmé", "(déduit", "(de mémoire", "(estimation")
"""A paragraph with a percentage that was not measured here holds one of these."""

_SPAN = re.compile(r"<!-- (mesure|valeur): (.+?) -->(.*?)<!-- fin -->", re.DOTALL)
_FOREIGN = re.compile(r"<!-- candidats -->.*?<!-- fin candidats -->", re.DOTALL)
_PERCENT = re.compile(r"\d+(?:[.,]\d+)?[\s\u00a0\u202f]*(?:%|points?\b)")


def read_reports(folder: Path) -> Reports:
    """Reads every ``report.json`` below a folder, by the name of its own folder.

    Raises:
        LabelsError: If there is none, or one cannot be read.
    """
    try:
        reports = {path.parent.name: load_report(path) for path in sorted(folder.glob("*/report.json"))}
    except ValueError as error:
        raise LabelsError(str(error)) from error
    if not reports:
        raise LabelsError(f"{folder} holds no report; gender-classifier evaluate report-all makes them.")
    return reports


def render(text: str, reports: Reports) -> str:
    """Returns the text with every span filled from the reports.

    Raises:
        LabelsError: If a span names a block, a report or a path that does not exist.
    """

    def fill(match: re.Match[str]) -> str:
        kind, name = match.group(1), match.group(2).strip()
        if kind == "mesure":
            if name not in BLOCKS:
                raise LabelsError(f"There is no block {name!r}; the blocks are {', '.join(BLOCKS)}.")
            content = f"\n{BLOCKS[name](reports).strip()}\n"
        else:
            content = number(_look_up(reports, name))
        return f"<!-- {kind}: {name} -->{content}<!-- fin -->"

    return _SPAN.sub(fill, text)


def rewrite(file: Path, folder: Path) -> str:
    """Rewrites the spans of a file; returns a sentence about what happened.

    Raises:
        LabelsError: As :func:`read_reports` and :func:`render` do.
    """
    text = file.read_text(encoding="utf-8")
    new = render(text, read_reports(folder))
    if new == text:
        return f"{file} already says what the reports say."
    file.write_text(new, encoding="utf-8")
    return f"{file} was brought up to the reports in {folder}."


def problems(file: Path, folder: Path) -> list[str]:
    """Returns what the file says that the reports do not hold, one sentence each; empty when all is well."""
    text = file.read_text(encoding="utf-8")
    reports = read_reports(folder)
    found = []
    models = {(each["model"]["name"], each["model"]["sha256"]) for each in reports.values()}
    if len(models) > 1:
        found.append(f"The reports in {folder} are of {len(models)} different models; run report-all.")
    for old, new in zip(_SPAN.finditer(text), _SPAN.finditer(render(text, reports)), strict=True):
        if old.group() != new.group():
            found.append(f"{file}: {old.group(2)} differs from the reports; run gender-classifier evaluate analyse.")
    for paragraph in re.split(r"\n\s*\n", _FOREIGN.sub("", _SPAN.sub("", text))):
        quoted = _PERCENT.search(paragraph)
        if quoted and not any(mark in paragraph for mark in SURENESS):
            found.append(
                f"{file}: {quoted.group()!r} is neither measured (a span) nor marked {', '.join(SURENESS)}: "
                f"{' '.join(paragraph.split())[:80]}..."
            )
    return found


def _look_up(reports: Reports, name: str) -> Any:
    report, _, path = name.partition(" ")
    value: Any = reports.get(report)
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        raise LabelsError(f"The reports hold no {name!r}.")
    return value
