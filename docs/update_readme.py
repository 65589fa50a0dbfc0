"""Rewrites the parts of README.md that nobody types: option lists, a transcript, and the built-in model's figures.

python docs/update_readme.py          # rewrite
python docs/update_readme.py --check  # exit 1 when something is out of date
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"

_BLOCK = re.compile(
    r"(?P<open><!-- (?P<kind>help|transcript): (?P<command>[^\n]+) -->\n)```\w+\n(?P<body>.*?)```\n(?P<close><!-- /)",
    re.DOTALL,
)

_FIGURES = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
_ROWS = (
    ("official portraits", "eval_portraits", ()),
    ("web photographs of adults", "eval_wild_adults", ()),
    ("web photographs of children under ten", "eval_wild", ("by", "age", "groups", "0-9")),
)


def figures() -> str:
    """Returns the built-in model's accuracy as a table, from the committed reports."""
    lines = [
        "| people it was not trained on | balanced accuracy | women recognised | men recognised |",
        "|---|---|---|---|",
    ]
    for title, name, path in _ROWS:
        report = json.loads((ROOT / "docs" / "evaluation" / name / "report.json").read_text(encoding="utf-8"))
        part = report["overall"]
        if path:
            part = report
            for key in path:
                part = part[key]
        cells = (part["balanced_accuracy"], part["recall"]["female"], part["recall"]["male"])
        lines.append("| " + " | ".join([title, *(f"{100 * cell['value']:.1f} %" for cell in cells)]) + " |")
    return "\n".join(lines) + "\n"


def run(command: str) -> str:
    """Runs a command of the README from the checkout and returns what a terminal 100 columns wide would show."""
    words = shlex.split(command)
    assert words[0] == "gender-classifier", command
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GENDER_CLASSIFIER")}
    environment |= {"COLUMNS": "100", "GENDER_CLASSIFIER_MODELS": str(ROOT / "docs"), "PYTHONIOENCODING": "utf-8"}
    environment["XDG_DATA_HOME"] = str(ROOT / "docs")  # no detector, whatever this user has installed
    done = subprocess.run(
        [sys.executable, str(ROOT / "gender_classifier.py"), *words[1:]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def render(text: str) -> str:
    """Returns the README's text with every generated block made anew."""

    def replace(match: re.Match[str]) -> str:
        shown = run(match["command"])
        fence = "text"
        if match["kind"] == "transcript":
            shown = f"$ {match['command']}\n{shown}"
            fence = "console"
        return f"{match['open']}```{fence}\n{shown}```\n{match['close']}"

    text = _FIGURES.sub(lambda match: match[1] + figures() + match[2], text)
    return _BLOCK.sub(replace, text)


def main() -> int:
    """Rewrites or checks; returns the exit code."""
    old = README.read_text(encoding="utf-8")
    new = render(old)
    if "--check" in sys.argv[1:]:
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
