"""``gender-classifier models add``: names, heads, configurations and variants of what is added."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gender_classifier.gender_cli.models import add
from gender_classifier.runtime.bundle import locate
from gender_classifier.runtime.bundle.bundle import Bundle
from support import ROOT
from support.foreign import FLOAT, PIXELS, classify_nodes, edit, left_in, save

onnx = pytest.importorskip("onnx")


class TestNames:
    def test_a_taken_name(self, models, foreign, run):
        assert run("models", "add", foreign)[0] == 0
        before = (models / "tiny/bundle.json").read_bytes()
        code, _, err = run("models", "add", foreign)
        assert code == 2
        assert "models remove tiny" in err
        assert (models / "tiny/bundle.json").read_bytes() == before
        assert run("models", "add", foreign, "--name", "second")[0] == 0

    @pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", locate.BUILTIN_NAME, "x" * 97])
    def test_a_name_that_cannot_be(self, models, foreign, run, name):
        assert run("models", "add", foreign, f"--name={name}")[0] == (0 if name == "" else 2)
        assert left_in(models) == (["tiny"] if name == "" else [])

    def test_neither_folder_nor_repository(self, models, run):
        code, _, err = run("models", "add", "no/such/folder")
        assert code == 2
        assert "no/such/folder" in err

    def test_a_revision_of_a_folder(self, models, foreign, run):
        assert run("models", "add", foreign, "--revision", "ab" * 20)[0] == 2


class TestAtomic:
    def test_killed_before_the_end_there_is_no_model(self, models, foreign):
        code = (
            "import os, signal, sys\nimport gender_classifier\nfrom gender_classifier.gender_cli.models import add\n"
            "add._run = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            "gender_classifier.main(['models', 'add', sys.argv[1]])\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(foreign)], cwd=ROOT, env=dict(os.environ), check=False)
        assert done.returncode == -signal.SIGKILL
        assert not (models / "tiny").exists()
        assert locate.installed() == []

    def test_the_folder_that_was_checked_is_the_one_that_appears(self, models, foreign, run, monkeypatch):
        checked = []

        def look(bundle, *_):
            assert locate.installed() == []
            checked.append(bundle.path.stat().st_ino)

        monkeypatch.setattr(add, "_run", look)
        assert run("models", "add", foreign)[0] == 0
        assert checked == [(models / "tiny").stat().st_ino], "renamed, so that it appears whole"

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, foreign, run, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(locate.MODELS_VARIABLE, str(tmp_path / "file" / "models"))
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert str(tmp_path / "file" / "models") in err


class TestHeads:
    def test_the_labels_order_is_read(self, models, foreign, run):
        edit(foreign, id2label={"0": "Male", "1": "Female"})
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.meanings == ("male", "female")

    def test_unknown_words_need_a_label_map(self, models, foreign, run):
        edit(foreign, id2label={"0": "XX", "1": "XY"})
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "--label-map" in err
        assert left_in(models) == []
        assert run("models", "add", foreign, "--label-map", "XX=female,XY=male")[0] == 0
        assert Bundle.open(models / "tiny").manifest.meanings == ("female", "male")

    def test_a_label_map_that_cannot_be_read(self, models, foreign, run):
        assert run("models", "add", foreign, "--label-map", "XX:female")[0] == 2

    def test_a_network_that_is_no_classifier(self, models, foreign, run):
        edit(foreign, architectures=["ViTForMaskedImageModeling"])
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "ViTForMaskedImageModeling" in err

    def test_three_classes(self, models, foreign, run):
        edit(foreign, id2label={"0": "female", "1": "male", "2": "child"})
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "'child'" in err

    def test_regression(self, models, foreign, run):
        edit(foreign, problem_type="regression")
        assert "regression" in run("models", "add", foreign)[2]

    @pytest.mark.parametrize(
        "config",
        [
            {"architectures": ["AgeGenderViTModel"], "id2label": None},
            {"architectures": ["ViTForImageClassification"], "id2label": {"0": "LABEL_0", "1": "LABEL_1"}},
            {"architectures": ["ViTForImageClassification"], "id2label": None, "num_labels": 2},
            {"architectures": ["ViTForImageClassification"], "id2label": {"0": "age", "1": "gender"}},
        ],
    )
    def test_a_head_for_age_and_gender_is_refused_whatever_is_said(self, models, foreign, hub, run, config):
        edit(foreign, **config)
        hub.add("onnx-community/age-gender-prediction-ONNX", foreign)
        label_map = ["--label-map", "LABEL_0=male,LABEL_1=female"] if "age" not in str(config.get("id2label")) else []
        code, _, err = run("models", "add", "onnx-community/age-gender-prediction-ONNX", *label_map)
        assert code == 1
        assert "onnx-community/age-gender-prediction-ONNX cannot be used" in err
        assert left_in(models) == []

    def test_a_gender_head_may_have_age_in_its_name(self, models, foreign, hub, run):
        hub.add("org/age-and-gender", foreign)
        assert run("models", "add", "org/age-and-gender")[0] == 0

    def test_a_single_logit(self, models, foreign, run):
        edit(foreign, id2label={"0": "male"})
        nodes, weights = classify_nodes(1)
        save(foreign, nodes, [PIXELS], [("logits", FLOAT, ["batch", 1])], weights)
        assert run("models", "add", foreign)[0] == 0
        manifest = Bundle.open(models / "tiny").manifest
        assert (manifest.activation, manifest.meanings) == ("single_logit", ("female", "male"))

    def test_sigmoid(self, models, foreign, run):
        edit(foreign, problem_type="multi_label_classification")
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.activation == "sigmoid"

    def test_framing(self, models, foreign, run):
        assert run("models", "add", foreign, "--framing", "box", "--margin", "0.4")[0] == 0
        framing = Bundle.open(models / "tiny").manifest.framing
        assert (framing.kind, framing.margin) == ("box", 0.4)
        assert run("models", "add", foreign, "--name", "b", "--margin", "0.4")[0] == 2
        assert run("models", "add", foreign, "--name", "b", "--framing", "box", "--margin", "9")[0] == 2


class TestConfigurations:
    @pytest.mark.parametrize(
        ("name", "sentence"),
        [("config.json", "no config.json"), ("preprocessor_config.json", "no preprocessor_config.json")],
    )
    def test_a_missing_file(self, models, foreign, run, name, sentence):
        (foreign / name).unlink()
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert sentence in err

    @pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"a":' * 100_000])
    def test_a_broken_file(self, models, foreign, run, content):
        (foreign / "config.json").write_bytes(content)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "config.json" in err

    def test_a_processor_that_is_not_known(self, models, foreign, run):
        edit(foreign, "preprocessor_config.json", image_processor_type="MadeUpImageProcessor")
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "MadeUpImageProcessor" in err

    def test_the_nested_file_of_transformers_5(self, models, foreign, run):
        inner = json.loads((foreign / "preprocessor_config.json").read_text())
        (foreign / "preprocessor_config.json").unlink()
        (foreign / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.processor.file == "processor_config.json"

    def test_the_layout_of_optimum_cli(self, models, foreign, run):
        (foreign / "onnx/model.onnx").rename(foreign / "model.onnx")
        (foreign / "onnx").rmdir()
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.variants["fp32"].file == "onnx/model.onnx"

    def test_the_layout_of_optimum_cli_on_the_hub(self, models, foreign, hub, run):
        (foreign / "onnx/model.onnx").rename(foreign / "model.onnx")
        hub.add("org/name", foreign)
        assert run("models", "add", "org/name")[0] == 0
        assert Bundle.open(models / "name").variant_path() == models / "name/onnx/model.onnx"

    def test_no_licence(self, models, foreign, run):
        (foreign / "README.md").write_text("# license: mit, says nobody\n")
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.source.license is None


class TestVariants:
    @pytest.fixture
    def several(self, foreign) -> Path:
        for name in ("model_quantized", "model_int8", "model_uint8", "model_q4"):
            shutil.copy(foreign / "onnx/model.onnx", foreign / f"onnx/{name}.onnx")
        return foreign

    def test_the_usual_ones(self, models, several, run):
        assert run("models", "add", several)[0] == 0
        manifest = Bundle.open(models / "tiny").manifest
        assert list(manifest.variants) == ["fp32", "int8", "q4"]
        assert manifest.default_variant == "fp32"
        assert manifest.variants["int8"].file == "onnx/model_quantized.onnx"

    def test_named_ones(self, models, several, run):
        assert run("models", "add", several, "--variant", "uint8", "--variant", "q4")[0] == 0
        assert list(Bundle.open(models / "tiny").manifest.variants) == ["uint8", "q4"]

    def test_one_that_is_not_there(self, models, several, run):
        code, _, err = run("models", "add", several, "--variant", "fp16")
        assert code == 1
        assert "it has: fp32, int8, uint8, q4" in err

    def test_one_that_does_not_work_is_left_out_with_a_note(self, models, several, run):
        (several / "onnx/model_q4.onnx").write_bytes(b"broken")
        code, _, _err = run("models", "add", several)
        assert code == 0
        manifest = Bundle.open(models / "tiny").manifest
        assert list(manifest.variants) == ["fp32", "int8"]
        assert any("q4" in note for note in manifest.notes)
        assert not (models / "tiny/onnx/model_q4.onnx").exists()

    def test_one_that_was_asked_for_by_name_is_not_left_out(self, models, several, run):
        (several / "onnx/model_q4.onnx").write_bytes(b"broken")
        assert run("models", "add", several, "--variant", "fp32", "--variant", "q4")[0] == 1
        assert left_in(models) == []


def test_a_name_is_checked_before_anything_is_downloaded(models, hub, monkeypatch):
    request = add.Request("org/name", name=locate.BUILTIN_NAME)
    with pytest.raises(ValueError, match="already"):
        add.add(request, print)
    assert hub.requests == []
