"""Measures a model on every test set and writes the committed reports: ``python -m docs.build.test_sets``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from .analyse import REPORTS

__all__ = ["TEST_SETS", "TestSet", "main"]


@dataclass(frozen=True)
class TestSet:
    """One report of the suite.

    Attributes:
        name: Folder of the report.
        folder: Folder of the pictures, which holds ``labels.csv``.
        group_by: Columns reported by.
        where: Filter, or ``None``.
        robustness: Pictures for the robustness curves; 0 for none.
    """

    __test__ = False  # pytest would take the name for a test

    name: str
    folder: str
    group_by: tuple[str, ...]
    where: str | None = None
    robustness: int = 0


TEST_SETS = (
    TestSet("eval_wild", "eval_wild", ("age", "race")),
    TestSet("eval_wild_adults", "eval_wild", ("age", "race"), where="age>=18", robustness=400),
    TestSet("eval_portraits", "eval_portraits", ("set", "race"), robustness=178),
    TestSet("eval_synthetic", "eval_synthetic", ("age", "race")),
    TestSet("eval_synthetic_adults", "eval_synthetic", ("race",), where="age=adult"),
)
"""Photographs from the web, official portraits, synthetic faces; of two of them the adults alone as well."""


def main(words: list[str] | None = None) -> int:
    """Runs the command line; returns 2 when a set is missing."""
    parser = argparse.ArgumentParser(prog="python -m docs.build.test_sets", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds the sets' folders")
    parser.add_argument("--model", metavar="NAME", help="name or folder of a bundle (default: the built-in one)")
    parser.add_argument("--detector", metavar="FILE", help="face detector (default: the one the model finds)")
    parser.add_argument("--boxes", metavar="COLUMN", help="column of the faces, in place of a detector")
    parser.add_argument("--output", type=Path, default=REPORTS, metavar="DIR", help="default: docs/evaluation")
    given = parser.parse_args(words)
    missing = [each.folder for each in TEST_SETS if not (given.data / each.folder / "labels.csv").exists()]
    if missing:
        print(f"{given.data} does not hold {', '.join(sorted(set(missing)))}.", file=sys.stderr)
        return 2
    from gender_classifier.evaluation.commands import summary, write_report
    from gender_classifier.evaluation.labels import read_labels
    from gender_classifier.runtime.classifier import load
    from gender_classifier.runtime.options import Faces

    # Without the column the figures are those of the product: a face that is not found counts as a wrong answer there.
    faces = False if given.boxes else Faces(given.detector) if given.detector else None
    classifier = load(given.model, faces=faces)
    for test_set in TEST_SETS:
        labelled = read_labels(given.data / test_set.folder / "labels.csv", where=test_set.where, name=test_set.name)
        content = write_report(
            classifier,
            labelled,
            given.output / test_set.name,
            group_by=test_set.group_by,
            boxes=given.boxes,
            sample=test_set.robustness,
        )
        print(summary(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
