"""The tables of docs/faces.md: are they those of the package's detector, and does it still find as many?"""

from __future__ import annotations

import csv
import re
from collections import defaultdict

import pytest
from PIL import Image

from gender_classifier.runtime.faces.detector import Detector
from gender_classifier.runtime.faces.record import DEFAULT_THRESHOLD, builtin
from support import ROOT, shared

PAGE = (ROOT / "docs/faces.md").read_text(encoding="utf-8")
SEEN: dict[str, dict[str, int]] = defaultdict(lambda: {"clear": 0, "hard": 0})
with (ROOT / "benchmarks/photos.csv").open(newline="", encoding="utf-8") as labels:
    for row in csv.DictReader(labels):
        SEEN[row["file"]][row["seen"] or "clear"] += bool(row["seen"])


def own_row():
    """The row of the built-in detector's own threshold: faces found, missed, hard ones, false alarms."""
    detector = Detector.load(builtin())
    table = PAGE.partition(f"sha256 {detector.sha256[:12]}, threshold {detector.threshold:g}:")[2]
    (row,) = [line for line in table.splitlines() if line.startswith(f"| **{detector.threshold:g}** |")][:1]
    return [int(re.match(r"\d+", cell.strip())[0]) for cell in row.strip("|").split("|")[1:]]


def test_the_page_is_about_the_detector_of_the_package():
    found, missed, hard, false = own_row()
    assert found + missed == sum(seen["clear"] for seen in SEEN.values())
    assert hard <= sum(seen["hard"] for seen in SEEN.values())
    assert false < found
    assert f"all {found + missed} that show enough" in PAGE
    assert f"a reflection: {sum(seen['hard'] for seen in SEEN.values())})" in PAGE


def test_the_page_names_the_defaults():
    assert f"that of a file without one {DEFAULT_THRESHOLD:g}" in PAGE
    assert f"by default the record's, {Detector.load(builtin()).detect_size}" in PAGE


@pytest.mark.slow
def test_the_detector_still_finds_as_many():
    detector, photos = Detector.load(builtin()), shared("photos")
    count = 0
    for name in SEEN:
        with Image.open(photos / name) as photo:
            count += len(detector.detect(photo))
    found, _, hard, false = own_row()
    assert count == found + hard + false
