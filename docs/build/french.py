"""Writes figures the French way."""

# ruff: noqa: RUF001 - the typography that French needs

from __future__ import annotations

from typing import Any

__all__ = ["decimals", "number", "percent", "points"]

_NBSP = "\u00a0"


def number(value: Any) -> str:
    """Returns an estimate (``92,3 %``) or a plain number."""
    if isinstance(value, dict):
        return percent(value, interval=False)
    return f"{value:,}".replace(",", _NBSP) if isinstance(value, int) else f"{value:.4g}".replace(".", ",")


def percent(estimate: dict[str, Any], *, interval: bool = True, signed: bool = False) -> str:
    """Returns an estimate as ``92,3 % [91,0 ; 93,5]``; a dash where the set does not define it."""
    if estimate["value"] is None:
        return "–"
    form = "{:+.1f}" if signed else "{:.1f}"
    value, low, high = (form.format(100 * estimate[key]).replace(".", ",") for key in ("value", "low", "high"))
    if signed:
        value, low, high = (each.replace("-", "−") for each in (value, low, high))
    unit = "" if signed else f"{_NBSP}%"
    return f"{value}{unit} [{low}{_NBSP};{_NBSP}{high}]" if interval else f"{value}{unit}"


def points(share: float) -> str:
    """Returns a difference of shares in points, signed."""
    return f"{100 * share:+.1f}".replace(".", ",").replace("-", "−")


def decimals(value: float, digits: int) -> str:
    """Returns a number with that many digits behind the comma."""
    return f"{value:.{digits}f}".replace(".", ",")
