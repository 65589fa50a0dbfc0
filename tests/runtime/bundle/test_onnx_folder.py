"""A folder in the Hub's layout is used where it lies."""

from __future__ import annotations

import pickle
import shutil

import pytest
from PIL import Image

from gender_classifier import runtime
from gender_classifier.runtime.bundle import locate, onnx_folder
from gender_classifier.runtime.errors import BundleError, UnsupportedHeadError, VariantNotFoundError
from support import tiny_bundle
from support.foreign import edit

onnx = pytest.importorskip("onnx")


class TestInPlace:
    """``runtime.load(DIR)`` and ``--model DIR`` for a folder without bundle.json."""

    def test_the_answers_are_those_of_a_bundle(self, foreign, run, tmp_path):
        before = sorted(foreign.rglob("*"))
        picture = Image.effect_noise((37, 23), 90).convert("RGB")
        assert runtime.load(foreign).predict(picture) == runtime.load(tiny_bundle(tmp_path / "mine")).predict(picture)
        assert sorted(foreign.rglob("*")) == before

    def test_on_the_command_line(self, foreign, run, tmp_path):
        Image.new("RGB", (10, 10), (255, 0, 0)).save(tmp_path / "red.png")
        code, out, _ = run("--model", foreign, tmp_path / "red.png")
        assert code == 0
        assert ": woman" in out

    def test_by_the_environment(self, foreign, run, tmp_path, monkeypatch):
        monkeypatch.setenv(locate.MODEL_VARIABLE, str(foreign))
        Image.new("RGB", (10, 10), (255, 0, 0)).save(tmp_path / "red.png")
        assert run(tmp_path / "red.png")[0] == 0

    def test_a_variant(self, foreign):
        shutil.copy(foreign / "onnx/model.onnx", foreign / "onnx/model_q4.onnx")
        assert list(onnx_folder.open_folder(foreign, variant="q4").manifest.variants) == ["q4"]
        with pytest.raises(VariantNotFoundError, match="fp32, q4"):
            onnx_folder.open_folder(foreign, variant="int8")

    def test_a_label_map_belongs_to_add(self, foreign):
        edit(foreign, id2label={"0": "XX", "1": "XY"})
        with pytest.raises(UnsupportedHeadError, match="label map"):
            onnx_folder.open_folder(foreign)

    def test_a_folder_with_nothing_in_it(self, tmp_path, run):
        code, _, err = run("--model", tmp_path, tmp_path)
        assert code == 2
        assert "bundle.json" in err
        with pytest.raises(BundleError, match="not hold an ONNX model"):
            onnx_folder.open_folder(tmp_path)

    def test_it_survives_pickling_and_is_checked_again(self, foreign):
        classifier = runtime.load(str(foreign))
        picture = Image.new("RGB", (9, 9), "red")
        content = pickle.dumps(classifier)
        assert pickle.loads(content).predict(picture) == classifier.predict(picture)
        edit(foreign, "preprocessor_config.json", image_mean=[0, 0, 0])
        with pytest.raises(BundleError, match=r"preprocessor_config\.json"):
            pickle.loads(content)
