"""The curves of the stages, and the front of the candidates, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["draw_curves", "draw_front"]


def draw_curves(logs: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws loss and validation accuracy over steps, a colour per stage.

    Args:
        logs: Stage -> what it wrote as ``log.json``. A stage with one entry, an average, is a dashed line.
        path: Where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for number, (name, log) in enumerate(logs.items()):
        curves, colour = log["curves"], f"C{number}"
        if len(curves) == 1:
            middle.axhline(100 * curves[0]["clean"], color=colour, linestyle="--", label=name)
            right.axhline(100 * curves[0]["spoilt"], color=colour, linestyle="--")
            continue
        steps = [c["step"] for c in curves]
        left.plot(steps, [c["loss"] for c in curves], color=colour, label=name)
        middle.plot(steps, [100 * c["clean"] for c in curves], color=colour, label=name)
        right.plot(steps, [100 * c["spoilt"] for c in curves], color=colour)
    left.set(xlabel="step", ylabel="training loss (running mean)")
    middle.set(xlabel="step", ylabel="validation, balanced (%)")
    right.set(xlabel="step", ylabel="spoilt validation, balanced (%)")
    middle.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_front(candidates: dict[str, dict[str, float]], path: Path) -> None:
    """Draws accuracy over milliseconds, one point per candidate.

    Args:
        candidates: Name -> its ``milliseconds`` and ``spoilt``.
        path: Where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    # Neighbours on the time axis get their names above and below in turn, so that these do not meet.
    for i, (name, c) in enumerate(sorted(candidates.items(), key=lambda item: item[1]["milliseconds"])):
        axes.plot(c["milliseconds"], 100 * c["spoilt"], "o", color="tab:blue")
        place = (c["milliseconds"], 100 * c["spoilt"])
        axes.annotate(name, place, fontsize=8, xytext=(4, 6 if i % 2 else -11), textcoords="offset points")
    axes.set(xlabel="ms per face, one thread", ylabel="spoilt validation, balanced (%)")
    axes.margins(x=0.15, y=0.15)
    figure.savefig(path, dpi=110)
    plt.close(figure)
