"""Draws the figures of a report from its JSON alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: there may be no display

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from .defaults import MIN_GROUP
from .metrics import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = {"female": "#b5179e", "male": "#1d6fb8", "all": "#333333"}
_COLOURS_OF_FILE = 48
"""Lines and letters need few colours, and a palette keeps the files small enough for git."""


def draw(report: dict[str, Any], folder: Path) -> list[str]:
    """Draws every figure of a report.

    Args:
        report: What :func:`evaluation.report.build` returned.
        folder: Where the PNG files go.

    Returns:
        The names of the files, in reading order.
    """
    if not report["set"]["scored"]:
        return []
    figures: dict[str, Figure] = {"confusion.png": _confusion(report), "reliability.png": _reliability(report)}
    if report["curves"]["roc"]:
        figures["roc_pr.png"] = _roc_pr(report)
    if report["curves"]["abstention"]:
        figures["abstention.png"] = _abstention(report)
    for name, content in report["by"].items():
        if any(_drawn(figures_of) for figures_of in content["groups"].values()):
            figures[f"by_{name.replace(' ', '_')}.png"] = _groups(name, content)
    if report["robustness"]:
        figures["robustness.png"] = _robustness(report["robustness"])
    for name, figure in figures.items():
        _save(figure, folder / name)
    return list(figures)


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    # No software name or date inside: the same report gives the same bytes.
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    plt.close(figure)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(_COLOURS_OF_FILE).save(path, optimize=True)


def _figure(width: float, height: float, *, columns: int = 1, rows: int = 1) -> tuple[Figure, Any]:
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained")
    return figure, axes


def _title(report: dict[str, Any]) -> str:
    return f"{report['model']['name']} on {report['set']['name']}, {report['set']['scored']} pictures"


def _confusion(report: dict[str, Any]) -> Figure:
    figure, axes = _figure(4.2, 3.6)
    counts = np.array([[report["overall"]["confusion"][row][column] for column in CLASSES] for row in CLASSES])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(2):
        for j in range(2):
            colour = "white" if share[i, j] > 0.6 else "black"
            axes.text(j, i, f"{counts[i, j]}\n{share[i, j]:.1%}", ha="center", va="center", color=colour)
    axes.set(
        xticks=[0, 1], xticklabels=CLASSES, yticks=[0, 1], yticklabels=CLASSES, xlabel="answered", ylabel="labelled"
    )
    axes.set_title(_title(report), fontsize=9)
    return figure


def _roc_pr(report: dict[str, Any]) -> Figure:
    figure, (left, right) = _figure(7.2, 3.4, columns=2)
    roc, pr = report["curves"]["roc"], report["curves"]["pr"]
    left.plot(roc["false_positive_rate"], roc["true_positive_rate"], color=COLOURS["all"])
    left.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
    left.set(
        xlabel="men called women",
        ylabel="women called women",
        title=f"ROC, AUC {report['overall']['roc_auc']['value']:.3f}",
    )
    right.plot(pr["recall"], pr["precision"], color=COLOURS["all"])
    right.set(xlabel="recall, women", ylabel="precision, women", ylim=(min(0.5, *pr["precision"]), 1.01))
    right.set_title(f"PR, average precision {report['overall']['average_precision']['value']:.3f}")
    return figure


def _reliability(report: dict[str, Any]) -> Figure:
    figure, axes = _figure(4.4, 3.8)
    axes.plot([0.5, 1], [0.5, 1], color="grey", lw=0.8, ls=":")
    for name, bins in report["curves"]["reliability"].items():
        # Bins of a few pictures would draw lightning across the figure; their intervals are in the JSON.
        bins = [entry for entry in bins if entry["right"]["n"] >= 10]
        if bins:
            label = "all answers" if name == "all" else f'answers "{name}"'
            _bars(
                axes, [entry["confidence"] for entry in bins], [entry["right"] for entry in bins], COLOURS[name], label
            )
    axes.set(
        xlabel="probability said",
        ylabel="share right",
        title=f"Calibration, ECE {report['overall']['ece']['value']:.3f}",
    )
    axes.legend(fontsize=8)
    return figure


def _abstention(report: dict[str, Any]) -> Figure:
    figure, axes = _figure(4.8, 3.6)
    curve, point = report["curves"]["abstention"], report["overall"]["operating_point"]
    shares = [entry["answered"] for entry in curve]
    axes.plot(shares, [entry["accuracy"] for entry in curve], color=COLOURS["all"], label="right among answered")
    if point["accuracy"]["value"] is not None:
        axes.plot(
            [point["answered"]["value"]],
            [point["accuracy"]["value"]],
            "o",
            color="#d1495b",
            label="the bundle's thresholds",
        )
    axes.set(xlabel="share of pictures answered", ylabel="accuracy", title="Accuracy against share answered")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def _drawn(figures: dict[str, Any]) -> bool:
    return bool(min(figures["n_by_class"].values()) >= MIN_GROUP)


def _groups(name: str, content: dict[str, Any]) -> Figure:
    groups = {key: figures for key, figures in content["groups"].items() if _drawn(figures)}
    figure, axes = _figure(6.2, 1.2 + 0.34 * len(groups))
    for row, figures in enumerate(groups.values()):
        for word, shift in (("female", -0.14), ("male", 0.14)):
            estimate = figures["recall"][word]
            low, high = estimate["value"] - estimate["low"], estimate["high"] - estimate["value"]
            axes.errorbar(
                [estimate["value"]],
                [row + shift],
                xerr=[[low], [high]],
                fmt="o",
                ms=4,
                color=COLOURS[word],
                label=f"{word} right" if row == 0 else None,
            )
    labels = [f"{key}  ({figures['n']})" for key, figures in groups.items()]
    axes.set_yticks(range(len(groups)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="share right, every picture answered", title=f"By {name} (at least {MIN_GROUP} women and men each)")
    axes.title.set_fontsize(9)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), fontsize=7, loc="outside lower right", ncols=2)
    return figure


def _robustness(content: dict[str, Any]) -> Figure:
    names = list(content["degradations"])
    figure, axes = _figure(8.4, 7.2, columns=3, rows=3)
    untouched = content["untouched"]["balanced_accuracy"]["value"]
    for panel in axes.flat[len(names) :]:
        panel.set_visible(False)
    for panel, name in zip(axes.flat, names, strict=False):
        curve = content["degradations"][name]
        steps = [point["step"] for point in curve["points"]]
        for word in CLASSES:
            estimates = [point["recall"][word] for point in curve["points"]]
            _bars(panel, steps, estimates, COLOURS[word], f"{word} right")
        panel.plot(
            steps, [point["answered"]["value"] for point in curve["points"]], color="grey", ls=":", label="answered"
        )
        if untouched is not None:
            panel.axhline(untouched, color="black", lw=0.6, ls="--")
        panel.set_ylim(0, 1.03)
        if name in ("jpeg", "resolution"):
            panel.invert_xaxis()  # worse to the right, like the others
        panel.set_title(name.replace("_", " "), fontsize=9)
        panel.set_xlabel(curve["unit"], fontsize=8)
        panel.tick_params(labelsize=7)
    axes.flat[0].legend(fontsize=7, loc="lower left")
    return figure


def _bars(axes: Axes, x: list[float], estimates: list[dict[str, Any]], colour: str, label: str) -> None:
    """Draws points with intervals; a point without a value (no face was found, say) leaves a hole."""
    known = [(place, each) for place, each in zip(x, estimates, strict=True) if each["value"] is not None]
    values = [each["value"] for _, each in known]
    below = [each["value"] - each["low"] for _, each in known]
    above = [each["high"] - each["value"] for _, each in known]
    places = [place for place, _ in known]
    axes.errorbar(places, values, yerr=[below, above], marker="o", ms=3, lw=1, capsize=2, color=colour, label=label)
