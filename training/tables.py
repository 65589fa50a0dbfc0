"""Figures as Markdown tables, written between marks in the documents, so that no figure is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["TABLES", "fill"]

Json = dict[str, Any]

NAMES = {
    "eval_portraits": "portraits of unseen people",
    "eval_wild": "web photographs",
    "eval_synthetic": "synthetic pictures",
}


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


def sets(results: Json, _: Json) -> str:
    """Every set, adults and all, both framings."""
    rows = []
    for name, title in NAMES.items():
        for framing, words in (("face", "square around the face"), ("image", "whole picture")):
            part = results["sets"][name][framing]
            if part["adults"]["n"] != part["all"]["n"]:
                rows.append(_row(f"{title}, adults, {words}", part["adults"]))
                rows.append(_row(f"{title}, all ages, {words}", part["all"]))
            else:
                rows.append(_row(f"{title}, {words}", part["all"]))
    return _table("set", rows)


def sources(results: Json, _: Json) -> str:
    """The portraits by the collection that they come from."""
    parts = results["sets"]["eval_portraits"]["face"]["by_source"]
    return _table("collection", [_row(name, part) for name, part in parts.items()])


def ages(results: Json, _: Json) -> str:
    """By age band, where ages are labelled."""
    rows = []
    for name in ("eval_wild", "eval_synthetic"):
        for band, part in results["sets"][name]["face"]["by_age"].items():
            rows.append(_row(f"{NAMES[name]}, {band}", part))
    return _table("age", rows)


def races(results: Json, _: Json) -> str:
    """Adults by race, as the sources label it."""
    rows = []
    for name in NAMES:
        for race, part in results["sets"][name]["face"]["adults_by_race"].items():
            rows.append(_row(f"{NAMES[name]}, {race}", part))
    return _table("race", rows)


def abstention(results: Json, _: Json) -> str:
    """What the decision rule does to each set."""
    lines = [
        "| set | uncertain | of women | of men | answers right | of women | of men | of `female` | of `male` |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title in NAMES.items():
        for who in ("adults", "all"):
            part = results["sets"][name]["face"][f"abstention_{who}"]
            if who == "all" and part == results["sets"][name]["face"]["abstention_adults"]:
                continue
            cells = [f"{title}, {'adults' if who == 'adults' else 'all ages'}"]
            cells += [_percent(part[k]) for k in ("uncertain", "uncertain_female", "uncertain_male")]
            cells.append(_with_interval({"accuracy": part["right_of_given"], "interval": part["interval"]}))
            keys = ("right_of_given_female", "right_of_given_male", "right_of_answer_female", "right_of_answer_male")
            cells += [_percent(part[k]) for k in keys]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spoilt(results: Json, _: Json) -> str:
    """Adults after each way of spoiling a picture."""
    rows = []
    for name in ("eval_portraits", "eval_wild"):
        part = results["sets"][name]
        kinds = part["spoilt_adults"]
        rows.append(_row(f"{NAMES[name]}, as they are", kinds["none"]))
        rows += [_row(f"{NAMES[name]}, {kind}", kinds[kind]) for kind in kinds if kind != "none"]
        rows.append(_row(f"{NAMES[name]}, all, with the mirror image", part["face_two_views_adults"]))
    return _table("adults", rows)


def front(_: Json, trials: Json) -> str:
    """The candidates, best first."""
    lines = [
        "| candidate | parameters | MB (fp32 ONNX) | ms, one thread | validation | spoilt validation | women | men |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ranked = sorted(trials["candidates"].items(), key=lambda item: -float(item[1]["spoilt"]))
    for name, c in ranked:
        cells = [name, f"{c['parameters']:,}", f"{c['megabytes']:.2f}", f"{c['milliseconds']:.2f}"]
        cells += [_percent(c[k]) for k in ("clean", "spoilt", "spoilt_female", "spoilt_male")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES = {
    "sets": sets,
    "sources": sources,
    "ages": ages,
    "races": races,
    "abstention": abstention,
    "spoilt": spoilt,
    "front": front,
}
"""Makers of tables by the name between the marks."""


def fill(path: Path, results: Json, trials: Json) -> None:
    """Rewrites what stands between ``<!-- table: name -->`` and ``<!-- end -->`` in a document.

    Args:
        path: A Markdown file.
        results: What ``evaluate`` wrote.
        trials: What ``front`` wrote.
    """

    def replace(match: re.Match[str]) -> str:
        table = TABLES[match[1]](results, trials)
        return f"<!-- table: {match[1]} -->\n{table}\n<!-- end -->"

    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)
    path.write_text(text, encoding="utf-8")
