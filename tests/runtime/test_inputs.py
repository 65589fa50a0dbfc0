"""What is taken as a picture, alone and among many; and what is not."""

from __future__ import annotations

import array
import io
import mmap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gender_classifier as gc
from gender_classifier.runtime.errors import OptionError
from gender_classifier.runtime.inputs import unwrapped
from gender_classifier.runtime.prediction import Status
from support import tiny_bundle

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return gc.load(tiny_bundle(tmp_path_factory.mktemp("bundle")), exact=False)


@pytest.fixture(scope="module")
def red(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    Image.new("RGB", (20, 30), RED).save(path)
    return path


class Scalar:
    """Stands for an Arrow scalar."""

    def __init__(self, value):
        self.value = value

    def as_py(self):
        return self.value


class Rude(io.RawIOBase):
    """A stream of the caller's own making."""

    def __init__(self, error: Exception):
        self.error = error

    def readable(self):
        return True

    def read(self, size=-1):
        raise self.error


def test_records_scalars_and_buffers_are_pictures(classifier, red):
    content = red.read_bytes()
    unnamed = [
        bytearray(content),
        memoryview(content),
        array.array("B", content),
        Scalar(content),
        {"bytes": content, "path": None},
        {"bytes": memoryview(content)},
    ]
    named = [
        {"bytes": content, "path": str(red)},
        {"bytes": None, "path": red},
        Scalar({"path": str(red)}),
        Scalar(red),
    ]
    for inputs, path in ((unnamed, None), (named, str(red))):
        for one, many in zip(map(classifier.predict, inputs), classifier.predict_many(inputs), strict=True):
            assert (one.label, one.path) == (many.label, many.path) == ("female", path)
    with red.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert classifier.predict(mapped).label == "female"


def test_arrow_itself(classifier, red):
    arrow = pytest.importorskip("pyarrow")
    column = arrow.array([red.read_bytes(), None, b"text"])
    record = arrow.array([{"bytes": red.read_bytes(), "path": "a.png"}])
    assert [one.status for one in classifier.predict_many(column)] == ["ok", "unsupported_format", "unsupported_format"]
    assert classifier.predict(arrow.py_buffer(red.read_bytes())).label == "female"
    assert classifier.predict(record[0]).path == "a.png"


def test_the_name_in_a_record_is_in_the_sentence(classifier):
    answer = classifier.predict({"bytes": b"no picture", "path": "some/name.jpg"})
    assert answer.path == "some/name.jpg"
    assert answer.status is Status.UNSUPPORTED_FORMAT
    assert answer.error.startswith("'some/name.jpg' ")


def test_grey_and_transparent_arrays_are_taken_as_pillow_takes_them(classifier):
    values = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    for each in (values, values[:, :, 0], values[:, :, :1]):
        flat = each[:, :, 0] if each.shape[-1] == 1 else each
        expected = classifier.predict(Image.fromarray(flat).convert("RGB"))
        assert classifier.predict(each) == expected


@pytest.mark.parametrize(
    "kind", ["str", "Path", "bytes", "bytearray", "memoryview", "ndarray", "dict", "file", "array"]
)
def test_one_picture_is_not_many(classifier, red, kind):
    content = red.read_bytes()
    with red.open("rb") as file:
        one = {
            "str": str(red),
            "Path": red,
            "bytes": content,
            "bytearray": bytearray(content),
            "memoryview": memoryview(content),
            "ndarray": np.zeros((4, 4, 3), np.uint8),
            "dict": {"path": str(red)},
            "file": file,
            "array": array.array("B", content),
        }[kind]
        with pytest.raises(TypeError, match=r"Use predict for one picture"):
            classifier.predict_many(one)


@pytest.mark.parametrize("wrong", [None, 3, Image.new("RGB", (4, 4))])
def test_what_cannot_be_iterated_over_is_a_type_error_at_the_call(classifier, wrong):
    with pytest.raises(TypeError):
        classifier.predict_many(wrong)


def test_several_pictures_come_in_any_iterable(classifier, red):
    for images in (
        (str(red) for _ in range(2)),
        np.array([str(red)] * 2),
        np.zeros((2, 4, 4, 3), np.uint8),
        {str(red): 1, red: 2}.keys(),
    ):
        assert [one.status for one in classifier.predict_many(images)] == ["ok"] * 2


WRONG = [
    (None, "NoneType"),
    (3, "int"),
    (2.5, "float"),
    (np.float64(2.5), "float64"),
    (["a.jpg"], "list"),
    ({"a": 1}, "mapping"),
    ({"bytes": None, "path": None}, "mapping"),
    (Scalar(None), "NoneType"),
    (array.array("d", [1.0]), "array"),
    (io.StringIO("text"), "binary mode"),
    (np.zeros((4, 4, 3), np.float32), "float32"),
]


@pytest.mark.parametrize(("wrong", "named"), WRONG)
def test_a_wrong_type_alone_is_a_type_error(classifier, wrong, named):
    with pytest.raises(TypeError, match=named):
        classifier.predict(wrong)


def test_a_wrong_item_never_ends_the_stream(classifier, red):
    items = [item for wrong, _ in WRONG for item in (red, wrong)]
    items += [np.zeros((4, 4, 7), np.uint8), red, Rude(KeyError("x")), red]
    answers = list(classifier.predict_many(items, batch_size=3))
    assert [one.label for one in answers[0::2]] == ["female"] * len(WRONG) + [None] * 2
    assert all(one.ok for one in answers[len(WRONG) * 2 + 1 :: 2])
    for (_, named), answer in zip(WRONG, answers[1 : len(WRONG) * 2 : 2], strict=True):
        assert answer.status is Status.UNSUPPORTED_FORMAT
        assert named in answer.error


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("closed"), KeyError("x"), RuntimeError(), MemoryError()])
def test_what_a_stream_raises_is_a_result(classifier, error):
    answer = classifier.predict(Rude(error))
    assert answer.status is (Status.TOO_LARGE if isinstance(error, MemoryError) else Status.UNREADABLE)
    assert answer.error


def test_a_closed_picture_is_a_result(classifier):
    picture = Image.new("RGB", (8, 8), "red")
    picture.close()
    assert classifier.predict(picture).status is Status.UNREADABLE


def test_no_pixel_is_copied_to_see_that_something_is_a_pil_picture(monkeypatch):
    """``__array_interface__`` of one does so: a second for 48 megapixels."""
    picture = Image.new("RGB", (8, 8))
    monkeypatch.setattr(Image.Image, "tobytes", None)
    assert unwrapped(picture) == (picture, None)


class Broken:
    def as_py(self):
        raise ZeroDivisionError("in as_py")


def test_an_object_that_raises_has_a_result_among_many(classifier, red):
    (answer, good) = classifier.predict_many([Broken(), red])
    assert answer.status is Status.UNREADABLE
    assert "Broken" in answer.error
    assert good.ok


# -- boxes and eyes ------------------------------------------------------------------------------------------------


@pytest.fixture
def two() -> Image.Image:
    """Red on the left, green on the right, and black around them."""
    image = Image.new("RGB", (200, 100))
    image.paste(RED, (20, 30, 60, 70))
    image.paste(GREEN, (140, 30, 180, 70))
    return image


LEFT, RIGHT = (30, 40, 50, 60), (146, 40, 166, 60)


def test_the_callers_boxes_are_classified_in_their_order(classifier, two):
    answer = classifier.predict(two, boxes=[RIGHT, LEFT])
    assert [person.label for person in answer.people] == ["male", "female"]
    assert [person.box for person in answer.people] == [RIGHT, LEFT]
    assert {person.detection_score for person in answer.people} == {None}
    assert answer.label == "mixed"
    view = classifier.views(two, answer.people)[1]
    assert classifier.predict(view).probabilities == pytest.approx(answer.people[1].probabilities, abs=1e-6)


def test_main_chooses_among_the_callers_boxes(tmp_path, two):
    large = (10, 20, 70, 80)
    folder = tiny_bundle(tmp_path)
    for main, expected in (("largest", large), ("central", RIGHT)):
        answer = gc.load(folder, main=main).predict(two, boxes=[(0, 0, 9, 9), RIGHT, large])
        assert answer.people[0].box == expected
        assert answer.label == ("female" if expected is large else "male")
        assert len(answer.people) == 3


def test_many_take_what_one_takes(classifier, two):
    boxes = [[LEFT, RIGHT], None, [RIGHT], [(1, 1, 1, 1)], []]
    answers = list(classifier.predict_many([two] * 5, boxes=boxes, batch_size=2))
    assert [[person.label for person in one.people] for one in answers[:3:2]] == [["female", "male"], ["male"]]
    assert answers[0] == classifier.predict(two, boxes=boxes[0])
    assert answers[1] == classifier.predict(two)
    assert [one.status for one in answers[3:]] == [Status.UNSUPPORTED_FORMAT, Status.NO_FACE]


@pytest.mark.parametrize("boxes", [[[LEFT]], [[LEFT]] * 3])
def test_boxes_and_pictures_are_equally_many(classifier, two, boxes):
    answers = classifier.predict_many([two] * 2, boxes=boxes, batch_size=1)
    with pytest.raises(OptionError, match="as many"):
        list(answers)


def test_tilted_eyes_turn_the_crop(classifier):
    """The left half of a face is red, the right half green; eyes one above the other mean that it lies on its side."""
    image = Image.new("RGB", (90, 90))
    image.paste(RED, (0, 0, 45, 90))
    image.paste(GREEN, (45, 0, 90, 90))
    box, eyes = (30, 30, 60, 60), ((45, 35), (45, 55))
    level = classifier.predict(image, boxes=[box], eyes=[((35, 45), (55, 45))])
    unknown = classifier.predict(image, boxes=[box], eyes=[None])
    assert unknown == classifier.predict(image, boxes=[box])
    assert level.probabilities == unknown.probabilities
    assert (level.people[0].eyes, unknown.people[0].eyes) == (((35, 45), (55, 45)), None)
    (turned,) = classifier.views(image, classifier.predict(image, boxes=[box], eyes=[eyes]).people)
    (plain,) = classifier.views(image, level.people)
    assert plain.getpixel((1, 4))[0] > 200
    assert turned.getpixel((4, 6))[0] > 200
    assert turned.getpixel((4, 1))[1] > 200


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"boxes": [(1, 2, 3)]}, "four numbers"),
        ({"boxes": ["face"]}, "four numbers"),
        ({"boxes": [(9, 1, 2, 5)]}, "empty"),
        ({"boxes": [(0, 0, float("nan"), 5)]}, "finite"),
        ({"eyes": [((1, 1), (2, 2))]}, "give both"),
        ({"boxes": [LEFT], "eyes": []}, "one pair"),
        ({"boxes": [LEFT], "eyes": [(1, 2)]}, "two points"),
        ({"boxes": [LEFT], "eyes": [((1, 1), (1, 1))]}, "two different points"),
    ],
)
def test_wrong_boxes_are_an_option_error(classifier, two, given, sentence):
    with pytest.raises(OptionError, match=sentence):
        classifier.predict(two, **given)


def test_boxes_that_do_not_fit_the_picture(classifier, two, tmp_path):
    two.save(tmp_path / "two.png")
    with pytest.raises(OptionError, match=r"two.png' has 200x100 pixels; the box .* lies outside"):
        classifier.predict(tmp_path / "two.png", boxes=[(300, 0, 320, 20)])
    (beside,) = classifier.predict_many([tmp_path / "two.png"], boxes=[[(300, 0, 320, 20)]])
    assert (beside.status, "two.png" in beside.error) == (Status.UNSUPPORTED_FORMAT, True)
    huge = classifier.predict(tmp_path / "two.png", boxes=[(0, 0, 1e6, 10)])
    assert (huge.status, "two.png" in huge.error) == (Status.TOO_LARGE, True)


def test_boxes_ask_for_every_pixel(classifier, tmp_path):
    """With ``exact=False`` a large JPEG comes smaller; not where a box in full pixels is cut out of it."""
    image = Image.new("RGB", (800, 800))
    image.paste(RED, (600, 600, 800, 800))
    image.save(tmp_path / "large.jpg")
    answer = classifier.predict(tmp_path / "large.jpg", boxes=[(650, 650, 750, 750)])
    assert answer.label == "female"
    assert classifier.views(tmp_path / "large.jpg", answer.people)[0].getpixel((4, 4))[0] > 200
