"""A pickled classifier comes back as the model of that name and identity; where it was is only a hint."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import gender_classifier as gc
from gender_classifier.runtime.bundle import locate
from gender_classifier.runtime.errors import DetectorError, ModelNotFoundError
from support import ROOT, TinyModel, tiny_bundle
from support.tiny_detector import red_detector

RED = Image.new("RGB", (64, 64), (255, 0, 0))


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch) -> Path:
    """The one folder in which models are found by name."""
    monkeypatch.setenv(locate.MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "models"


def recalibrated(folder: Path) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["decision"]["temperature"] = 3.0
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_it_comes_back_from_where_it_was(tmp_path):
    classifier = gc.load(tiny_bundle(tmp_path), threshold=0.25, threads=1)
    again = pickle.loads(pickle.dumps(classifier))
    assert again.predict(RED) == classifier.predict(RED)
    assert (again.options, again.notices, again.bundle.path) == (
        classifier.options,
        classifier.notices,
        classifier.bundle.path,
    )


def test_it_is_found_by_name_where_the_path_leads_nowhere(tmp_path, models):
    folder = tiny_bundle(tmp_path / "there")
    classifier = gc.load(folder)
    data = pickle.dumps(classifier)
    models.mkdir()
    shutil.move(folder, models / "tiny")
    again = pickle.loads(data)
    assert again.bundle.path == models / "tiny"
    assert again.predict(RED) == classifier.predict(RED)


def test_it_is_found_by_name_where_another_model_took_its_place(tmp_path, models):
    folder = tiny_bundle(tmp_path / "there")
    classifier = gc.load(folder)
    data = pickle.dumps(classifier)
    shutil.copytree(folder, models / "tiny")
    recalibrated(folder)
    assert pickle.loads(data).bundle.path == models / "tiny"


@pytest.mark.parametrize("there", ["nothing", "another", "broken"])
def test_another_model_of_that_name_is_not_taken_for_it(tmp_path, models, there):
    folder = tiny_bundle(tmp_path / "there")
    classifier = gc.load(folder)
    data = pickle.dumps(classifier)
    if there != "nothing":
        shutil.copytree(folder, models / "tiny")
        recalibrated(models / "tiny")
    if there == "broken":
        (models / "tiny/bundle.json").write_text("{")
    shutil.rmtree(folder)
    with pytest.raises(ModelNotFoundError) as caught:
        pickle.loads(data)
    assert classifier.identity in str(caught.value)
    assert str(folder) in str(caught.value)


def test_the_detector_is_the_same_or_it_is_an_error(tmp_path, monkeypatch):
    folder = tiny_bundle(tmp_path, TinyModel(framing="box", margin=0.25))
    detector = red_detector(tmp_path / "one.onnx", stride=32)
    classifier = gc.load(folder, faces=gc.Faces(detector, limit=1))
    data = pickle.dumps(classifier)
    shutil.move(detector, tmp_path / "two.onnx")
    monkeypatch.setenv("GENDER_CLASSIFIER_DETECTOR", str(tmp_path / "two.onnx"))
    again = pickle.loads(data)
    assert again.predict(RED) == classifier.predict(RED)
    assert again.options.faces.limit == 1
    red_detector(tmp_path / "two.onnx", stride=16)
    with pytest.raises(DetectorError, match="not the one here"):
        pickle.loads(data)


def test_it_travels_between_two_installations(tmp_path):
    """The built-in model lies inside each of them, and is the same; a copy of the package stands for a wheel."""
    copy = tmp_path / "site-packages/gender_classifier"
    copy.mkdir(parents=True)
    shutil.copy(ROOT / "gender_classifier.py", copy / "__init__.py")
    for room in ("runtime", "gender_cli"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models/gender-small", copy / "models/gender-small")
    code = {
        "out": "import sys, pickle, gender_classifier as gc; c = gc.load(faces=False, threads=1)\n"
        "sys.stdout.buffer.write(pickle.dumps((c, c.predict(sys.argv[1]))))",
        "in": "import sys, pickle, gender_classifier as gc; c, expected = pickle.loads(sys.stdin.buffer.read())\n"
        "assert c.predict(sys.argv[1]) == expected; print(c.bundle.path)",
    }

    def python(where: Path, what: str, data: bytes = b"") -> bytes:
        done = subprocess.run(
            [sys.executable, "-c", code[what], str(ROOT / "examples/average-man.jpg")],
            input=data,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(where)},
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    into_copy = python(copy.parent, "in", python(ROOT, "out"))
    assert Path(into_copy.decode().strip()) == ROOT / "models/gender-small", "the hint is right: it lies there as well"
    data = python(copy.parent, "out")
    shutil.move(copy.parent, tmp_path / "gone")
    assert Path(python(ROOT, "in", data).decode().strip()) == ROOT / "models/gender-small"
    assert Path(python(tmp_path / "gone", "in", data).decode().strip()).is_relative_to(tmp_path / "gone")
