"""The table of docs/faces.md: does it agree with the hand count, and with what the detector finds today?"""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from gender_classifier.runtime.faces.detector import DEFAULT_DETECT_SIZE, DEFAULT_THRESHOLD, Detector
from support import ROOT, shared

PAGE = (ROOT / "docs/faces.md").read_text(encoding="utf-8")
SEEN = json.loads((ROOT / "benchmarks/faces_hand_count.json").read_text(encoding="utf-8"))


def rows():
    """The cells of the first table between the marks of ``faces.py count``, by photograph."""
    table = PAGE.partition("<!-- faces.py count: begin -->")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return {line[0]: line[1:] for line in cells[2:]}


def test_every_photograph_has_its_hand_count():
    table = rows()
    assert list(table) == [*SEEN, "all"]
    assert {name: int(cells[0]) for name, cells in table.items()} == {
        **{name: len(seen["clear"]) for name, seen in SEEN.items()},
        "all": sum(len(seen["clear"]) for seen in SEEN.values()),
    }
    hard = sum(len(seen["hard"]) for seen in SEEN.values())
    assert f"a reflection: {hard})" in PAGE
    for cells in table.values():
        assert int(cells[1]) + int(cells[2]) == int(cells[0])


def test_the_page_names_the_defaults():
    assert f"least detection score, {DEFAULT_THRESHOLD:g} by default" in PAGE
    assert f"small faces, {DEFAULT_DETECT_SIZE} by default" in PAGE


@pytest.mark.slow
def test_the_detector_still_finds_as_many():
    detector = Detector.load(shared("detector/yunet_n_640_640.onnx"))
    photos = shared("photos")
    for name, cells in rows().items():
        if name == "all":
            continue
        with Image.open(photos / f"{name}.jpg") as photo:
            found = len(detector.detect(photo))
        hard = int(re.match(r"\d*", cells[3])[0] or 0)
        assert found == int(cells[1]) + hard + int(cells[4]), name
