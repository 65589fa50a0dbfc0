"""Which model is used: argument, environment, exported, built-in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import gender_classifier as gc
from gender_classifier.runtime.bundle import locate
from gender_classifier.runtime.bundle.resolve import folder_of
from gender_classifier.runtime.errors import ModelNotFoundError, StoreError
from support import TinyModel, tiny_bundle

PIXELS = np.zeros((20, 20, 3), np.uint8)


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(locate.MODELS_VARIABLE, str(folder))
    monkeypatch.delenv(locate.MODEL_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_path_and_a_name_lead_to_the_same_folder(models):
    folder = tiny_bundle(models)
    assert locate.find(folder) == folder
    assert locate.find("tiny") == folder
    assert locate.find("models/tiny").resolve() == folder


def test_a_folder_that_lies_here_does_not_stand_in_for_a_name(models, tmp_path):
    mine, impostor = tiny_bundle(models), tiny_bundle(tmp_path)
    tiny_bundle(tmp_path, TinyModel(locate.BUILTIN_NAME))
    assert locate.find("tiny") == mine
    assert locate.find("./tiny").resolve() == impostor
    assert locate.find(Path("tiny")).resolve() == impostor
    assert locate.find(locate.BUILTIN_NAME) == locate.builtin_path()
    tiny_bundle(tmp_path, TinyModel("only-here"))
    assert locate.find("only-here").resolve() == tmp_path / "only-here"


def test_without_a_home_what_needs_none_works(monkeypatch, tmp_path):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for variable in (locate.MODELS_VARIABLE, locate.MODEL_VARIABLE, "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(locate, "_checkout_models", lambda: None)
    assert locate.search_path() == []
    assert folder_of() == locate.builtin_path()
    assert gc.load(faces=False).predict(PIXELS).ok
    for ask in (locate.user_dir, locate.default_output_dir):
        with pytest.raises(StoreError, match=r"GENDER_CLASSIFIER_MODELS .* XDG_DATA_HOME"):
            ask()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert locate.default_output_dir() == tmp_path / "gender-classifier/models"


def test_a_frozen_application_without_its_data_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(locate, "PACKAGE", tmp_path)
    with pytest.raises(ModelNotFoundError, match="install the package again"):
        locate.builtin_path()
    monkeypatch.setattr(locate.sys, "frozen", True, raising=False)
    with pytest.raises(ModelNotFoundError, match="data files of the package gender_classifier"):
        locate.builtin_path()


def test_the_argument_wins_over_the_environment(models, monkeypatch):
    tiny_bundle(models, TinyModel("one"))
    two = tiny_bundle(models, TinyModel("two"))
    monkeypatch.setenv(locate.MODEL_VARIABLE, "two")
    assert locate.choose("one") == locate.Choice("one", "argument")
    for exported in (False, True):
        assert locate.choose(exported=exported) == locate.Choice("two", "variable")
    assert folder_of() == two
    assert gc.load().bundle.path == two


def test_the_bundle_exported_last_counts_for_the_command_line_alone(models):
    one, two = tiny_bundle(models, TinyModel("one")), tiny_bundle(models, TinyModel("two"))
    os.utime(two / "bundle.json", (1, 1))
    assert locate.choose(exported=True) == locate.Choice(one, "exported")
    os.utime(one / "bundle.json", (0, 0))
    assert locate.choose(exported=True) == locate.Choice(two, "exported")
    assert locate.choose() == locate.Choice(None, "built-in")
    classifier = gc.load()
    assert classifier.bundle.path == locate.builtin_path()
    assert classifier.notices[0] is gc.Notice.BUILTIN_MODEL


def test_a_temporary_folder_is_no_model(models):
    tiny_bundle(models, TinyModel(".tiny.tmp"))
    assert locate.installed() == []


def test_the_built_in_model_is_the_fallback(models):
    assert locate.choose(exported=True) == locate.Choice(None, "built-in")
    assert folder_of().name == locate.BUILTIN_NAME
    assert gc.Notice.BUILTIN_MODEL not in gc.load(locate.BUILTIN_NAME, faces=False).notices


def test_an_unknown_name_lists_those_there_are(models):
    tiny_bundle(models)
    with pytest.raises(ModelNotFoundError, match=r"no model 'other'.*gender-small, tiny"):
        locate.find("other")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_at_all(models, name):
    with pytest.raises(ModelNotFoundError):
        locate.find(name)


def test_the_current_folder_does_not_choose_the_model(models, tmp_path, monkeypatch):
    elsewhere = tmp_path / "download"
    (elsewhere / "models").mkdir(parents=True)
    tiny_bundle(elsewhere / "models", TinyModel("planted"))
    monkeypatch.chdir(elsewhere)
    assert folder_of() == locate.builtin_path()
    assert gc.load(faces=False).predict(PIXELS).ok


def test_the_user_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.setattr(locate.sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert locate.user_dir() == tmp_path / "gender-classifier" / "models"


def test_an_export_from_a_checkout_stays_there_and_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv(locate.MODELS_VARIABLE, raising=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(locate, "PACKAGE", tmp_path)
    assert locate.default_output_dir() == tmp_path / "models"
    assert tmp_path / "models" in locate.search_path()


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-that-name/model", "nul\0inside", "x/" + "y" * 300])
def test_a_name_that_no_file_system_takes_is_a_model_that_is_not_there(name, models):
    with pytest.raises(ModelNotFoundError, match="There is no model"):
        locate.find(name)
