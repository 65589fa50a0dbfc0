"""Which pictures and faces are learnt from, how they are cut, and what is written down about them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier.runtime.faces.crop import crop_eyes
from gender_classifier.runtime.faces.detector import Detector, Face
from support.faces_pool import folder_of_pictures
from support.tiny_detector import red_detector
from training import faces
from training.config import Faces, load_recipe
from training.faces import UNKNOWN, best_match, collect, cut, framing_eyes, load_pool, write_calibration
from training.pictures import held_out, open_picture, read_pictures, write_lists

EYES = ((132.0, 135.0), (168.0, 135.0))


def test_rows_without_a_face_or_of_another_folder_are_left_out(tmp_path):
    rows = [
        {"gender": "female", "person": "a", "face": "1 2 3 4"},
        {"gender": "male", "person": "b", "face": ""},
        {"gender": "male", "person": "c", "face": "5 6 7 8"},
    ]
    folder_of_pictures(tmp_path, "train", rows, Image.new("RGB", (20, 20)))
    rows = tmp_path / "train" / "labels.csv"
    rows.write_text(rows.read_text().replace("2.png", "../other/2.png"))
    (picture,) = read_pictures(tmp_path, "train")
    assert (picture.gender, picture.person, picture.face) == ("female", "a", (1, 2, 3, 4))
    folder_of_pictures(tmp_path, "scenes", [{"boxes": "1 2 3 4 0.9"}], Image.new("RGB", (20, 20)))
    (scene,) = read_pictures(tmp_path, "scenes")
    assert (scene.gender, scene.person, scene.face) == ("", "scenes/0.png", None)


def test_a_changed_picture_is_refused(tmp_path):
    folder_of_pictures(tmp_path, "scenes", [{}], Image.new("RGB", (20, 20)))
    (picture,) = read_pictures(tmp_path, "scenes")
    assert open_picture(tmp_path, picture).size == (20, 20)
    Image.new("RGB", (21, 20)).save(tmp_path / "scenes" / "0.png")
    with pytest.raises(ValueError, match=r"scenes/0\.png is not the picture"):
        open_picture(tmp_path, picture)


def test_people_are_held_out_by_who_they_are():
    kept = [held_out(f"person {n}", 0.08) for n in range(3000)]
    assert sum(kept) / 3000 == pytest.approx(0.08, abs=0.02)
    assert kept == [held_out(f"person {n}", 0.08) for n in range(3000)]


def test_a_chip_is_the_framing_with_room_around_it():
    image = Image.effect_noise((400, 400), 90).convert("RGB")
    config = Faces(chip=176, wide=1.6)
    chip = cut(image, EYES, config)
    assert chip.size == (176, 176)
    framed = crop_eyes(image, EYES, 110, eye_distance=0.3, eye_line=0.4)
    inner = chip.crop((33, 33, 143, 143))
    assert np.abs(np.asarray(inner, int) - np.asarray(framed, int)).mean() < 3
    small = cut(image, ((132.0, 135.0), (143.9, 135.0)), config)
    assert small.width == 64  # 12 pixels are 0.1875 of 64: no pixel is invented


def test_where_the_eyes_cannot_be_true_the_box_frames_the_chip():
    config = Faces()
    level = Face((100.0, 100.0, 200.0, 200.0), 0.9, EYES)
    assert framing_eyes(level, config) == EYES
    profile = Face((100.0, 100.0, 200.0, 200.0), 0.9, ((140.0, 135.0), (145.0, 135.0)))
    (right, _), (left, height) = framing_eyes(profile, config)
    assert (right + left) / 2 == pytest.approx(150, abs=0.6)
    assert left - right == pytest.approx(0.3 * 113, abs=0.1)
    assert height == pytest.approx(150 - 0.1 * 113, abs=0.6)


def test_the_labelled_face_is_the_one_that_overlaps_its_box():
    far, near = Face((0, 0, 10, 10), 0.9, ()), Face((100, 100, 200, 190), 0.8, ())
    assert best_match([far, near], (105, 100, 205, 200)) is near
    assert best_match([far, near], (300, 300, 400, 400)) is None
    assert best_match([], (0, 0, 1, 1)) is None


class Ages:
    """Everybody is nine."""

    def __init__(self, path):
        pass

    def __call__(self, image, eyes):
        return 9.0


@pytest.fixture
def collected(tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "AgeNet", Ages)
    monkeypatch.setattr(faces, "model_file", lambda name: name)
    image = Image.new("RGB", (640, 320))
    draw = ImageDraw.Draw(image)
    for x, y in ((64, 64), (320, 128)):
        draw.rectangle((x, y, x + 31, y + 31), fill=(255, 0, 0))
    labelled = [{"gender": gender, "person": gender, "face": "64 64 96 96"} for gender in ("female", "male")]
    folder_of_pictures(tmp_path, "train", labelled, image)
    folder_of_pictures(tmp_path, "people", [{}, {"set": "sa_x"}], image)
    config = Faces(labelled=("train",), unlabelled=("people",), score=0.6, smallest=20)
    detector = Detector.load(red_detector(tmp_path / "red.onnx", stride=32), threshold=0.5)
    used = collect(tmp_path, detector, config, tmp_path / "faces.npz")
    return config, tmp_path, used


def test_every_face_is_collected_with_what_is_known_of_it(collected):
    config, root, used = collected
    assert [f"{p.folder}/{p.file}" for p in used] == ["train/0.png", "train/1.png", "people/0.png"]
    pool = load_pool(root / "faces.npz", config)
    assert pool.chips.shape[1:] == (3, 176, 176)
    assert pool.labels.tolist() == [0, UNKNOWN, 1, UNKNOWN, UNKNOWN, UNKNOWN]
    assert pool.sources.tolist() == ["s", "extra", "s", "extra", "people", "people"]
    assert pool.trust.tolist() == [1.0, 0.25, 1.0, 0.25, 0.25, 0.25]


def test_calibration_pictures_are_labelled_faces_as_the_network_sees_them(collected, tmp_path):
    config, root, _ = collected
    (root / "out").mkdir()
    write_calibration(root / "faces.npz", config, 40, root / "out", count=2)
    assert [Image.open(path).size for path in sorted((root / "out").iterdir())] == [(40, 40)] * 2


def test_the_lists_name_pictures_and_licences_and_nobody(collected):
    _, root, used = collected
    write_lists(used, 0.08, root / "p.csv", root / "s.csv")
    text = (root / "p.csv").read_text() + (root / "s.csv").read_text()
    assert "person" not in text
    with (root / "s.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["set"], r["pictures"], r["women"], r["men"]) for r in rows] == [
        ("s", "2", "1", "1"),
        ("s", "1", "0", "0"),
    ]
    assert {r["licences"] for r in rows} == {"CC0 1.0"}


def test_a_recipe_that_contradicts_itself_is_refused(tmp_path):
    network = '{"size": 32, "hidden": [8], "depths": [1]}'
    soft = network.replace("}", ', "learns": "soft"}')
    path = tmp_path / "config.json"
    for text, said in (
        (f'{{"networks": {{"a": {network}}}, "teacher": "b", "built_in": "a"}}', "no network b"),
        (f'{{"networks": {{"a": {network}}}, "teacher": "a", "built_in": "a"}}', "its own teacher"),
        (f'{{"networks": {{"a": {soft}}}, "teacher": "a", "built_in": "a", "x": 1}}', "unknown field: x"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            load_recipe(path)
    path.write_text(f'{{"networks": {{"a": {soft}, "b": {network}}}, "teacher": "a", "built_in": "b"}}')
    assert load_recipe(path).resolution == 32
