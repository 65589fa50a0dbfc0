"""Pictures that lie on their side: where the faces of a turned picture are, and how often the network runs for them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier import runtime
from gender_classifier.runtime.faces import turns, yunet
from gender_classifier.runtime.faces.detector import Detector
from gender_classifier.runtime.faces.record import builtin
from gender_classifier.runtime.options import Faces
from support import ROOT
from support.tiny_detector import red_detector

STANDING = {90: Image.Transpose.ROTATE_90, 270: Image.Transpose.ROTATE_270}


class Lying(Detector):
    """Sees the red cells of a picture that is wider than it is high, and nothing in one that stands."""

    def candidates(self, rgb, *, threshold=None):
        height, width = rgb.shape[:2]
        self.looks.append((width, height))
        return super().candidates(rgb, threshold=threshold) if width > height else yunet.empty()


@pytest.fixture
def detector(tmp_path):
    made = Lying.load(red_detector(tmp_path / "red.onnx", stride=32))
    made.looks = []
    return made


def lying(*corners):
    image = Image.new("RGB", (640, 320), (40, 60, 40))
    for x, y in corners:
        ImageDraw.Draw(image).rectangle((x, y, x + 31, y + 31), fill=(255, 0, 0))
    return image


@pytest.mark.parametrize("degrees", turns.TURNS)
def test_what_is_found_in_a_turned_picture_goes_back_to_its_place(degrees):
    marks = [(12, 7), (30, 9), (21, 18), (14, 26), (28, 27)]
    image = Image.new("L", (90, 50))
    for index, mark in enumerate(marks):
        image.putpixel(mark, index + 1)
    pixels = np.asarray(turns.turned(image, degrees))
    points = np.array([np.argwhere(pixels == index + 1)[0][::-1] for index in range(5)], np.float32) + 0.5
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    found = yunet.Candidates(box[None], np.ones(1, np.float32), points[None])
    back = turns.back(found, degrees, image.size)
    assert back.landmarks[0] == pytest.approx(np.array(marks) + 0.5)
    assert back.boxes[0] == pytest.approx([12.5, 7.5, 30.5, 27.5])


@pytest.mark.parametrize("degrees", STANDING)
def test_faces_of_a_picture_on_its_side_are_found_where_they_are(detector, degrees):
    upright = detector.detect(lying((64, 64), (320, 160)))
    assert detector.looks == [(640, 320)]  # a sure face: no second look
    standing = lying((64, 64), (320, 160)).transpose(STANDING[degrees])
    faces = detector.detect(standing)
    assert [face.score for face in faces] == [face.score for face in upright]
    for face in faces:
        x0, y0, x1, y1 = face.box
        assert standing.getpixel((int((x0 + x1) / 2), int((y0 + y1) / 2))) == (255, 0, 0)
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in face.landmarks)


def test_a_picture_without_faces_costs_four_looks_more(detector):
    assert detector.detect(lying()) == ()
    assert detector.looks == [(640, 320), (320, 160), (320, 640), (320, 640), (640, 320)]


def test_a_turned_picture_is_searched_for_small_faces_too(detector):
    large = lying().resize((1280, 640))
    ImageDraw.Draw(large).rectangle((640, 320, 659, 339), fill=(255, 0, 0))
    ImageDraw.Draw(large).rectangle((64, 64, 127, 127), fill=(255, 0, 0))
    there = {face.box for face in detector.detect(large)}
    standing = detector.detect(large.transpose(Image.Transpose.ROTATE_90))
    assert len(standing) == len(there) >= 1


@pytest.mark.parametrize("degrees", STANDING)
def test_the_example_on_its_side_gets_the_answer_of_the_upright_picture(degrees):
    classifier = runtime.load(faces=Faces(builtin()))
    with Image.open(ROOT / "examples" / "average-woman.jpg") as opened:
        upright = opened.convert("RGB")
    right, turned = (classifier.predict(image) for image in (upright, upright.transpose(STANDING[degrees])))
    assert right.label == turned.label == "female"
    assert turned.score == pytest.approx(right.score, abs=0.02)
    assert turned.people[0].detection_score == pytest.approx(right.people[0].detection_score, abs=0.02)
