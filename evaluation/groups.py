"""Computes every figure by group and by crossing of groups, and how far the groups lie apart."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from .defaults import MIN_GROUP
from .intervals import Estimate, difference
from .labels import group_column
from .metrics import CLASSES, metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from .metrics import Answers

__all__ = ["UNKNOWN", "by_group", "gaps"]

UNKNOWN = "(not labelled)"


def by_group(
    rows: pd.DataFrame, answers: Answers, columns: Sequence[str], *, min_group: int = MIN_GROUP, resamples: int = 1000
) -> dict[str, Any]:
    """Computes the metrics of each group of each column, and of each pair of columns crossed.

    Args:
        rows: One row per answer, with the columns of the labels.
        answers: What was true and what was answered.
        columns: Columns to group by; ages are banded.
        min_group: Fewest pictures of a class in a group from which a gap is drawn.
        resamples: Number of bootstrap resamples.

    Returns:
        By column (``age``) or crossing (``age x race``): ``groups`` (metrics by group, in order of their names),
        ``smallest`` (name and size of the smallest group) and ``gaps``. Pictures whose cell is empty are the group
        ``(not labelled)``, which takes part in no gap.
    """
    keys = {column: group_column(rows, column) for column in columns}
    for first, second in combinations(columns, 2):
        both = keys[first].ne("") & keys[second].ne("")
        keys[f"{first} x {second}"] = (keys[first] + ", " + keys[second]).where(both, "")
    return {name: _one(answers, cells, min_group, resamples) for name, cells in keys.items()}


def _one(answers: Answers, cells: pd.Series[str], min_group: int, resamples: int) -> dict[str, Any]:
    groups = {
        name or UNKNOWN: metrics(answers.where((cells == name).to_numpy()), resamples=resamples)
        for name in sorted(cells.unique(), key=_order)
    }
    known = {name: figures["n"] for name, figures in groups.items() if name != UNKNOWN}
    smallest = min(known, key=lambda name: known[name]) if known else None
    return {
        "groups": groups,
        "smallest": None if smallest is None else {"group": smallest, "n": known[smallest]},
        "gaps": gaps(groups, min_group=min_group),
    }


def gaps(groups: dict[str, Any], *, min_group: int = MIN_GROUP) -> dict[str, Any]:
    """Returns how far the best and the worst group lie apart, for each figure.

    The extremes are picked from the same pictures, so that with many groups chance alone opens a gap; the interval is
    that of the two groups named, not corrected for the picking.

    Args:
        groups: Metrics by group.
        min_group: Fewest pictures behind the figure of a group that takes part.

    Returns:
        For ``accuracy``, ``balanced_accuracy``, ``recall female``, ``recall male``: the best and the worst group and
        their difference, or ``None`` with fewer than two groups; ``left_out`` names the groups too small for it.
    """
    result: dict[str, Any] = {}
    for figure in ("accuracy", "balanced_accuracy", *(f"recall {name}" for name in CLASSES)):
        enough: dict[str, Estimate] = {}
        left_out: list[str] = []
        for name, figures in groups.items():
            if name == UNKNOWN:
                continue
            estimate = _estimate(figures, figure)
            if estimate.value is not None and _behind(figures, figure) >= min_group:
                enough[name] = estimate
            else:
                left_out.append(name)
        if len(enough) < 2:
            result[figure] = None
            continue
        best = max(enough, key=lambda name: enough[name].value or 0.0)
        worst = min(enough, key=lambda name: enough[name].value or 0.0)
        result[figure] = {
            "best": best,
            "worst": worst,
            "difference": difference(enough[best], enough[worst]).asdict(),
            "left_out": left_out,
        }
    return result


def _estimate(figures: dict[str, Any], figure: str) -> Estimate:
    name, _, word = figure.partition(" ")
    return Estimate(**(figures[name][word] if word else figures[name]))


def _behind(figures: dict[str, Any], figure: str) -> int:
    """Number of pictures the figure rests on; for balanced accuracy that of the rarer class."""
    if figure == "accuracy":
        return int(figures["n"])
    counts: dict[str, int] = figures["n_by_class"]
    word = figure.partition(" ")[2]
    return counts[word] if word else min(counts.values())


def _order(name: str) -> tuple[bool, int, str]:
    """Ages first by number (``0-9`` before ``10-17``), then words; what is not labelled comes last."""
    digits = name[: next((i for i, sign in enumerate(name) if not sign.isdigit()), len(name))]
    return (not name, int(digits) if digits else -1, name)
