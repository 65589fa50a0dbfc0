"""A folder in the Hub's layout is used where it lies."""

from __future__ import annotations

import json
import os
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
        assert "  woman " in out

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


class TestHostileConfigurations:
    """A number that sizes something is bounded before it is used."""

    @pytest.mark.parametrize(
        "config",
        [
            '{"num_labels": 100000000, "model_type": "vit"}',
            '{"num_labels": -1, "model_type": "vit"}',
            '{"num_labels": "2", "model_type": "vit"}',
            '{"num_labels": ' + "9" * 400 + ', "model_type": "vit"}',
            '{"id2label": 5, "model_type": "vit"}',
            '{"id2label": [1, 2], "model_type": "vit"}',
            '{"id2label": {"0": "a\\u0000b", "1": "man"}, "model_type": "vit"}',
            '{"id2label": {"0": "woman\\ud800", "1": "man"}, "model_type": "vit"}',
            json.dumps({"id2label": {index: f"label {index}" for index in range(20_000)}, "model_type": "vit"}),
            '{"id2label": {"0": "' + "x" * 1_000_000 + '", "1": "man"}, "model_type": "vit"}',
            '{"model_type": ' + "[" * 100_000 + "}",
            '{"architectures": 3, "model_type": ["vit"]}',
        ],
    )
    def test_a_sentence_of_bounded_length(self, foreign, config):
        import tracemalloc

        (foreign / "config.json").write_text(config)
        tracemalloc.start()
        try:
            with pytest.raises(BundleError) as caught:
                onnx_folder.open_folder(foreign)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(str(caught.value)) < 3000
        assert peak < 100e6

    @pytest.mark.parametrize("size", [{"height": 10**9, "width": 10**9}, {"height": 8, "width": 10**400}, 10**12])
    def test_a_processor_of_any_size(self, foreign, size):
        edit(foreign, "preprocessor_config.json", size=size)
        with pytest.raises(BundleError):
            onnx_folder.open_folder(foreign)

    def test_a_configuration_that_has_no_end(self, foreign):
        (foreign / "config.json").write_bytes(b" " * (8 * 1024 * 1024 + 1))
        with pytest.raises(BundleError, match=r"config\.json cannot be read"):
            onnx_folder.open_folder(foreign)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
    @pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "onnx/model.onnx"])
    def test_a_fifo_is_not_waited_for(self, foreign, name):
        (foreign / name).unlink()
        os.mkfifo(foreign / name)
        with pytest.raises(BundleError):
            onnx_folder.open_folder(foreign)
