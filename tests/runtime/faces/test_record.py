"""Which detector is used, and what the record beside its file decides."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from gender_classifier.runtime.bundle import locate
from gender_classifier.runtime.errors import DetectorError, ModelNotFoundError, OptionError
from gender_classifier.runtime.faces.detector import Detector
from gender_classifier.runtime.faces.record import (
    DEFAULT_DETECT_SIZE,
    DEFAULT_THRESHOLD,
    DETECTOR_VARIABLE,
    FILE_NAME,
    RECORD_NAME,
    builtin,
    chosen,
)
from support import ROOT
from support.tiny_detector import red_detector


def write_record(path, **named):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(RECORD_NAME).write_text(json.dumps({"file": path.name, "sha256": digest} | named))


def test_the_package_carries_a_detector_that_fits_its_record():
    detector = Detector.load(builtin())
    record = json.loads(builtin().with_name(RECORD_NAME).read_text(encoding="utf-8"))
    assert (detector.threshold, detector.detect_size) == (record["threshold"], record["detect_size"])
    assert builtin().stat().st_size == record["bytes"] <= 350_000
    assert record["license"] == "CC-BY-4.0"


def test_threshold_and_size_are_those_of_the_record_unless_given(tmp_path):
    path = red_detector(tmp_path / FILE_NAME)
    assert (Detector.load(path).threshold, Detector.load(path).detect_size) == (DEFAULT_THRESHOLD, DEFAULT_DETECT_SIZE)
    write_record(path, threshold=0.65, detect_size=800)
    assert (Detector.load(path).threshold, Detector.load(path).detect_size) == (0.65, 800)
    assert Detector.load(path, threshold=0.3, detect_size=1600).threshold == 0.3
    assert Detector.load(path, threshold=0.3, detect_size=1600).detect_size == 1600


def test_a_record_of_another_file_says_nothing(tmp_path):
    path = red_detector(tmp_path / FILE_NAME)
    write_record(path, threshold=0.65)
    other = red_detector(tmp_path / "other.onnx", times=2)
    assert Detector.load(other).threshold == DEFAULT_THRESHOLD


def test_a_threshold_that_cannot_be_is_refused(tmp_path):
    path = red_detector(tmp_path / FILE_NAME)
    write_record(path, threshold=1.5)
    with pytest.raises(OptionError, match=r"threshold is 1\.5"):
        Detector.load(path)


def test_changed_file_is_refused(tmp_path):
    path = red_detector(tmp_path / FILE_NAME)
    write_record(path)
    Detector.load(path)
    red_detector(path, times=2)
    with pytest.raises(DetectorError, match="was changed since it was installed"):
        Detector.load(path)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"file": 3}', '{"file": "x", "sha256": "0", "threshold": "high"}', "[" * 10000]
)
def test_unreadable_record_is_refused(tmp_path, text):
    path = red_detector(tmp_path / FILE_NAME)
    (tmp_path / RECORD_NAME).write_text(text)
    with pytest.raises(DetectorError, match="record of the face detector"):
        Detector.load(path)


def test_an_added_detector_comes_before_the_built_in_one(tmp_path, monkeypatch):
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    monkeypatch.setattr(locate, "user_dir", lambda: tmp_path)
    assert chosen() == builtin()
    (tmp_path / "detector").mkdir()
    path = red_detector(tmp_path / "detector" / FILE_NAME)
    assert chosen() == path


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_home_that_may_not_be_read_holds_no_detector(tmp_path):
    """A service that runs as another user, with the HOME of the one who started it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    # Imported before the change of user, who may not be allowed to read this checkout either.
    code = (
        "import os; from gender_classifier.runtime.faces.record import builtin, chosen; "
        "os.setuid(65534); print(chosen() == builtin())"
    )
    names = ("HOME", "XDG_DATA_HOME", DETECTOR_VARIABLE, "GENDER_CLASSIFIER_MODELS")
    environment = {key: value for key, value in os.environ.items() if key not in names} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("failure", [PermissionError(13, "denied"), OSError(40, "loop"), RuntimeError("no home")])
def test_a_place_that_cannot_be_looked_at_holds_no_detector(monkeypatch, failure):
    def broken():
        raise failure

    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    monkeypatch.setattr(locate, "user_dir", broken)
    assert chosen() == builtin()


def test_variable_comes_first_and_is_never_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr(locate, "user_dir", lambda: tmp_path)
    monkeypatch.setenv(DETECTOR_VARIABLE, str(tmp_path / "mistyped.onnx"))
    assert chosen() == tmp_path / "mistyped.onnx"
    with pytest.raises(ModelNotFoundError):
        Detector.load(chosen())
