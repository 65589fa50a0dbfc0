"""Which view of a labelled picture the model gets, and how a face that is not found counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")
from PIL import Image, ImageDraw

from gender_classifier.evaluation.errors import LabelsError
from gender_classifier.evaluation.labels import read_labels
from gender_classifier.evaluation.predict import answer, face_of, open_views
from gender_classifier.evaluation.report import build
from gender_classifier.evaluation.robustness import robustness
from gender_classifier.runtime.classifier import load
from gender_classifier.runtime.options import Faces
from gender_classifier.runtime.pipeline import Region
from support import TinyModel, tiny_bundle
from support.tiny_detector import red_detector


@pytest.mark.parametrize(
    ("cell", "face"),
    [
        ("", None),
        ("1 2 3 4", Region((1, 2, 3, 4))),
        ("1, 2, 3, 4", Region((1, 2, 3, 4))),
        ("0 0 9 9 2 3 6 3.5", Region((0, 0, 9, 9), landmarks=((2, 3), (6, 3.5)))),
    ],
)
def test_a_cell_holds_a_box_and_maybe_the_eyes(cell, face):
    assert face_of(cell) == face


@pytest.mark.parametrize("cell", ["1 2 3", "1 2 3 4 5", "a b c d", "1 2 3 4 5 6 7 8 9"])
def test_a_cell_of_anything_else_is_refused(cell):
    with pytest.raises(LabelsError, match="right and left eye"):
        face_of(cell)


@pytest.fixture
def faces(tmp_path):
    """Two pictures of a woman with a red face on black, one of a man, and one of a man whose face is not found."""
    rows = ["file,gender,face"]
    for number, (gender, red) in enumerate((("female", 255), ("female", 255), ("male", 255), ("male", 0))):
        image = Image.new("RGB", (320, 320))
        ImageDraw.Draw(image).rectangle((160, 160, 191, 191), fill=(red, 0, 0))
        image.save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{gender},160 160 192 192 170 170 182 170")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    bundle = tiny_bundle(tmp_path, TinyModel(framing="eyes", margin=0.1, eyes=(0.3, 0.4), size=16))
    detector = red_detector(tmp_path / "red.onnx", stride=32)
    return read_labels(tmp_path / "labels.csv"), load(bundle, faces=Faces(detector)), load(bundle, faces=False)


def test_a_face_that_is_not_found_counts_as_a_wrong_answer_among_all_pictures(faces):
    labelled, classifier, _ = faces
    outcome = answer(classifier, labelled)
    assert outcome.failed == {"no_face": 1}
    assert outcome.missed == (0, 1)
    overall = build(classifier, labelled, outcome, resamples=2)["overall"]
    found = overall["recall"]["male"]["value"]
    assert overall["all_pictures"]["recall"]["male"]["value"] == found / 2
    assert overall["all_pictures"]["recall"]["female"] == overall["recall"]["female"]


def test_no_column_of_the_labels_is_written_over_by_the_answers(faces):
    labelled, classifier, _ = faces
    own = {"label": "studio", "confidence": "sure"}
    labelled = replace(labelled, rows=labelled.rows.assign(**own))
    content = build(classifier, labelled, answer(classifier, labelled), group_by=list(own), resamples=2)
    assert {name: list(content["by"][name]["groups"]) for name in own} == {"label": ["studio"], "confidence": ["sure"]}


def test_labelled_eyes_frame_the_face(faces):
    labelled, _, plain = faces
    views = list(open_views(plain, labelled.rows, boxes="face"))
    assert [view.size for view in views] == [(16, 16)] * 4  # the size that the processor wants: made by the eyes
    assert views[0].getpixel((8, 8))[0] > 200


def test_degradations_are_put_on_the_faces_that_the_detector_finds(faces):
    labelled, classifier, _ = faces
    views = list(open_views(classifier, labelled.rows, change=lambda view: view))
    assert views[3] is None
    assert views[0].size == (38, 38)  # no eyes that could be true: the box and its margin
    curves = robustness(classifier, labelled, sample=4)
    assert curves["n"] == 4
    assert curves["untouched"]["answered"]["n"] == 4
    assert curves["untouched"]["answered"]["value"] == 0.75
