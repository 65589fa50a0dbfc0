"""Makes the README's transcript and its tables: the built-in model on whole photographs, and on faces."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

from .blocks import ROOT, Makers

__all__ = ["MAKERS"]

_ROWS = (
    ("official portraits (head and shoulders)", "eval_portraits", ("overall", "all_pictures")),
    ("adults, web photographs cropped to the face", "eval_wild_adults", ("overall", "all_pictures")),
    ("children under ten, likewise", "eval_wild", ("by", "age", "groups", "0-9")),
)


def accuracy(_: str) -> str:
    """Returns the built-in model's accuracy as a table, from the committed reports; no face found counts as wrong."""
    lines = [
        "| people it was not trained on | balanced accuracy | women recognised | men recognised |",
        "|---|---|---|---|",
    ]
    for title, name, path in _ROWS:
        part = json.loads((ROOT / "docs" / "evaluation" / name / "report.json").read_text(encoding="utf-8"))
        for key in path:
            part = part[key]
        cells = (part["balanced_accuracy"], part["recall"]["female"], part["recall"]["male"])
        lines.append("| " + " | ".join([title, *(f"{100 * cell['value']:.1f} %" for cell in cells)]) + " |")
    return "\n".join(lines)


def photographs(_: str) -> str:
    """Returns the table that ``benchmarks/whole_photographs.py`` wrote."""
    path = ROOT / "benchmarks" / "whole_photographs.json"
    table: str = json.loads(path.read_text(encoding="utf-8"))["table"]
    return table


def transcript(command: str) -> str:
    """Runs a ``gender-classifier`` command in the checkout and returns what a terminal 100 columns wide shows."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GENDER_CLASSIFIER")}
    environment |= {"COLUMNS": "100", "GENDER_CLASSIFIER_MODELS": str(ROOT / "docs"), "PYTHONIOENCODING": "utf-8"}
    environment["XDG_DATA_HOME"] = str(ROOT / "docs")  # no detector but the built-in one
    done = subprocess.run(
        [sys.executable, "gender_classifier.py", *shlex.split(command)[1:]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=True,
    )
    return f"```console\n$ {command}\n{done.stdout}```"


MAKERS: Makers = {"accuracy": accuracy, "photographs": photographs, "transcript": transcript}
