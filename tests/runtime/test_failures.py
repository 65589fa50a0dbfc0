"""A bad picture is a result: what fails behind the decoder is a status of that picture alone."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import gender_classifier as gc
from gender_classifier.runtime.network import Network
from gender_classifier.runtime.options import Faces
from gender_classifier.runtime.pipeline import Pipeline
from gender_classifier.runtime.prediction import Status
from support import TinyModel, tiny_bundle
from support.tiny_detector import red_detector

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

ASPECT = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 64},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 64, "width": 64},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def models(home):
    return {
        "thin": tiny_bundle(home, TinyModel(name="thin", size=64, processor=ASPECT)),
        "nan": tiny_bundle(home, TinyModel(name="nan", blue="nan")),
        "error": tiny_bundle(home, TinyModel(name="error", blue="error")),
    }


BAD = {"thin": Status.TOO_LARGE, "nan": Status.MODEL_ERROR, "error": Status.MODEL_ERROR}


def bad(kind: str) -> Image.Image:
    return Image.new("RGB", (60_000, 1), RED) if kind == "thin" else Image.new("RGB", (20, 20), BLUE)


@pytest.fixture
def folder(tmp_path):
    """Good pictures around a bad one."""

    def make(kind: str):
        for name, colour in (("a", RED), ("b", GREEN), ("d", RED), ("e", GREEN)):
            Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
        bad(kind).save(tmp_path / "c.png")
        return tmp_path

    return make


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_one_bad_picture_spoils_no_other(models, folder, kind, batch_size):
    classifier = gc.load(models[kind])
    paths = sorted(folder(kind).glob("*.png"))
    answers = list(classifier.predict_many(paths, batch_size=batch_size))
    assert [one.label for one in answers] == ["female", "male", None, "female", "male"]
    assert answers[2].status is BAD[kind]
    assert "c.png" in answers[2].error
    assert answers[2] == classifier.predict(paths[2])
    alone = [classifier.predict(path) for path in paths]
    for one, many in zip(alone, answers, strict=True):
        assert many.probabilities == (None if one.probabilities is None else pytest.approx(one.probabilities))
    unnamed = classifier.predict(Image.open(paths[2]))
    assert unnamed.status is BAD[kind]
    assert unnamed.error.startswith("The picture")


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("form", ["text", "--json", "--jsonl", "--csv", "--output"])
def test_every_output_form_goes_on(models, folder, kind, form, capsys, monkeypatch):
    monkeypatch.chdir(folder(kind))
    words = {"text": [], "--output": ["--output", "out.jsonl"]}.get(form, [form])
    assert gc.main([".", "--model", str(models[kind]), *words]) == 1
    out, err = capsys.readouterr()
    if form in ("text", "--output"):
        assert "c.png" in err
        assert "5 pictures" in err
    if form == "text":
        assert out.count(".png") == 4
        return
    if form == "--csv":
        rows = list(csv.DictReader(io.StringIO(out)))
    elif form == "--json":
        rows = json.loads(out)
    else:
        text = out if form == "--jsonl" else open("out.jsonl").read()  # noqa: PTH123, SIM115
        rows = [json.loads(line) for line in text.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", str(BAD[kind]), "ok", "ok"]
    assert "c.png" in rows[2]["error"]


@pytest.mark.parametrize("kind", BAD)
def test_a_sort_and_a_resumed_run_get_past_it(models, folder, kind, capsys, monkeypatch):
    monkeypatch.chdir(folder(kind).parent)
    source = folder(kind).name
    assert gc.main(["sort", source, f"{source}-sorted", "--model", str(models[kind])]) == 1
    assert (folder(kind).parent / f"{source}-sorted/failed/c.png").exists()
    for extra in ([], ["--resume"]):
        assert gc.main([source, "--model", str(models[kind]), "--output", f"{source}.jsonl", *extra]) == 1
    assert len(open(f"{source}.jsonl").read().splitlines()) == 5  # noqa: PTH123, SIM115
    capsys.readouterr()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("first line\nsecond"), OSError(), ZeroDivisionError("x")]
)
@pytest.mark.parametrize("where", ["processor", "detector", "crop"])
def test_whatever_fails_between_decoder_and_network_is_a_result(home, models, where, error, monkeypatch, tmp_path):
    detector = red_detector(home / "detector.onnx", stride=32)
    classifier = gc.load(models["nan"], faces=Faces(detector) if where != "processor" else False)
    image = Image.new("RGB", (320, 320), RED)
    image.save(tmp_path / "some.png")
    assert classifier.predict(image).ok

    def fail(*_):
        raise error

    monkeypatch.setattr(classifier.pipeline, where if where != "detector" else "regions", fail)
    answers = [classifier.predict(tmp_path / "some.png"), *classifier.predict_many([tmp_path / "some.png"])]
    for answer in answers:
        assert answer.status is (Status.TOO_LARGE if isinstance(error, MemoryError) else Status.MODEL_ERROR)
        assert "some.png" in answer.error
        assert "second" not in answer.error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of device memory")])
def test_a_batch_that_fails_is_asked_again_row_by_row(models, monkeypatch, error):
    classifier = gc.load(models["nan"])
    sizes = []
    run = Network.logits

    def limited(self, values):
        sizes.append(len(values))
        if len(values) > 1:
            raise error
        return run(self, values)

    monkeypatch.setattr(Network, "logits", limited)
    answers = list(classifier.predict_many([Image.new("RGB", (9, 9), RED)] * 3, batch_size=3))
    assert [one.label for one in answers] == ["female"] * 3
    assert sizes == [3, 1, 1, 1]


def test_a_network_of_another_shape_is_a_result(models, monkeypatch):
    classifier = gc.load(models["nan"])
    monkeypatch.setattr(classifier.network._session.here, "run", lambda *_: [np.zeros((1, 7), np.float32)])
    answer = classifier.predict(Image.new("RGB", (9, 9)))
    assert answer.status is Status.MODEL_ERROR
    assert "(1, 7)" in answer.error


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "single_logit"])
@pytest.mark.parametrize("values", [(np.nan, 0), (np.inf, np.inf), (-np.inf, -np.inf), (np.nan, np.nan)])
def test_an_answer_that_is_not_a_number(home, activation, values, monkeypatch):
    folder = home / activation
    if not folder.exists():
        tiny_bundle(home, TinyModel(name=activation, activation=activation))
    classifier = gc.load(folder)
    width = 1 if activation == "single_logit" else 2
    monkeypatch.setattr(
        classifier.network._session.here, "run", lambda *_: [np.array([values[:width]], np.float32)], raising=True
    )
    answer = classifier.predict(Image.new("RGB", (9, 9)))
    if activation != "softmax" and not np.isnan(values[:width]).any():
        assert answer.probabilities["male"] in (0, 1)  # the sigmoid of an infinity is a number
    else:
        assert answer.status is Status.MODEL_ERROR
        assert answer.error == "The picture: the model's answer is not a number."


def test_ctrl_c_is_no_result(models, monkeypatch):
    classifier = gc.load(models["nan"])

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for owner, name in ((Network, "logits"), (Pipeline, "decode")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                classifier.predict(Image.new("RGB", (9, 9)))
            with pytest.raises(KeyboardInterrupt):
                list(classifier.predict_many([Image.new("RGB", (9, 9))] * 3))


def test_memory_that_runs_out_when_a_batch_is_put_together(models, monkeypatch):
    classifier = gc.load(models["nan"])
    pictures = [np.full((9, 9, 3), (255, 0, 0), np.uint8)] * 3
    expected = classifier.predict(pictures[0])

    def scarce(*_):
        raise MemoryError

    monkeypatch.setattr(np, "stack", scarce)
    assert list(classifier.predict_many(pictures, batch_size=3)) == [expected] * 3


def test_what_fails_in_detect_and_views_is_an_image_error(home, models, monkeypatch):
    classifier = gc.load(models["nan"], faces=Faces(red_detector(home / "again.onnx", stride=32)))
    image = Image.new("RGB", (64, 64), RED)
    people = classifier.predict(image).people
    monkeypatch.setattr(classifier.pipeline.detector._session.here, "run", lambda *_: 1 / 0)
    monkeypatch.setattr(classifier.pipeline, "crop", lambda *_: 1 / 0)
    for call in (classifier.detect, lambda image: classifier.views(image, people)):
        with pytest.raises(gc.ImageError, match="division by zero") as caught:
            call(image)
        assert caught.value.status is Status.MODEL_ERROR
