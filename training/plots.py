"""The curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["draw_curves", "draw_front"]


def draw_curves(curves: Sequence[dict[str, float]], path: Path) -> None:
    """Draws loss and validation accuracy over steps.

    Args:
        curves: Entries of ``log.json``.
        path: Where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    steps = [c["step"] for c in curves]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(steps, [c["loss"] for c in curves], color="black")
    left.set(xlabel="step", ylabel="training loss (running mean)")
    for view, style in (("clean", "-"), ("spoilt", "--")):
        for gender, colour in (("female", "tab:orange"), ("male", "tab:blue")):
            values = [100 * c[f"{view}_{gender}"] for c in curves]
            right.plot(steps, values, style, color=colour, label=f"{gender}, {view}")
    right.set(xlabel="step", ylabel="right on validation (%)", ylim=(70, 100))
    right.legend(fontsize=8, loc="lower right")
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
