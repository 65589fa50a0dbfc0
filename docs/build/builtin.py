"""Makes the measured tables of the built-in model's page and card, from the committed reports and the training log."""

from __future__ import annotations

import csv
import json
from typing import Any

from gender_classifier.evaluation.defaults import MIN_GROUP

from .blocks import ROOT, Makers

__all__ = ["MAKERS"]

_SETS = {
    "eval_portraits": "official portraits of unseen people",
    "eval_wild_adults": "web photographs, adults",
    "eval_synthetic_adults": "synthetic pictures, adults",
    "eval_wild": "web photographs, all ages",
    "eval_synthetic": "synthetic pictures, all ages",
}
_AGES = (("eval_wild", "web photographs"), ("eval_synthetic", "synthetic pictures"))


def _report(name: str) -> dict[str, Any]:
    path = ROOT / "docs" / "evaluation" / name / "report.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _cell(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{100 * estimate['value']:.1f} ({100 * estimate['low']:.1f}-{100 * estimate['high']:.1f})"


def _short(estimate: dict[str, Any]) -> str:
    return "-" if estimate["value"] is None else f"{100 * estimate['value']:.1f}"


def _sets() -> str:
    """Every set, a picture without a found face counted as wrong; then with the decision rule."""
    lines = [
        "| set | pictures | no face found | balanced | women right | men right | uncertain | right of the answers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, title in _SETS.items():
        report = _report(name)
        overall, about = report["overall"], report["set"]
        every, point = overall["all_pictures"], overall["operating_point"]
        uncertain = f"{100 - 100 * point['answered']['value']:.1f}"
        cells = (every["balanced_accuracy"], every["recall"]["female"], every["recall"]["male"])
        lines.append(
            f"| {title} | {about['pictures']} | {sum(about['failed'].values())} | {' | '.join(map(_cell, cells))} | "
            f"{uncertain} | {_cell(point['accuracy'])} |"
        )
    return "\n".join(lines)


def _ages() -> str:
    """By age: the most probable class, and what is said with the decision rule, in per cent of those with a face."""
    lines = [
        "| age | women | men | women right | men right | women: uncertain, called men | men: uncertain, called women |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in _AGES:
        for age, part in _report(name)["by"]["age"]["groups"].items():
            point = part["operating_point"]
            said = []
            for gender in ("female", "male"):
                answered = point["answered_by_class"][gender]["value"]
                wrong = answered * (1 - point["recall"][gender]["value"]) if answered else 0.0
                said.append(f"{100 - 100 * answered:.0f}, {100 * wrong:.0f}")
            count, recall = part["n_by_class"], part["recall"]
            lines.append(
                f"| {title}, {age} | {count['female']} | {count['male']} | {_short(recall['female'])} | "
                f"{_short(recall['male'])} | {said[0]} | {said[1]} |"
            )
    return "\n".join(lines)


def _training() -> str:
    """The networks of the recipe on held-out people, from the log."""
    log = json.loads((ROOT / "training" / "log.json").read_text(encoding="utf-8"))
    last = log["curves"][-1]
    lines = [
        "| network | weights | steps | held-out faces | spoilt | women, spoilt | men, spoilt |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [("the CC0 network itself", "132,000", "", log["cc0"])]
    rows += [(name, f"{log['parameters'][name]:,}", str(last[name]["steps"]), last[name]) for name in log["parameters"]]
    for name, weights, steps, figures in rows:
        cells = (figures[key] for key in ("clean", "spoilt", "spoilt_female", "spoilt_male"))
        lines.append(f"| {name} | {weights} | {steps} | " + " | ".join(f"{100 * cell:.1f}" for cell in cells) + " |")
    return "\n".join(lines)


def _races() -> str:
    """Adults in web photographs by race, the groups large enough to say something."""
    lines = ["| race | women | men | women right | men right |", "|---|---|---|---|---|"]
    for race, part in _report("eval_wild_adults")["by"]["race"]["groups"].items():
        count, recall = part["n_by_class"], part["recall"]
        if min(count.values()) >= MIN_GROUP:
            shares = f"{_cell(recall['female'])} | {_cell(recall['male'])}"
            lines.append(f"| {race} | {count['female']} | {count['male']} | {shares} |")
    return "\n".join(lines)


def _data() -> str:
    """The sets of training pictures, with what their licences ask for."""
    lines = ["| set | pictures | licence | attribution |", "|---|---|---|---|"]
    with (ROOT / "training" / "sets.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            licences = dict.fromkeys(part.split(" (site-wide")[0] for part in row["licences"].split("; "))
            cells = (f"{row['folder']}/{row['set']}", row["pictures"], "; ".join(licences), row["attributions"])
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


_TABLES = {"sets": _sets, "ages": _ages, "races": _races, "data": _data, "training": _training}

MAKERS: Makers = {"builtin": lambda table: _TABLES[table]()}
