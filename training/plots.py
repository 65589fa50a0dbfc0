"""Draws the curves of a training log."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["draw_curves"]


def draw_curves(log: Path, path: Path) -> None:
    """Draws accuracy on held-out people over time, a colour for each network, the CC0 network as a dashed line.

    Args:
        log: ``log.json``, as ``train`` writes it.
        path: Where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    content = json.loads(log.read_text(encoding="utf-8"))
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    panels = (
        ("loss", "training loss", 1),
        ("clean", "held-out faces, balanced (%)", 100),
        ("spoilt", "spoilt held-out faces, balanced (%)", 100),
    )
    for axis, (key, title, factor) in zip(axes, panels, strict=True):
        for name in content["parameters"]:
            rows = content["curves"]
            axis.plot([row["seconds"] for row in rows], [factor * row[name][key] for row in rows], label=name)
        if key in content["cc0"]:
            axis.axhline(factor * content["cc0"][key], color="grey", linestyle="--", label="CC0 network")
        axis.set(xlabel="seconds", ylabel=title)
    axes[1].legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
