"""Faces on the command line: answers per person, annotated copies, crops, and how the detector gets installed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier import runtime
from gender_classifier.gender_cli import annotate
from gender_classifier.gender_cli.models import detector as install
from gender_classifier.runtime.errors import OptionError, StoreError
from gender_classifier.runtime.faces.detector import Detector
from gender_classifier.runtime.faces.record import (
    DETECTOR_VARIABLE,
    FILE_NAME,
    RECORD_NAME,
    builtin,
    chosen,
    install_dir,
)
from gender_classifier.runtime.prediction import Person
from support import TinyModel, tiny_bundle
from support.fake_hub import FakeHub
from support.tiny_detector import red_detector, write_detector

RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def model(home):
    return tiny_bundle(home, TinyModel(name="faces", framing="box", margin=0.5, size=16))


@pytest.fixture(scope="module")
def detector(home):
    return red_detector(home / "detector.onnx", stride=32)


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """A home directory of its own, so that nothing installed on this machine takes part, and nothing is left on it."""
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(*people, size=(640, 320)):
    """Draws people: a red cell at (x, y), on a patch of 64 pixels around it in the given colour."""
    image = Image.new("RGB", size, BLACK)
    draw = ImageDraw.Draw(image)
    for x, y, colour in people:
        draw.rectangle((x - 16, y - 16, x + 47, y + 47), fill=colour)
        draw.rectangle((x, y, x + 31, y + 31), fill=RED)
    return image


@pytest.fixture
def photos(place):
    photo((64, 64, BLACK), (320, 160, GREEN)).save(place / "two.png")
    photo((64, 64, GREEN)).save(place / "one.png")
    photo().save(place / "none.png")
    return place


# -- answers -------------------------------------------------------------------------------------------------------


def test_several_people_are_counted_and_verbose_numbers_them_with_their_places(run, photos, detector):
    assert run("two.png", "--detector", detector)[:2] == (0, "two.png  1 woman, 1 man\n")
    assert run("two.png", "--detector", detector, "--lang", "fr")[1] == "two.png  1 femme, 1 homme\n"
    head, *people = run("two.png", "--detector", detector, "-v")[1].splitlines()
    assert head == "two.png  1 woman, 1 man"
    assert [line[:4] for line in people] == ["  1.", "  2."]
    assert [line for line in people if "32 x 32 px at 64, 64" in line and ". woman: woman " in line]
    assert [line for line in people if "32 x 32 px at 320, 160" in line and ". man: woman " in line]


def test_main_is_shown_as_one_of_several(run, photos, detector):
    out = run("two.png", "--detector", detector, "--main", "central")[1]
    assert out.startswith("two.png  man ")
    assert out.endswith("  (of 2 people)\n")


def test_a_row_for_each_person_and_one_for_a_picture_without(run, photos, detector):
    (photos / "broken.png").write_bytes(b"no picture")
    names = ("two.png", "none.png", "broken.png")
    code, out, _ = run(*names, "--detector", detector, "--csv", "--rows", "people")
    first, second, none, broken = csv.DictReader(io.StringIO(out))
    assert code == 1
    assert [(row["path"], row["person"]) for row in (first, second, none, broken)] == [
        ("two.png", "1"),
        ("two.png", "2"),
        ("none.png", ""),
        ("broken.png", ""),
    ]
    assert {first["label"], second["label"]} == {"female", "male"}
    assert {float(first["x0"]), float(second["x0"])} == {64, 320}
    assert float(first["female"]) + float(first["male"]) == pytest.approx(1, abs=2e-6)
    assert (none["status"], none["label"], none["width"]) == ("no_face", "", "640")
    assert (broken["status"], broken["width"]) == ("unsupported_format", "")
    assert len({row["model"] for row in (first, second, none, broken)}) == 1
    assert run("two.png", "--rows", "people")[0] == 2


def test_table_counts_the_people_of_each_picture(run, photos, detector):
    _, out, _ = run("two.png", "none.png", "--detector", detector, "--csv", "--threshold", 0.95)
    two, none = csv.DictReader(io.StringIO(out))
    assert [two[name] for name in ("label", "people", "women", "men", "uncertain", "female")] == [
        "male", "2", "0", "1", "1", "",
    ]  # fmt: skip
    assert [none[name] for name in ("label", "people", "women", "men", "uncertain")] == ["", "0", "0", "0", "0"]


def test_json_has_one_entry_per_person(run, photos, detector):
    code, out, _ = run("two.png", "none.png", "--json", "--detector", detector)
    two, none = json.loads(out)
    assert code == 0
    assert [person["label"] for person in two["people"]] in (["female", "male"], ["male", "female"])
    assert (two["label"], two["width"], two["height"]) == ("mixed", 640, 320)
    assert all(len(person["box"]) == 4 and person["detection_score"] > 0.9 for person in two["people"])
    assert (none["status"], none["label"], none["people"]) == ("no_face", None, [])


def test_main_answers_for_one_person_and_keeps_the_others(run, photos, detector):
    row = json.loads(run("two.png", "--jsonl", "--detector", detector, "--main", "central")[1])
    assert (row["label"], row["raw_label"], len(row["people"])) == ("male", "Male", 2)
    assert row["people"][0]["box"] == pytest.approx([320, 160, 352, 192], abs=0.1)
    row = json.loads(run("two.png", "--jsonl", "--detector", detector, "--main", "largest")[1])
    assert row["label"] == row["people"][0]["label"]
    assert run("two.png", "--main", "youngest")[0] == 2


def test_a_picture_without_a_face_is_an_answer(run, photos, detector):
    code, out, _ = run("none.png", "--detector", detector)
    assert (code, out) == (0, "none.png  no face\n")
    code, out, _ = run("none.png", "--detector", detector, "--no-faces")
    assert code == 0
    assert out.startswith("none.png  ")


def test_options_reach_the_detector(run, photos, detector):
    assert run("two.png", "--detector", detector, "--max-faces", 1)[1].startswith("two.png  ")
    assert "1 woman" not in run("two.png", "--detector", detector, "--max-faces", 1)[1]
    assert run("two.png", "--detector", detector, "--min-face", 40)[1] == "two.png  no face\n"
    code, _, err = run("two.png", "--detector", detector, "--detect-size", 8)
    assert code == 2
    assert "detect_size is 8" in err


# -- copies --------------------------------------------------------------------------------------------------------


def test_annotate_writes_copies_and_leaves_the_pictures_alone(run, photos, detector):
    before = {path: path.read_bytes() for path in photos.glob("*.png")}
    code, _, _ = run("two.png", "one.png", "none.png", "--detector", detector, "--annotate", "seen")
    assert code == 0
    assert sorted(path.name for path in (photos / "seen").iterdir()) == [
        "one.gender-annotated.jpg",
        "two.gender-annotated.jpg",
    ]
    assert {path: path.read_bytes() for path in photos.glob("*.png")} == before
    with Image.open(photos / "seen/two.gender-annotated.jpg") as copy, Image.open(photos / "two.png") as original:
        assert copy.size == (1400, 700)  # enlarged until the faces have room for words that can be read
        changed = np.abs(
            np.asarray(copy, int) - np.asarray(original.convert("RGB").resize(copy.size, Image.Resampling.LANCZOS), int)
        ).max(axis=2)
    assert (changed[140:211, 140:211] > 100).any()  # the first box: 64 to 96 pixels, times 1400 / 640
    assert (changed[350:421, 700:771] > 100).any()  # the second
    assert not (changed[500:] > 60).any()  # nothing where nobody is


def test_a_copy_replaces_the_copy_of_the_same_picture_and_no_other_file(run, photos, detector):
    seen = photos / "seen"
    seen.mkdir()
    (seen / "one.gender-annotated.jpg").write_bytes(b"dear to somebody")
    (seen / "one.gender-input.png").symlink_to(photos / "one.png")
    (photos / "deep").mkdir()
    photo((320, 160, BLACK)).save(photos / "deep/one.png")
    before = (photos / "one.png").read_bytes()
    copies = []
    for pictures in (("one.png", "deep/one.png"), ("deep/one.png",), ("deep/one.png", "./one.png")):
        run(*pictures, "--detector", detector, "--annotate", "seen", "--save-crops", "seen")
        copies.append({path.name: path.read_bytes() for path in seen.iterdir()})
    assert copies[0] == copies[1] == copies[2]
    assert set(copies[0]) == {
        *("one.gender-annotated.jpg", "one.gender-annotated-2.jpg", "one.gender-annotated-3.jpg"),
        *("one.gender-input.png", "one.gender-input-2.png", "one.gender-input-3.png"),
    }
    assert (seen / "one.gender-annotated.jpg").read_bytes() == b"dear to somebody"
    assert (photos / "one.png").read_bytes() == before


@pytest.mark.parametrize("option", ["--annotate", "--save-crops"])
@pytest.mark.parametrize("folder", ["inside", "."])
def test_copies_are_never_read_as_photographs(run, photos, detector, option, folder):
    runs = [run("-r", ".", "--detector", detector, option, folder, "--jsonl") for _ in range(3)]
    assert [[json.loads(line)["path"] for line in out.splitlines()] for _, out, _ in runs] == [
        ["./none.png", "./one.png", "./two.png"]
    ] * 3
    assert "left out" not in runs[0][2]
    assert "that are not photographs were left out (one.gender-" in runs[2][2]
    assert run("**/*.[jp][pn]g", "--detector", detector, "--jsonl")[1].count("\n") == 3


def test_crops_are_what_the_model_saw(run, photos, detector, model):
    run("two.png", "--detector", detector, "--save-crops", "crops")
    prediction = runtime.load(model, faces=runtime.Faces(detector)).predict(photos / "two.png")
    network = runtime.load(model, faces=False)
    for number, person in enumerate(prediction.people, 1):
        with Image.open(photos / f"crops/two.gender-input{number}.png") as crop:
            assert crop.size == (16, 16)
            # A picture of the network's own size passes the processor unchanged.
            assert network.predict(crop).probabilities == pytest.approx(person.probabilities, abs=1e-6)


def test_crop_of_a_whole_picture(run, photos):
    run("one.png", "--no-faces", "--save-crops", "crops")
    with Image.open(photos / "crops/one.gender-input.png") as crop:
        assert crop.size == (16, 16)


def test_copies_carry_no_metadata(run, photos, detector):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    photo((64, 64, GREEN)).save(photos / "one.jpg", exif=exif, quality=95, comment=b"private")
    run("one.jpg", "--detector", detector, "--annotate", "seen", "--save-crops", "crops")
    for path in [*(photos / "seen").iterdir(), *(photos / "crops").iterdir()]:
        with Image.open(path) as copy:
            assert not copy.getexif()
            assert copy.info.get("comment", copy.info.get("Comment", "")).startswith(
                b"gender-classifier: " if copy.format == "JPEG" else "gender-classifier: "
            )
        assert b"at home" not in path.read_bytes()
        assert b"private" not in path.read_bytes()


def test_copies_are_upright(run, photos, detector):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo((64, 64, GREEN)).transpose(Image.Transpose.ROTATE_90).save(photos / "turned.png", exif=exif)
    run("turned.png", "one.png", "--detector", detector, "--annotate", "seen")
    with (
        Image.open(photos / "seen/turned.gender-annotated.jpg") as turned,
        Image.open(photos / "seen/one.gender-annotated.jpg") as upright,
    ):
        assert np.abs(np.asarray(turned, int) - np.asarray(upright, int)).max() == 0


def test_folder_that_cannot_be_made_is_wrong_use(run, photos, detector):
    (photos / "file").write_text("in the way")
    for option in ("--annotate", "--save-crops"):
        code, out, err = run("one.png", "--detector", detector, option, "file/copies")
        assert (code, out) == (2, "")
        assert "file/copies" in err.replace("\\", "/")


def someone(box=(100.0, 100.0, 180.0, 200.0), label="female", score=0.9):
    return Person(box, 0.9, label, score, {"female": score, "male": 1 - score}, label)


def ink(image, people, **named):
    """Returns where an annotated copy differs from the picture, as a boolean array."""
    return np.abs(np.asarray(annotate.annotate(image, people, **named), int) - np.asarray(image, int)).max(axis=2) > 40


def test_words_tell_answers_apart_without_their_colours(monkeypatch):
    same = dict.fromkeys(("female", "male", "uncertain"), ((255, 255, 255), (0, 0, 0)))
    monkeypatch.setattr(annotate, "_STYLES", same)
    image = Image.new("RGB", (1000, 600), (90, 90, 90))
    drawn = [
        annotate.annotate(image, [someone(label=label)], lang=lang).tobytes()
        for label in ("female", "male", "uncertain")
        for lang in ("en", "fr")
    ]
    assert len(set(drawn)) == 6


def test_colours_keep_their_distance_in_lightness():
    def lightness(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first, second):
        low, high = sorted((lightness(first), lightness(second)))
        return (high + 0.05) / (low + 0.05)

    styles = annotate._STYLES
    for back, front in (*styles.values(), annotate._OTHER):
        assert contrast(back, front) >= 4.5  # WCAG 2.1, 1.4.3
    assert contrast(styles["female"][0], styles["male"][0]) >= 2


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (40, 30), (300, 200), (4000, 3000), (70_000, 2)])
@pytest.mark.parametrize("box", [None, (0.0, 0.0, 1.0, 1.0), (-30.5, -20.0, 15.0, 25.0), (5.0, 5.0, 9000.0, 9000.0)])
def test_any_size_and_any_box_can_be_drawn(size, box):
    image = Image.new("RGB", size, (90, 90, 90))
    copy = annotate.annotate(image, [someone(box), someone(None)])
    assert max(copy.size) >= 800
    assert copy.width / copy.height == pytest.approx(size[0] / size[1], rel=0.5)
    assert image.getcolors() == [(size[0] * size[1], (90, 90, 90))]


def test_letters_are_large_enough_to_read():
    heights = {}
    for size in ((100, 80), (1000, 800), (6000, 4000)):
        copy = annotate.annotate(Image.new("RGB", size, (90, 90, 90)), [someone((size[0] / 3, 0, size[0] / 2, 30))])
        words = [
            annotate._font((0, 0, copy.width / 6, 1), copy.size),
            annotate._font((0, 0, 1, 1), copy.size),
        ]
        heights[size] = [font.size for font in words]
        assert min(heights[size]) >= 14
        # On a screen 1,000 pixels wide the letters are still 9 pixels or more.
        assert min(heights[size]) * 1000 / copy.width >= 9
    assert heights[(6000, 4000)] > heights[(1000, 800)]


def test_words_of_neighbours_do_not_cover_each_other():
    image = Image.new("RGB", (1000, 600), (90, 90, 90))
    boxes = [(100.0 + 90 * i, 100.0 + 5 * i, 180.0 + 90 * i, 200.0 + 5 * i) for i in range(8)]
    alone = [ink(image, [someone(box)]) for box in boxes]
    together = ink(image, [someone(box) for box in boxes])
    # Numbers make the words longer, so there is more ink together than alone: covered words would make it less.
    assert together.sum() > 1.05 * sum(mask.sum() for mask in alone)


def test_long_and_odd_names(place):
    image = Image.new("RGB", (4, 4))
    first = annotate.save_copy(image, place, Path("a", "ß" * 120), "input", ".jpg")
    assert annotate.save_copy(image, place, Path("b", "ß" * 120), "input", ".jpg") != first
    wide = annotate.save_copy(Image.new("RGB", (66_000, 1)), place, Path("wide.tif"), "annotated", ".jpg")
    assert wide.name == "wide.gender-annotated.png"
    with pytest.raises(OptionError, match="cannot be written"):
        annotate.save_copy(image, place / "nowhere", Path("name.jpg"), "input", ".png")


# -- installing the detector ---------------------------------------------------------------------------------------


def test_local_file_is_installed_with_its_hash(run, photos, detector):
    code, out, _ = run("models", "add-detector", detector, model=None)
    assert code == 0
    path = install_dir() / FILE_NAME
    digest = hashlib.sha256(detector.read_bytes()).hexdigest()
    assert out.splitlines()[0] == str(path)
    assert digest in out
    assert "not the published file" in out
    assert chosen() == path
    assert path.read_bytes() == detector.read_bytes()
    record = json.loads((install_dir() / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["sha256"] == digest
    assert record["source"] == {"kind": "local", "file": "detector.onnx"}
    assert "license" not in record
    assert "threshold" not in record
    # From now on it is used without being named.
    assert "1 woman, 1 man" in run("two.png")[1]
    assert "add-detector" not in run("two.png")[2]


def test_installed_file_that_changes_is_noticed(run, photos, detector):
    run("models", "add-detector", detector, model=None)
    with (install_dir() / FILE_NAME).open("ab") as file:
        file.write(b"\0")
    code, _, err = run("two.png")
    assert code == 2
    assert "was changed since it was installed" in err


def test_second_installation_replaces_the_first(run, place, detector):
    run("models", "add-detector", detector, model=None)
    other = red_detector(place / "other.onnx", stride=16)
    assert run("models", "add-detector", other, model=None)[0] == 0
    assert Detector.load(chosen()).sha256 == hashlib.sha256(other.read_bytes()).hexdigest()
    assert sorted(path.name for path in install_dir().parent.iterdir()) == ["detector"]


def test_wrong_files_are_refused_and_leave_the_old_one(run, place, detector):
    run("models", "add-detector", detector, model=None)
    before = (install_dir() / FILE_NAME).read_bytes()
    (place / "text.onnx").write_text("no network")
    write_detector(place / "part.onnx", {}, outputs=("cls", "bbox"))
    with (place / "huge.onnx").open("wb") as file:
        file.truncate(100 * 2**20)
    for name, code, words in (
        ("text.onnx", 1, "cannot be loaded"),
        ("part.onnx", 1, "lacks the outputs"),
        ("huge.onnx", 1, "less than one"),
        ("missing.onnx", 2, "no file"),
        (".", 2, "no file"),
    ):
        got, out, err = run("models", "add-detector", name, model=None)
        assert (got, out) == (code, "")
        assert words in err
        assert name in err
        assert ".adding" not in err
    assert (install_dir() / FILE_NAME).read_bytes() == before
    assert sorted(path.name for path in install_dir().parent.iterdir()) == ["detector"]


@pytest.fixture
def hub(monkeypatch, place, detector):
    """A Hub that has a small detector under the published name; the expected revision and hash are moved to it."""
    pytest.importorskip("huggingface_hub")
    content = detector.read_bytes()
    with FakeHub() as server:
        published = install.PUBLISHED
        revision = server.add(published.repository, {published.path: content, "README.md": b"# YuNet"})
        digest = hashlib.sha256(content).hexdigest()
        moved = replace(published, revision=revision, bytes=len(content), sha256=digest)
        monkeypatch.setattr(install, "PUBLISHED", moved)
        for key, value in server.environment(place / "cache").items():
            monkeypatch.setenv(key, value)
        yield server


def test_published_file_comes_from_the_hub(run, photos, hub):
    code, out, err = run("models", "add-detector", model=None)
    assert (code, err) == (0, "")
    assert "(the published file)" in out
    record = json.loads((install_dir() / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["source"]["repository"] == "opencv/face_detection_yunet"
    assert record["source"]["revision"] == install.PUBLISHED.revision
    assert record["license"] == "MIT"
    assert Detector.load(chosen()).threshold == record["threshold"] == 0.7
    assert sorted(path.name for path in install_dir().iterdir()) == sorted([FILE_NAME, RECORD_NAME])
    assert "1 woman, 1 man" in run("two.png")[1]
    asked = [line for line in hub.requests if "README" in line]
    assert asked == []


def test_file_that_is_not_the_published_one_is_refused(run, place, hub, monkeypatch):
    wrong = replace(install.PUBLISHED, sha256="0" * 64)
    monkeypatch.setattr(install, "PUBLISHED", wrong)
    code, out, err = run("models", "add-detector", model=None)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert chosen() == builtin()


def test_hub_that_cannot_be_reached_is_one_sentence(run, place, hub, monkeypatch):
    hub.repositories.clear()
    code, out, err = run("models", "add-detector", model=None)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert not install_dir().exists()


def test_without_huggingface_hub_one_sentence_names_the_extra(run, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, out, err = run("models", "add-detector", model=None)
    assert (code, out) == (1, "")
    assert '[hub]"' in err
    assert err.count("\n") == 1


def test_the_published_file_is_the_one_documented():
    published = install.PUBLISHED
    assert published.revision == "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
    assert published.sha256 == "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
    assert (published.bytes, published.license) == (232_589, "MIT")


def test_folder_that_cannot_be_made_is_a_sentence(place, detector, monkeypatch):
    (place / "file").write_text("in the way")
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "file"))
    monkeypatch.setenv("LOCALAPPDATA", str(place / "file"))
    monkeypatch.setenv("HOME", str(place / "file"))
    with pytest.raises(StoreError, match="Not a directory"):
        install.install(detector)
