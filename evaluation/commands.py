"""Carries out the commands: load a model, ask it, measure, write."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..runtime.bundle.locate import choose
from ..runtime.bundle.manifest import Decision
from ..runtime.classifier import load
from ..runtime.errors import OptionError
from ..runtime.escaping import printable, printable_lines
from ..runtime.options import from_flat
from . import calibration, figures, report
from .comparison import paired
from .contact_sheet import contact_sheet
from .defaults import MIN_GROUP
from .labels import read_labels
from .metrics import CLASSES
from .predict import answer
from .robustness import robustness

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from ..runtime.classifier import Classifier
    from .labels import LabelledSet

__all__ = ["run", "summary", "write_report"]


def run(arguments: argparse.Namespace) -> int:
    """Runs one command; returns the exit code."""
    commands = {"report": _report, "calibrate": _calibrate, "compare": _compare}
    return commands[arguments.command](arguments)


def write_report(
    classifier: Classifier,
    labelled: LabelledSet,
    folder: Path,
    *,
    group_by: Sequence[str] = (),
    boxes: str | None = None,
    sample: int = 0,
    min_group: int = MIN_GROUP,
    sheet: int = 0,
) -> dict[str, Any]:
    """Measures a model on a set and writes ``report.json``, ``report.md`` and the figures into a folder."""
    outcome = answer(classifier, labelled, boxes=boxes)
    curves = robustness(classifier, labelled, boxes=boxes, sample=sample) if sample else None
    content = report.build(
        classifier, labelled, outcome, group_by=group_by, boxes=boxes, robustness=curves, min_group=min_group
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.dumps(content), encoding="utf-8")
    names = figures.draw(content, folder)
    (folder / "report.md").write_text(report.markdown(content, names), encoding="utf-8")
    if sheet:
        shown = contact_sheet(classifier, outcome, folder / "failures.jpg", boxes=boxes, count=sheet)
        _say(f"{folder / 'failures.jpg'} shows {shown} people: do not publish it." if shown else "No failure to show.")
    return content


def _report(arguments: argparse.Namespace) -> int:
    labelled = _labelled(arguments, name=arguments.name)
    classifier = _load(arguments, arguments.model)
    columns = [column.strip() for column in arguments.group_by.split(",") if column.strip()]
    content = write_report(
        classifier,
        labelled,
        arguments.output,
        group_by=columns,
        boxes=arguments.boxes,
        sample=arguments.robustness,
        min_group=arguments.min_group,
        sheet=arguments.contact_sheet,
    )
    _print(summary(content) + f"; see {arguments.output / 'report.md'}")
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.max_error < 0.5:
        raise OptionError(f"--max-error is {arguments.max_error}; it must be above 0 and below 0.5.")
    labelled = _labelled(arguments)
    classifier = _load(arguments, arguments.model)
    outcome = answer(classifier, labelled, boxes=arguments.boxes)
    fitted = calibration.fit(
        outcome.probabilities,
        outcome.answers.truth,
        activation=classifier.manifest.activation,
        temperature=classifier.manifest.decision.temperature,
        max_error=arguments.max_error,
        mix="even" if arguments.balanced else "found",
    )
    counts = ", ".join(f"{int((outcome.answers.truth == k).sum())} {name}" for k, name in enumerate(CLASSES))
    condition = f" with {labelled.where}" if labelled.where else ""
    decision = Decision(
        temperature=round(fitted.temperature, 6),
        thresholds={name: round(value, 6) for name, value in fitted.thresholds.items()},
        min_face=classifier.manifest.decision.min_face,
        provenance=(
            f"gender-classifier evaluate calibrate, {datetime.now(timezone.utc):%Y-%m-%d}: "
            "temperature of greatest likelihood, "
            f"least thresholds with at most {arguments.max_error:.1%} of the answers for each class wrong"
            f"{', classes counted alike' if arguments.balanced else ''}, on {len(outcome.rows)} pictures ({counts}) of "
            f"{labelled.name}{condition}, labels sha256 {labelled.digest[:16]}"
        ),
    )
    for name in CLASSES:
        _print(
            f"{name}: answered from {decision.thresholds[name]:.3f} on; {fitted.wrong[name]:.1%} of these answers "
            f"wrong; {fitted.answered[name]:.1%} of the {name} pictures get an answer"
        )
    _print(f"temperature {decision.temperature:.3f}; log loss {fitted.nll_before:.4f} -> {fitted.nll_after:.4f}")
    if arguments.dry_run:
        _print("nothing was written (--dry-run)")
    else:
        _print(f"written into {calibration.write_decision(classifier.bundle, decision)}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    if len(arguments.model) != 2:
        raise OptionError("compare takes --model twice, once for each model.")
    labelled = _labelled(arguments)
    models = [_load(arguments, name) for name in arguments.model]
    outcomes = [answer(model, labelled, boxes=arguments.boxes) for model in models]
    result = {"set": labelled.name, "models": [report.describe_model(model) for model in models], **paired(*outcomes)}
    first, second = (model.manifest.name for model in models)
    for part in ("all", *CLASSES):
        figures_of = result[part]
        if figures_of["n"]:
            _print(
                f"{part}: {figures_of['n']} pictures; {first} {figures_of['accuracy_first']:.1%}, "
                f"{second} {figures_of['accuracy_second']:.1%}; only the first right {figures_of['only_first_right']}, "
                f"only the second {figures_of['only_second_right']}; McNemar exact p = {figures_of['p_value']:.3g}"
            )
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _labelled(arguments: argparse.Namespace, *, name: str | None = None) -> LabelledSet:
    return read_labels(arguments.labels, where=arguments.where, name=name, column=arguments.label_column)


def _load(arguments: argparse.Namespace, model: str | None) -> Classifier:
    """Loads a model; with boxes the runtime is handed faces, and must not look for faces in them."""
    faces = False if getattr(arguments, "boxes", None) else arguments.faces
    classifier = load(choose(model, exported=True).model, **vars(from_flat(vars(arguments) | {"faces": faces})))
    missing = set(CLASSES) - set(classifier.manifest.meanings)
    if missing:
        raise OptionError(
            f"The model {classifier.manifest.name} answers {', '.join(classifier.manifest.meanings)}; "
            f"an evaluation needs {' and '.join(CLASSES)}."
        )
    return classifier


def summary(content: dict[str, Any]) -> str:
    """Returns a report in one line."""
    overall, about = content["overall"], content["set"]
    point, recall = overall["operating_point"], overall["recall"]
    women, men, answered = (
        report.percent(each, interval=False) for each in (recall["female"], recall["male"], point["answered"])
    )
    return (
        f"{about['name']}: {about['pictures']} pictures, {sum(about['failed'].values())} without an answer; "
        f"balanced accuracy {report.percent(overall['balanced_accuracy'])} (female {women}, male {men}); "
        f"answers {answered}, of these right {report.percent(point['accuracy'])}"
    )


def _print(line: str) -> None:
    print(printable(line))  # noqa: T201


def _say(line: str) -> None:
    print(f"evaluation: {printable_lines(line)}", file=sys.stderr)  # noqa: T201
