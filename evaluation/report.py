"""Builds the report of one model on one set, as JSON and as Markdown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .curves import curves
from .defaults import MIN_GROUP
from .groups import by_group
from .intervals import CONFIDENCE, RESAMPLES, SEED, mean_of, wilson
from .metrics import BINS, CLASSES, by_class, metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..runtime.classifier import Classifier
    from .labels import LabelledSet
    from .predict import Outcome

__all__ = ["FORMAT", "build", "describe_model", "dumps", "markdown", "percent"]

FORMAT = 1


def build(
    classifier: Classifier,
    labelled: LabelledSet,
    outcome: Outcome,
    *,
    group_by: Sequence[str] = (),
    boxes: str | None = None,
    robustness: dict[str, Any] | None = None,
    min_group: int = MIN_GROUP,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Puts a report together. It holds no file name and no picture, and is the same for the same answers.

    Args:
        classifier: The model that answered.
        labelled: The set it was asked about.
        outcome: What it answered.
        group_by: Columns to report by.
        boxes: The column that faces were taken from, if any.
        robustness: What :func:`evaluation.robustness.robustness` returned, if it was measured.
        min_group: Fewest pictures of a class in a group from which a gap is drawn.
        resamples: Number of bootstrap resamples.

    Returns:
        Plain JSON types.
    """
    persons = int(outcome.rows["person"].nunique()) if "person" in outcome.rows else None
    return {
        "format": FORMAT,
        "set": {
            "name": labelled.name,
            "labels_sha256": labelled.digest,
            "where": labelled.where,
            "framing": f"faces of the column {boxes}" if boxes else _framing(classifier),
            "pictures": outcome.total,
            "scored": len(outcome.rows),
            "persons": persons,
            "failed": outcome.failed,
            "label_not_understood": labelled.unusable,
        },
        "model": describe_model(classifier),
        "method": {
            "confidence": CONFIDENCE,
            "proportions": "Wilson score; means of proportions MOVER; differences Newcombe hybrid score",
            "others": "percentile bootstrap, stratified by class",
            "resamples": resamples,
            "seed": SEED,
            "calibration_bins": BINS,
            "min_group": min_group,
        },
        "overall": metrics(outcome.answers, resamples=resamples) | {"all_pictures": _all_pictures(outcome)},
        "by": by_group(outcome.rows, outcome.answers, group_by, min_group=min_group, resamples=resamples),
        "curves": curves(outcome.answers),
        "robustness": robustness,
    }


def _all_pictures(outcome: Outcome) -> dict[str, Any]:
    """The recalls where a picture without an answer (no face found, unreadable) counts as a wrong one."""
    right, truth = outcome.answers.right, outcome.answers.truth
    recall = [
        wilson(int(right[truth == k].sum()), int((truth == k).sum()) + missed)
        for k, missed in enumerate(outcome.missed)
    ]
    return {
        "balanced_accuracy": mean_of(recall).asdict(),
        "recall": by_class(recall),
    }


def describe_model(classifier: Classifier) -> dict[str, Any]:
    """Returns what identifies a model, its variant and its decision rule."""
    manifest = classifier.manifest
    variant = classifier.bundle.variant(classifier.options.variant)
    return {
        "name": manifest.name,
        "variant": classifier.variant,
        "sha256": variant.sha256,
        "bytes": variant.bytes,
        "repository": manifest.source.repository,
        "revision": manifest.source.revision,
        "model_type": manifest.architecture.model_type,
        "parameters": manifest.architecture.parameters,
        "looks_at": manifest.framing.describe(),
        "temperature": manifest.decision.temperature,
        "thresholds": dict(manifest.decision.thresholds),
        "decision_provenance": manifest.decision.provenance,
    }


def dumps(report: dict[str, Any]) -> str:
    """Returns the JSON text of a report, each estimate on one line."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    compact = re.sub(r"[\[{][^\[\]{}\"]*[\]}]|\{(?:[^\[\]{}\"]|\"\w+\":)*\}", _one_line, text)
    return (compact if json.loads(compact) == report else text) + "\n"


def percent(estimate: dict[str, Any], *, interval: bool = True) -> str:
    """Returns an estimate in per cent for people: ``92.3 (91.0-93.5)``; a dash where there is none."""
    if estimate["value"] is None:
        return "-"
    value = f"{100 * estimate['value']:.1f}"
    return f"{value} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})" if interval else value


def markdown(report: dict[str, Any], figures: Sequence[str] = ()) -> str:
    """Returns the report for people.

    Args:
        report: What :func:`build` returned.
        figures: File names of the figures beside it.
    """
    parts = [_header(report), _overall(report)]
    parts += [_by(name, content) for name, content in report["by"].items()]
    if report["robustness"]:
        parts.append(_robustness(report["robustness"]))
    if figures:
        images = "\n\n".join(f"![{name.removesuffix('.png')}]({name})" for name in figures)
        parts.append(f"## Figures\n\n{images}\n")
    return "\n".join(parts)


def _header(report: dict[str, Any]) -> str:
    about, model = report["set"], report["model"]
    # As many persons as pictures may mean that the set does not say who is who.
    several = about["persons"] is not None and about["persons"] < about["scored"]
    lines = [
        f"# {model['name']} ({model['variant']}) on {about['name']}",
        "",
        f"- Pictures: {about['pictures']}, of which {about['scored']} scored"
        + (f", of {about['persons']} persons" if several else "")
        + (f"; only those with `{about['where']}`" if about["where"] else "")
        + ".",
        f"- Without an answer: {_counts(about['failed'])}. "
        f"Labels not understood: {_counts(about['label_not_understood'])}.",
        f"- Seen by the model: {about['framing']}. It looks at {model['looks_at']}.",
        f"- Weights: `{model['sha256'][:16]}`, {model['bytes'] / 1e6:.2f} MB"
        + (f", {model['parameters'] / 1e6:.2f} M parameters" if model["parameters"] else "")
        + f"; temperature {model['temperature']:.4g}; thresholds "
        + (", ".join(f"{name} {value:.3f}" for name, value in model["thresholds"].items()) or "none")
        + ".",
        f"- Figures in per cent with {report['method']['confidence']:.0%} intervals. Women are class `female`, men "
        "`male`, as the labels of the set record it.",
    ]
    if several:
        lines.append("- Pictures of one person are not independent: the true intervals are a little wider than these.")
    return "\n".join([*lines, ""])


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _overall(report: dict[str, Any]) -> str:
    overall = report["overall"]
    point = overall["operating_point"]
    rows = [
        ("Accuracy", overall["accuracy"], point["accuracy"]),
        ("Balanced accuracy", overall["balanced_accuracy"], point["balanced_accuracy"]),
        *((f"Recall, {name}", overall["recall"][name], point["recall"][name]) for name in CLASSES),
        *((f"Precision, {name}", overall["precision"][name], point["precision"][name]) for name in CLASSES),
    ]
    lines = [
        "## Overall",
        "",
        "| | every picture answered | with `uncertain`, as the product answers |",
        "|---|---|---|",
        *(f"| {name} | {percent(forced)} | {percent(shown)} |" for name, forced, shown in rows),
        f"| Share answered | 100 | {percent(point['answered'])} |",
        *(f"| Share answered, {name} | 100 | {percent(point['answered_by_class'][name])} |" for name in CLASSES),
        "",
        f"ROC AUC {percent(overall['roc_auc'])}, average precision {percent(overall['average_precision'])}, "
        f"ECE {percent(overall['ece'])}, Brier {percent(overall['brier'])} (all times 100). "
        f"Recall of women minus recall of men: {percent(overall['recall_gap'])} points.",
        "",
        "With every picture that got no answer counted as wrong: balanced accuracy "
        f"{percent(overall['all_pictures']['balanced_accuracy'])}, recall female "
        f"{percent(overall['all_pictures']['recall']['female'])}, male "
        f"{percent(overall['all_pictures']['recall']['male'])}.",
        "",
        "| labelled \\ answered | female | male |",
        "|---|---|---|",
        *(f"| {row} | {cells['female']} | {cells['male']} |" for row, cells in overall["confusion"].items()),
        "",
    ]
    return "\n".join(lines)


def _by(name: str, content: dict[str, Any]) -> str:
    """A table per column or crossing; small groups of a crossing are left to the JSON."""
    crossing = " x " in name
    minimum = MIN_GROUP if crossing else 1
    groups = {key: figures for key, figures in content["groups"].items() if figures["n"] >= minimum}
    hidden = len(content["groups"]) - len(groups)
    lines = [
        f"## By {name}",
        "",
        "| group | n (F/M) | accuracy | balanced | recall female | recall male | answered | right of answered |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, figures in groups.items():
        count, point = figures["n_by_class"], figures["operating_point"]
        cells = (
            figures["accuracy"],
            figures["balanced_accuracy"],
            figures["recall"]["female"],
            figures["recall"]["male"],
            point["answered"],
            point["accuracy"],
        )
        lines.append(
            f"| {key} | {figures['n']} ({count['female']}/{count['male']}) | {' | '.join(map(percent, cells))} |"
        )
    lines.append("")
    if hidden:
        lines.append(f"{hidden} groups of fewer than {minimum} pictures are in report.json only.")
    if content["smallest"]:
        lines.append(f"Smallest group: {content['smallest']['group']}, {content['smallest']['n']} pictures.")
    for figure, gap in content["gaps"].items():
        if gap is not None:
            left = f"; too small to count: {', '.join(gap['left_out'])}" if gap["left_out"] and not crossing else ""
            lines.append(
                f"- Gap in {figure.replace('_', ' ')}: {percent(gap['difference'])} points between {gap['best']} "
                f"and {gap['worst']}{left}."
            )
    return "\n".join([*lines, ""])


def _robustness(content: dict[str, Any]) -> str:
    lines = [
        "## As pictures get worse",
        "",
        f"On {content['n']} of the pictures, as many women as men. Untouched: balanced accuracy "
        f"{percent(content['untouched']['balanced_accuracy'])}.",
        "",
        "| degradation | step | balanced accuracy | recall female | recall male | answered |",
        "|---|---|---|---|---|---|",
    ]
    for name, curve in content["degradations"].items():
        for point in curve["points"]:
            cells = (point["balanced_accuracy"], *(point["recall"][k] for k in CLASSES), point["answered"])
            lines.append(f"| {name} ({curve['unit']}) | {point['step']:g} | {' | '.join(map(percent, cells))} |")
    return "\n".join([*lines, ""])


def _framing(classifier: Classifier) -> str:
    detector = classifier.pipeline.detector
    if detector is None:
        return "whole picture"
    return f"faces found by the detector (sha256 {detector.sha256[:16]}), largest one"


def _one_line(match: re.Match[str]) -> str:
    return (
        re.sub(r"\s+", " ", match.group()).replace("{ ", "{").replace(" }", "}").replace("[ ", "[").replace(" ]", "]")
    )
