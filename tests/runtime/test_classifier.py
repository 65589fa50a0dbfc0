"""The library's front, on a network small enough to know the answers by heart: red is a woman, green a man."""

from __future__ import annotations

import io
import math
import pickle
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gender_classifier import runtime
from gender_classifier.runtime.errors import (
    BundleError,
    BundleIntegrityError,
    ModelNotFoundError,
    OptionError,
    ProviderUnavailableError,
    VariantNotFoundError,
)
from gender_classifier.runtime.prediction import Prediction, Status
from support import TinyModel, tiny_bundle

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (128, 128, 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def classifier(folder):
    return runtime.load(folder)


def picture(colour, size=(20, 30)):
    return Image.new("RGB", size, colour)


def saved(path: Path, colour) -> Path:
    picture(colour).save(path)
    return path


def test_every_kind_of_input_gives_the_same_answer(classifier, tmp_path):
    path = saved(tmp_path / "red.png", RED)
    content = path.read_bytes()
    with path.open("rb") as file:
        answers = [
            classifier.predict(path),
            classifier.predict(str(path)),
            classifier.predict(content),
            classifier.predict(memoryview(content)),
            classifier.predict(io.BytesIO(content)),
            classifier.predict(file),
            classifier.predict(picture(RED)),
            classifier.predict(np.asarray(picture(RED))),
        ]
    assert [answer.path for answer in answers] == [str(path)] * 2 + [None] * 6
    for answer in answers:
        assert answer.ok
        # logits are (4, -4): red is 1, green -1 after mean/std 0.5
        assert answer.probabilities["female"] == pytest.approx(1 / (1 + math.exp(-8)), abs=1e-6)
        assert (answer.label, answer.raw_label) == ("female", "Female")
        assert answer.score == answer.probabilities["female"]


def test_a_prediction_has_one_person_for_a_whole_picture(classifier):
    answer = classifier.predict(picture(GREEN))
    (person,) = answer.people
    assert (person.box, person.detection_score) == (None, None)
    assert (person.label, person.score, person.probabilities) == (answer.label, answer.score, answer.probabilities)
    assert answer.asdict() == {
        "path": None,
        "status": "ok",
        "error": None,
        "label": "male",
        "score": answer.score,
        "probabilities": answer.probabilities,
        "raw_label": "Male",
        "people": [person.asdict()],
        "width": answer.width,
        "height": answer.height,
        "model": classifier.identity,
    }


def test_results_are_frozen(classifier):
    with pytest.raises(AttributeError):
        classifier.predict(picture(RED)).label = "male"


def test_a_bad_picture_is_a_result(classifier, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    answer = classifier.predict(tmp_path / "text.jpg")
    assert answer.status is Status.UNSUPPORTED_FORMAT
    assert "text.jpg" in answer.error
    assert (answer.label, answer.score, answer.probabilities, answer.people) == (None, None, None, ())
    assert classifier.predict(tmp_path / "nowhere.jpg").status is Status.NOT_FOUND


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_one_result_per_input_in_order(classifier, tmp_path, batch_size, workers):
    red, green = saved(tmp_path / "r.png", RED), saved(tmp_path / "g.png", GREEN)
    (tmp_path / "bad.png").write_bytes(b"")
    inputs = [red, tmp_path / "bad.png", green, tmp_path / "none.png", red.read_bytes(), green] * 5
    answers = list(classifier.predict_many(inputs, batch_size=batch_size, workers=workers))
    assert [answer.label for answer in answers] == ["female", None, "male", None, "female", "male"] * 5
    assert [answer.path for answer in answers] == [str(i) if isinstance(i, Path) else None for i in inputs]


def test_many_and_one_agree(classifier):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (9 + i, 12, 3), np.uint8) for i in range(10)]
    together = list(classifier.predict_many(pictures, batch_size=4))
    for alone, batched in zip(map(classifier.predict, pictures), together, strict=True):
        assert batched.probabilities["female"] == pytest.approx(alone.probabilities["female"], abs=1e-6)


def test_predict_many_is_lazy(classifier):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((4, 4, 3), np.uint8)

    answers = classifier.predict_many(endless(), batch_size=2, workers=1)
    assert taken == 0
    next(answers)
    assert taken < 10
    answers.close()


def test_no_input_no_result(classifier):
    assert list(classifier.predict_many([])) == []


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 1.1},
        {"threshold": -0.1},
        {"threads": 0},
    ],
)
def test_a_wrong_option_raises_when_loading(folder, options):
    with pytest.raises(OptionError, match=next(iter(options))):
        runtime.load(folder, **options)


def test_a_wrong_batch_size_raises_at_the_call(classifier):
    with pytest.raises(OptionError, match="batch_size"):
        classifier.predict_many([], batch_size=0)
    with pytest.raises(OptionError, match="workers"):
        classifier.predict_many([], workers=0)


def test_thresholds_come_from_the_bundle_and_can_be_overridden(tmp_path):
    folder = tiny_bundle(tmp_path, TinyModel(gain=0.5, thresholds={"female": 0.9, "male": 0.6}))
    assert runtime.load(folder).predict(picture(RED)).label == "uncertain"  # 0.73
    assert runtime.load(folder).predict(picture(RED)).raw_label == "Female"
    assert runtime.load(folder).predict(picture(GREEN)).label == "male"
    assert runtime.load(folder, threshold=0.7).predict(picture(RED)).label == "female"
    assert runtime.load(folder, threshold=0.99).predict(picture(GREEN)).label == "uncertain"


def test_temperature_comes_from_the_bundle(tmp_path):
    folder = tiny_bundle(tmp_path, TinyModel(temperature=8.0))
    assert runtime.load(folder).predict(picture(RED)).score == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "single_logit"])
def test_other_heads(tmp_path, activation):
    classifier = runtime.load(tiny_bundle(tmp_path, TinyModel(activation=activation)))
    assert classifier.predict(picture(RED)).label == "female"
    assert classifier.predict(picture(GREEN)).label == "male"


def test_any_number_of_classes(tmp_path):
    labels = (("LABEL_0", "cat"), ("LABEL_1", "dog"), ("LABEL_2", "bird"))
    answer = runtime.load(tiny_bundle(tmp_path, TinyModel(labels=labels))).predict(picture((0, 0, 255)))
    assert answer.label == "bird"
    assert answer.raw_label == "LABEL_2"
    assert list(answer.probabilities) == ["cat", "dog", "bird"]


def test_errors_when_loading(folder, tmp_path):
    with pytest.raises(ModelNotFoundError):
        runtime.load(tmp_path / "nowhere")
    with pytest.raises(VariantNotFoundError):
        runtime.load(folder, variant="q4")
    with pytest.raises(ProviderUnavailableError, match=r"no execution provider 'cuda'.*cpu"):
        runtime.load(folder, provider="cuda")


def test_a_graph_that_is_no_graph_is_a_broken_bundle(tmp_path):
    import hashlib
    import json

    folder = tiny_bundle(tmp_path)
    content = b"not onnx"
    (folder / "onnx/model.onnx").write_bytes(content)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["variants"]["fp32"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="cannot load"):
        runtime.load(folder)
    manifest["variants"]["fp32"]["sha256"] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleIntegrityError):
        runtime.load(folder)


def test_from_several_threads_at_once(classifier):
    barrier = threading.Barrier(8)

    def ask(number):
        barrier.wait(10)
        return [classifier.predict(picture(RED if number % 2 else GREEN)).label for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for number, labels in enumerate(pool.map(ask, range(8))):
            assert set(labels) == {"female" if number % 2 else "male"}


def _ask(classifier, content: bytes) -> tuple[Prediction, object]:
    return classifier.predict(content), classifier.options


def test_a_classifier_survives_pickling_to_a_spawned_process(folder):
    options = {
        "threads": 1,
        "threshold": 0.9999,
        "limits": runtime.Limits(max_pixels=10_000),
        "exact": False,
        "optimize": False,
    }
    classifier = runtime.load(folder, **options)
    buffer = io.BytesIO()
    picture(RED).save(buffer, "PNG")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        answer, seen = pool.submit(_ask, classifier, buffer.getvalue()).result(timeout=60)
    assert seen == classifier.options
    assert answer == classifier.predict(buffer.getvalue())
    assert answer.label == "uncertain"  # the threshold travelled
    copy = pickle.loads(pickle.dumps(classifier))
    assert copy.predict(picture((255, 0, 0), (200, 200))).status is Status.TOO_LARGE  # and the limits


def test_the_classifier_says_what_it_is(classifier):
    assert classifier.variant == "fp32"
    assert classifier.providers == ("cpu",)
    assert repr(classifier) == "<Classifier tiny fp32 on cpu>"
    assert classifier.manifest.meanings == ("female", "male")


def test_importing_the_package_is_cheap():
    import subprocess

    code = "import gender_classifier.runtime, sys; print(sorted({'numpy', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unoptimised_session_gives_the_same_answers():
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (90, 70, 3), np.uint8) for _ in range(3)]
    usual = runtime.load("gender-small", faces=False)
    quick = runtime.load("gender-small", faces=False, optimize=False)
    for one in pictures:
        assert quick.predict(one).probabilities == pytest.approx(usual.predict(one).probabilities, abs=1e-5)
