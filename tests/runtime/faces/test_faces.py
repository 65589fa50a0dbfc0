"""Per person: a classifier that takes the mean colour of what it sees, behind a detector that finds red cells.

The network answers "Female" for red and "Male" for green. A face is one cell of red; what surrounds it decides.
"""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier import runtime
from gender_classifier.runtime import decision
from gender_classifier.runtime.errors import (
    DetectorError,
    ModelNotFoundError,
    OptionError,
)
from gender_classifier.runtime.faces.crop import crop_box, crop_eyes, crop_square, tilt
from gender_classifier.runtime.faces.detector import Detector
from gender_classifier.runtime.faces.record import DETECTOR_VARIABLE, builtin
from gender_classifier.runtime.options import Faces
from gender_classifier.runtime.prediction import Prediction, Status
from support import TinyModel, shared, tiny_bundle
from support.tiny_detector import red_detector, write_detector

GREEN, BLACK = (0, 255, 0), (0, 0, 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def bundle(home):
    return tiny_bundle(home, TinyModel(name="faces", framing="box", margin=0.5, size=16))


@pytest.fixture(scope="module")
def whole(home):
    return tiny_bundle(home, TinyModel(name="whole", framing="image", size=16))


@pytest.fixture(scope="module")
def detector(home):
    return red_detector(home / "detector.onnx", stride=32)


@pytest.fixture(scope="module")
def classifier(bundle, detector):
    return runtime.load(bundle, faces=Faces(detector))


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    """Whatever this machine has installed must not take part."""
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def photo(*people, size=(640, 320), ground=BLACK):
    """Draws people: a red cell at (x, y), on a patch of 64 pixels around it in the given colour."""
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    for x, y, colour in people:
        draw.rectangle((x - 16, y - 16, x + 47, y + 47), fill=colour)
        draw.rectangle((x, y, x + 31, y + 31), fill=(255, 0, 0))
    return image


def test_each_face_gets_its_own_answer(classifier):
    prediction = classifier.predict(photo((64, 64, BLACK), (320, 160, GREEN)))
    assert prediction.status is Status.OK
    # 64 x 64 pixels: a quarter red and the rest black, or a quarter red and three quarters green.
    answers = {round(person.box[0]): person.label for person in prediction.people}
    assert answers == {64: "female", 320: "male"}
    for person in prediction.people:
        assert person.box[2] - person.box[0] == pytest.approx(32, abs=0.01)
        assert person.detection_score > 0.99
        assert sum(person.probabilities.values()) == pytest.approx(1)


def test_answer_is_that_of_the_crop_by_hand(bundle, classifier):
    image = photo((64, 64, GREEN), (608, 288, GREEN))  # the second one reaches beyond the corner
    by_hand = runtime.load(bundle, faces=False)
    for person in classifier.predict(image).people:
        expected = by_hand.predict(crop_square(image, person.box, 0.5))
        assert person.probabilities == pytest.approx(expected.probabilities, abs=1e-6)


def test_main_person_is_the_largest_face(home, bundle):
    matrix = np.zeros((16, 3))
    matrix[:2] = (-40, 0, 40)
    matrix[4:6, 1] = np.log(2)  # green in the cell makes the box larger
    bias = [-20.0, -20.0, 0.5, 0.5, 0.0, 0.0, *[0.5] * 10]
    grow = write_detector(home / "grow.onnx", {32: (matrix, bias)})
    image = photo((64, 64, BLACK), (320, 160, BLACK))
    ImageDraw.Draw(image).rectangle((320, 160, 351, 191), fill=(255, 255, 0))
    prediction = runtime.load(bundle, faces=Faces(grow), main="largest").predict(image)
    assert [round(person.box[2] - person.box[0]) for person in prediction.people] == [64, 32]
    main, second = prediction.people
    assert main.probabilities != second.probabilities
    shown = (prediction.label, prediction.score, prediction.probabilities, prediction.raw_label)
    assert shown == (main.label, main.score, main.probabilities, main.raw_label)


def test_no_face_is_a_status_without_a_label(classifier, tmp_path):
    photo(size=(100, 80)).save(tmp_path / "empty.png")
    prediction = classifier.predict(tmp_path / "empty.png")
    assert prediction.status is Status.NO_FACE
    assert prediction.label is prediction.score is prediction.probabilities is None
    assert prediction.people == ()
    assert prediction.error is None
    assert (prediction.width, prediction.height) == (100, 80)


def test_faces_of_a_batch_come_back_to_their_pictures(classifier):
    crowd = photo(*((64 + 128 * i, 64, GREEN if i % 2 else BLACK) for i in range(5)), (64, 224, GREEN))
    images = [photo(), crowd, photo((64, 64, GREEN)), photo(), photo((320, 96, BLACK), (64, 96, GREEN))] * 3
    for size in (1, 2, 8, 64):
        many = list(classifier.predict_many(images, batch_size=size, workers=3))
        assert [len(one.people) for one in many] == [0, 6, 1, 0, 2] * 3
        for one, image in zip(many, images, strict=True):
            alone = classifier.predict(image)
            assert one.status is alone.status
            assert [p.box for p in one.people] == [p.box for p in alone.people]
            for person, same in zip(one.people, alone.people, strict=True):
                assert person.probabilities == pytest.approx(same.probabilities, abs=1e-6)


def test_min_face_and_max_faces(bundle, detector):
    image = photo((64, 64, GREEN), (320, 160, GREEN))
    assert len(runtime.load(bundle, faces=Faces(detector, limit=1)).predict(image).people) == 1
    assert len(runtime.load(bundle, faces=Faces(detector, min_size=31)).predict(image).people) == 2
    assert runtime.load(bundle, faces=Faces(detector, min_size=33)).predict(image).status is Status.NO_FACE


def test_whole_picture_where_the_model_or_the_caller_says_so(bundle, whole, detector, monkeypatch):
    image = photo((64, 64, GREEN), ground=GREEN)
    monkeypatch.setenv(DETECTOR_VARIABLE, str(detector))
    for classifier in (runtime.load(bundle, faces=False), runtime.load(whole)):
        (person,) = classifier.predict(image).people
        assert person.box is None
        assert person.detection_score is None
        assert person.label == "male"
        assert classifier.notices == ()
    for faces in (True, Faces(limit=1)):
        (person,) = runtime.load(whole, faces=faces).predict(image).people
        assert person.box is not None


def test_the_detector_of_the_package_is_used_without_a_word(bundle):
    classifier = runtime.load(bundle)
    assert classifier.finds_faces
    assert classifier.notices == ()
    assert classifier.pipeline.detector.path == str(builtin())


def test_a_face_of_too_few_pixels_is_uncertain_by_rule(bundle, detector):
    classifier = runtime.load(bundle, faces=Faces(detector))
    image = photo((64, 64, BLACK))
    (sure,) = classifier.predict(image).people
    for least, label in ((31.0, "female"), (33.0, "uncertain")):
        rule = dataclasses.replace(classifier.manifest.decision, min_face=least)
        manifest = dataclasses.replace(classifier.manifest, decision=rule)
        (person,) = (
            runtime.load(dataclasses.replace(classifier.bundle, manifest=manifest), faces=Faces(detector))
            .predict(image)
            .people
        )
        assert person.label == label
        assert person.probabilities == sure.probabilities


def test_detector_named_by_the_environment(bundle, detector, monkeypatch, tmp_path):
    monkeypatch.setenv(DETECTOR_VARIABLE, str(detector))
    classifier = runtime.load(bundle)
    assert classifier.finds_faces
    assert classifier.notices == ()
    monkeypatch.setenv(DETECTOR_VARIABLE, str(tmp_path / "mistyped.onnx"))
    with pytest.raises(ModelNotFoundError, match=r"mistyped\.onnx"):
        runtime.load(bundle)


def test_wrong_detector_raises_when_loading(bundle, tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(DetectorError):
        runtime.load(bundle, faces=Faces(tmp_path / "text.onnx"))
    with pytest.raises(OptionError):
        runtime.load(bundle, faces=Faces(tmp_path / "text.onnx", detect_size=3))


def test_detect_gives_the_faces_alone(classifier, bundle, detector, tmp_path):
    image = photo((64, 64, GREEN), (320, 160, BLACK))
    image.save(tmp_path / "photo.png")
    faces = classifier.detect(tmp_path / "photo.png")
    assert faces == Detector.load(detector).detect(image)
    assert len(faces) == 2
    with pytest.raises(OptionError, match="faces=True"):
        runtime.load(bundle, faces=False).detect(image)


def test_boxes_are_those_of_the_upright_picture(classifier, tmp_path):
    upright = photo((64, 64, GREEN), size=(640, 320))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned; to be turned by 90 degrees clockwise when shown
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    (person,) = classifier.predict(tmp_path / "turned.png").people
    assert person.box == pytest.approx((64, 64, 96, 96), abs=0.01)


def probability(classifier, values):
    """Of the most probable class, for one input of the network."""
    logits = classifier.network.logits(values[np.newaxis])
    return decision.probabilities(logits, classifier.manifest.activation).max()


def test_views_are_what_the_network_gets(classifier, bundle):
    image = photo((64, 64, GREEN), (608, 288, BLACK))
    prediction = classifier.predict(image)
    views = classifier.views(image, prediction.people)
    assert [view.size for view in views] == [(16, 16)] * 2
    for view, person in zip(views, prediction.people, strict=True):
        values = (np.asarray(view, np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.5
        assert probability(classifier, values) == pytest.approx(person.score, abs=1e-5)
    whole = runtime.load(bundle, faces=False)
    (view,) = whole.views(image, whole.predict(image).people)
    assert view.size == (16, 16)


@pytest.fixture(scope="module")
def tilted(home):
    """A detector whose faces all have their eyes on a line that falls by 30 degrees."""
    matrix = np.zeros((16, 3))
    matrix[:2] = (-40, -40, 40)
    marks = [0.3, 0.2, 0.7, 0.2 + 0.4 * math.tan(math.radians(30)), *[0.5] * 6]
    return write_detector(home / "tilted.onnx", {32: (matrix, [-20.0, -20.0, 0.5, 0.5, 0.0, 0.0, *marks])})


def test_eyes_framing_levels_a_face_and_says_so(home, tilted):
    bundle = tiny_bundle(home, TinyModel(name="eyes", framing="eyes", margin=0.5, eyes=(0.3, 0.4), size=16))
    image = Image.new("RGB", (320, 320), BLACK)
    ImageDraw.Draw(image).rectangle((160, 160, 191, 191), fill=(255, 0, 0))
    classifier = runtime.load(bundle, faces=Faces(tilted))
    prediction = classifier.predict(image)
    (person,) = prediction.people
    (face,) = classifier.detect(image)
    assert person.eyes == face.landmarks[:2]
    assert person.asdict()["eyes"] == [list(point) for point in face.landmarks[:2]]
    crop = crop_eyes(image, person.eyes, 16, eye_distance=0.3, eye_line=0.4)
    by_hand = runtime.load(bundle, faces=False).predict(crop)
    assert prediction.probabilities == pytest.approx(by_hand.probabilities, abs=1e-6)
    (view,) = classifier.views(image, prediction.people)
    assert view.tobytes() == crop.tobytes()


def test_eyes_that_cannot_be_true_leave_the_box_to_frame_the_face(home):
    bundle = tiny_bundle(home, TinyModel(name="eyes2", framing="eyes", margin=0.5, eyes=(0.3, 0.4), size=16))
    matrix = np.zeros((16, 3))
    matrix[:2] = (-40, -40, 40)
    swapped = [0.7, 0.3, 0.3, 0.3, *[0.5] * 6]
    detector = write_detector(home / "swapped.onnx", {32: (matrix, [-20.0, -20.0, 0.5, 0.5, 0.0, 0.0, *swapped])})
    image = Image.new("RGB", (320, 320), BLACK)
    ImageDraw.Draw(image).rectangle((160, 160, 191, 191), fill=(255, 0, 0))
    prediction = runtime.load(bundle, faces=Faces(detector)).predict(image)
    (person,) = prediction.people
    assert person.eyes is None
    by_hand = runtime.load(bundle, faces=False).predict(crop_square(image, person.box, 0.5))
    assert prediction.probabilities == pytest.approx(by_hand.probabilities, abs=1e-6)


def test_tilted_face_is_levelled_before_it_is_classified(bundle, tilted):
    image = Image.new("RGB", (320, 320), BLACK)
    ImageDraw.Draw(image).rectangle((160, 160, 191, 191), fill=(255, 0, 0))
    classifier = runtime.load(bundle, faces=Faces(tilted))
    prediction = classifier.predict(image)
    (face,) = classifier.detect(image)
    assert tilt(face.landmarks) == pytest.approx(30, abs=0.1)
    by_hand = runtime.load(bundle, faces=False).predict(crop_box(image, face.box, 0.5, face.landmarks))
    assert prediction.probabilities == pytest.approx(by_hand.probabilities, abs=1e-6)
    # What is saved for people to look at is turned as well.
    (view,) = classifier.views(image, prediction.people)
    values = (np.asarray(view, np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.5
    assert probability(classifier, values) == pytest.approx(prediction.score, abs=1e-5)
    assert (
        np.asarray(view).tobytes()
        != np.asarray(classifier.pipeline.processor.geometry(crop_square(image, face.box, 0.5))).tobytes()
    )


def test_levelling_turns_a_turned_picture_back():
    generator = np.random.default_rng(0)
    noise = Image.fromarray(generator.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    image = noise.resize((400, 400), Image.Resampling.BICUBIC)
    level = crop_square(image, (150, 150, 250, 250), 0.25)
    for angle in (-170, -90, -45, -20, 15, 30, 60, 120):
        turned = image.rotate(-angle, Image.Resampling.BICUBIC)  # Pillow turns counter-clockwise
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        eyes = [(200 - 20 * cos, 200 - 20 * sin), (200 + 20 * cos, 200 + 20 * sin)]
        assert tilt(eyes) == pytest.approx(angle)
        again = crop_box(turned, (150, 150, 250, 250), 0.25, eyes)
        assert again.size == level.size == (150, 150)
        assert np.abs(np.asarray(again, int) - np.asarray(level, int)).mean() < 3


def test_large_tilted_face_is_scaled_down_in_the_same_frame():
    image = Image.effect_noise((40, 40), 90).convert("RGB").resize((4000, 4000), Image.Resampling.BICUBIC)
    eyes = [(0.0, 0.0), (math.cos(math.radians(25)), math.sin(math.radians(25)))]
    large = crop_box(image, (1000, 1000, 3400, 3400), 0.25, eyes)
    assert large.size == (900, 900)  # 3,600 pixels, by four
    small = crop_box(image.reduce(4), (250, 250, 850, 850), 0.25, eyes)
    assert np.abs(np.asarray(large, int) - np.asarray(small, int)).mean() < 1


def test_face_that_is_nearly_level_is_cut_as_in_training():
    image = Image.effect_noise((300, 200), 80).convert("RGB")
    box = (-20.0, 30.0, 60.0, 130.0)  # reaches beyond the picture
    plain = crop_square(image, box, 0.25)
    for degrees in (-9.9, 0, 9.9):
        eyes = [(0, 0), (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))]
        assert crop_box(image, box, 0.25, eyes).tobytes() == plain.tobytes()
    assert crop_box(image, box, 0.25).tobytes() == plain.tobytes()
    eyes = [(0, 0), (math.cos(math.radians(10.1)), math.sin(math.radians(10.1)))]
    turned = crop_box(image, box, 0.25, eyes)
    assert turned.size == plain.size
    assert turned.tobytes() != plain.tobytes()
    assert turned.getpixel((0, 75)) == BLACK  # outside is black, as it is for a level face


def test_pickled_classifier_finds_the_same_faces(bundle, detector):
    classifier = runtime.load(bundle, faces=Faces(detector, threshold=0.5, detect_size=800, limit=1))
    again = pickle.loads(pickle.dumps(classifier))
    image = photo((64, 64, GREEN), (320, 160, GREEN))
    assert again.predict(image) == classifier.predict(image)
    assert len(again.predict(image).people) == 1


def test_prediction_as_json_types(classifier):
    data = classifier.predict(photo((64, 64, GREEN))).asdict()
    assert data["people"][0]["box"] == pytest.approx([64, 64, 96, 96], abs=0.01)
    assert isinstance(data["people"][0]["detection_score"], float)
    assert set(data) == set(Prediction.failed(None, Status.NO_FACE, "x").asdict())


@pytest.mark.parametrize(("name", "count"), [("046", 0), ("020", 2), ("013", 16), ("055", 29)])
def test_people_of_photographs(bundle, name, count):
    """The counts were made by a person who looked at the pictures; docs/faces.md has all of them."""
    path = shared("detector/yunet_n_640_640.onnx")
    prediction = runtime.load(bundle, faces=Faces(path)).predict(shared(f"photos/{name}.jpg"))
    assert len(prediction.people) == count
    assert prediction.status is (Status.OK if count else Status.NO_FACE)
