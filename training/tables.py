"""Figures as Markdown, written between marks in the documents, so that no figure is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config import Recipe

__all__ = ["TABLES", "Figures", "fill"]

Json = dict[str, Any]

NAMES = {
    "eval_portraits": "portraits of unseen people",
    "eval_wild": "web photographs",
    "eval_synthetic": "synthetic pictures",
}


@dataclass(frozen=True)
class Figures:
    """Everything that was measured."""

    results: Json
    """What ``evaluate`` wrote."""
    trials: Json
    """What ``front`` wrote."""
    logs: Json
    """What ``train`` wrote: stage -> parameters and curves."""
    recipe: Recipe


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _with_interval(part: Json) -> str:
    if part.get("accuracy", part.get("balanced")) is None:
        return "-"
    low, high = part["interval"]
    return f"{_percent(part.get('accuracy', part.get('balanced')))} ({_percent(low)}-{_percent(high)})"


def _row(name: str, part: Json) -> str:
    cells = [name, str(part["female"]["n"]), str(part["male"]["n"])]
    balanced = _with_interval(part) if "balanced" in part else "-"
    gap = f"{100 * part['gap']:+.1f}" if "gap" in part else "-"
    cells += [balanced, _with_interval(part["female"]), _with_interval(part["male"]), gap]
    return "| " + " | ".join(cells) + " |"


def _table(first: str, rows: Iterable[str]) -> str:
    head = f"| {first} | women | men | balanced | women right | men right | gap |\n|---|---|---|---|---|---|---|\n"
    return head + "\n".join(rows)


def sets(figures: Figures) -> str:
    """Every set, adults and all, both framings."""
    rows = []
    for name, title in NAMES.items():
        for framing, words in (("face", "square around the face"), ("image", "whole picture")):
            part = figures.results["sets"][name][framing]
            if part["adults"]["n"] != part["all"]["n"]:
                rows.append(_row(f"{title}, adults, {words}", part["adults"]))
                rows.append(_row(f"{title}, all ages, {words}", part["all"]))
            else:
                rows.append(_row(f"{title}, {words}", part["all"]))
    return _table("set", rows)


def sources(figures: Figures) -> str:
    """The portraits by the collection that they come from."""
    parts = figures.results["sets"]["eval_portraits"]["face"]["by_source"]
    return _table("collection", [_row(name, part) for name, part in parts.items()])


def ages(figures: Figures) -> str:
    """By age band, where ages are labelled."""
    rows = []
    for name in ("eval_wild", "eval_synthetic"):
        for band, part in figures.results["sets"][name]["face"]["by_age"].items():
            rows.append(_row(f"{NAMES[name]}, {band}", part))
    return _table("age", rows)


def races(figures: Figures) -> str:
    """Adults by race, as the sources label it."""
    rows = []
    for name in NAMES:
        for race, part in figures.results["sets"][name]["face"]["adults_by_race"].items():
            rows.append(_row(f"{NAMES[name]}, {race}", part))
    return _table("race", rows)


def abstention(figures: Figures) -> str:
    """What the decision rule does to each set."""
    lines = [
        "| set | uncertain | of women | of men | answers right | of women | of men | of `female` | of `male` |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in NAMES.items():
        for who in ("adults", "all"):
            part = figures.results["sets"][name]["face"][f"abstention_{who}"]
            if who == "all" and part == figures.results["sets"][name]["face"]["abstention_adults"]:
                continue
            cells = [f"{title}, {'adults' if who == 'adults' else 'all ages'}"]
            cells += [_percent(part[k]) for k in ("uncertain", "uncertain_female", "uncertain_male")]
            cells.append(_with_interval({"accuracy": part["right_of_given"], "interval": part["interval"]}))
            keys = ("right_of_given_female", "right_of_given_male", "right_of_answer_female", "right_of_answer_male")
            cells += [_percent(part[k]) for k in keys]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spoilt(figures: Figures) -> str:
    """Adults after each way of spoiling a picture."""
    rows = []
    for name in ("eval_portraits", "eval_wild"):
        part = figures.results["sets"][name]
        kinds = part["spoilt_adults"]
        rows.append(_row(f"{NAMES[name]}, as they are", kinds["none"]))
        rows += [_row(f"{NAMES[name]}, {kind}", kinds[kind]) for kind in kinds if kind != "none"]
        rows.append(_row(f"{NAMES[name]}, all, with the mirror image", part["face_two_views_adults"]))
    return _table("adults", rows)


def front(figures: Figures) -> str:
    """The candidates, best first."""
    lines = [
        "| candidate | parameters | MB (fp32 ONNX) | ms, one thread | validation | spoilt validation | women | men |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ranked = sorted(figures.trials["candidates"].items(), key=lambda item: -float(item[1]["spoilt"]))
    for name, c in ranked:
        cells = [name, f"{c['parameters']:,}", f"{c['megabytes']:.2f}", f"{c['milliseconds']:.2f}"]
        cells += [_percent(c[k]) for k in ("clean", "spoilt", "spoilt_female", "spoilt_male")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def asked(figures: Figures) -> str:
    """The aims of the model against what was reached."""
    parts = {name: figures.results["sets"][name]["face"] for name in NAMES}
    wild = parts["eval_wild"]
    silent = wild["abstention_adults"]
    weaker = min(wild["adults"][k]["accuracy"] for k in ("female", "male"))
    gaps = ", ".join(f"{100 * abs(part['adults']['gap']):.1f}" for part in parts.values())
    cost = figures.trials["candidates"]["resnet-wide"]
    rows = [
        ("web photographs, adults, balanced", "at least 92 %", f"{_percent(wild['adults']['balanced'])} %"),
        ("the weaker class there", "at least 89 %", f"{_percent(weaker)} %"),
        (
            "portraits of unseen people, balanced",
            "at least 98.5 %",
            f"{_percent(parts['eval_portraits']['adults']['balanced'])} %",
        ),
        ("with abstention, web photographs of adults: uncertain", "at most 20 %", f"{_percent(silent['uncertain'])} %"),
        ("and right among the answers", "at least 96 %", f"{_percent(silent['right_of_given'])} %"),
        (f"gap of women and men, adults, in {', '.join(NAMES.values())}", "at most 5 points each", gaps),
        ("time per face, one thread", "at most 2 ms", f"{cost['milliseconds']:.1f} ms"),
        ("size as fp32", "under 4 MB", f"{cost['megabytes']:.2f} MB"),
    ]
    head = "| | aim | reached |\n|---|---|---|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def rule(figures: Figures) -> str:
    """The decision rule in words."""
    decision = figures.results["decision"]
    female, male = (decision["thresholds"][name] for name in ("female", "male"))
    return (
        f"The rule: divide the logits by a temperature of {decision['temperature']}; below {female} for `female` and "
        f"{male} for `male` the answer is `uncertain`. It was fitted on {decision['provenance']}. The spoilt views are "
        "drawn like training pictures. On clean portraits nearly every answer is right, so thresholds fitted on them "
        "would never abstain."
    )


def stages(figures: Figures) -> str:
    """The stages of training and where each ended, on validation."""
    lines = [
        "| stage | weights | from | learns from | steps | minutes | validation | spoilt validation | women | men |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, stage in figures.recipe.stages.items():
        log = figures.logs[name]
        last = log["curves"][-1]
        start = f"mean of {', '.join(stage.average)}" if stage.average else stage.initial or "scratch"
        steps = "" if stage.average else str(last["step"])
        minutes = "" if stage.average else f"{last['seconds'] / 60:.0f}"
        teachers = "" if stage.average else ", ".join(("labels", *stage.teachers))
        cells = [name, f"{log['parameters']:,}", start, teachers, steps, minutes]
        cells += [_percent(last[k]) for k in ("clean", "spoilt", "spoilt_female", "spoilt_male")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES = {
    "asked": asked,
    "rule": rule,
    "stages": stages,
    "sets": sets,
    "sources": sources,
    "ages": ages,
    "races": races,
    "abstention": abstention,
    "spoilt": spoilt,
    "front": front,
}
"""Makers of tables by the name between the marks."""


def fill(path: Path, figures: Figures) -> None:
    """Rewrites what stands between ``<!-- table: name -->`` and ``<!-- end -->`` in a document.

    Args:
        path: A Markdown file.
        figures: What was measured.
    """

    def replace(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]](figures)}\n<!-- end -->"

    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)
    path.write_text(text, encoding="utf-8")
