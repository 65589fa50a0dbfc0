"""``gender-classifier models add`` and ``--model`` for models that somebody else exported."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gender_classifier
from gender_classifier import runtime
from gender_classifier.gender_cli.models import add
from gender_classifier.gender_cli.models import hub as hub_client
from gender_classifier.gender_cli.models.hub import RemoteFile
from gender_classifier.runtime.bundle import locate, onnx_folder
from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.errors import BundleError, ModelNotFoundError, UnsupportedHeadError, VariantNotFoundError
from support import ROOT, TinyModel, tiny_bundle
from support.fake_hub import FakeHub

pytest.importorskip("huggingface_hub")
onnx = pytest.importorskip("onnx")

CARD = "---\nlicense: apache-2.0\ntags:\n- vision\n---\n# A model\n"


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv(locate.MODELS_VARIABLE, str(folder))
    monkeypatch.delenv(locate.MODEL_VARIABLE, raising=False)
    return folder


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A folder as another exporter leaves it: the Hub's layout, no bundle.json."""
    folder = tiny_bundle(tmp_path / "made-elsewhere")
    (folder / "bundle.json").unlink()
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


@pytest.fixture
def hub(monkeypatch):
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_TOKEN", "")
        yield server


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = gender_classifier.main([*map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def edit(folder: Path, name: str = "config.json", **changes: object) -> None:
    data = {**json.loads((folder / name).read_text()), **changes}
    (folder / name).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def save(folder: Path, nodes, inputs, outputs, weights=(), *, name="model.onnx", opset=17) -> Path:
    """Writes an ONNX file by hand; inputs and outputs are ``(name, type, shape)``."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    path = folder / "onnx" / name
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


FLOAT, DOUBLE = 1, 11
PIXELS = ("pixel_values", FLOAT, ["batch", 3, 8, 8])
LOGITS = ("logits", FLOAT, ["batch", 2])


def classify_nodes(classes: int = 2, source: str = "pixel_values", target: str = "logits"):
    weights = np.zeros((3, classes), np.float32)
    weights[0, 0] = weights[1, min(1, classes - 1)] = 4
    helper = onnx.helper
    nodes = [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], [target]),
    ]
    return nodes, [onnx.numpy_helper.from_array(weights, "weights")]


def left_in(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


class TestFromTheHub:
    def test_a_repository_becomes_a_model_that_answers(self, models, foreign, hub, run, tmp_path):
        sha = hub.add("org/some-model", foreign)
        Image.new("RGB", (10, 10), (255, 0, 0)).save(tmp_path / "red.png")
        code, _out, err = run("models", "add", "org/some-model", "--revision", sha)
        assert code == 0, err
        assert sha in err
        manifest = Bundle.open(models / "some-model").manifest
        assert (manifest.source.kind, manifest.source.repository) == ("hub", "org/some-model")
        assert (manifest.source.revision, manifest.source.license) == (sha, "apache-2.0")
        assert manifest.variants["fp32"].parity is None
        assert (manifest.variants["fp32"].opset, manifest.variants["fp32"].ir_version) == (17, 8)
        assert left_in(models) == ["some-model"]
        assert run("--model", "some-model", tmp_path / "red.png")[1].startswith(f"{tmp_path / 'red.png'}: woman")
        assert run("models", "verify", "some-model")[0] == 0

    def test_the_answers_are_those_of_the_model_it_was_made_from(self, models, foreign, hub, run, tmp_path):
        hub.add("org/name", foreign)
        assert run("models", "add", "org/name")[0] == 0
        mine = runtime.load(tiny_bundle(tmp_path / "mine"))
        theirs = runtime.load(models / "name")
        picture = Image.effect_noise((37, 23), 90).convert("RGB")
        assert mine.predict(picture).people == theirs.predict(picture).people

    def test_model_takes_the_repository_once_it_was_added(self, models, foreign, hub, run, tmp_path):
        Image.new("RGB", (10, 10), (0, 255, 0)).save(tmp_path / "green.png")
        code, _, err = run("--model", "org/name", tmp_path / "green.png")
        assert code == 2
        assert "models add org/name" in err
        hub.add("org/name", foreign)
        assert run("models", "add", "org/name", "--name", "other")[0] == 0
        code, out, _ = run("--model", "org/name", tmp_path / "green.png")
        assert (code, ": man" in out) == (0, True)
        assert "model other (org/name " in run("--model", "org/name", "--version")[1]

    def test_without_a_revision_the_newest_commit_is_taken_and_stored(self, models, foreign, hub, run):
        old = hub.add("org/name", foreign)
        edit(foreign, transformers_version="4.57.6")
        new = hub.add("org/name", foreign)
        assert run("models", "add", "org/name")[0] == 0
        assert run("models", "add", "org/name", "--revision", old, "--name", "older")[0] == 0
        assert Bundle.open(models / "name").manifest.source.revision == new
        assert Bundle.open(models / "older").manifest.source.revision == old
        assert "transformers_version" not in (models / "older/config.json").read_text()

    def test_nothing_but_the_known_files_is_requested(self, models, foreign, hub, run):
        for name in (
            "pytorch_model.bin",
            "model.py",
            "training_args.bin",
            "optimizer.pt",
            "notes.pkl",
            "onnx/evil.onnx",
        ):
            (foreign / name).write_bytes(b"never")
        (foreign / "model.safetensors").write_bytes(b"never")
        shutil.copy(foreign / "onnx/model.onnx", foreign / "onnx/model_fp16.onnx")
        hub.add("org/name", foreign)
        assert run("models", "add", "org/name")[0] == 0
        asked = {line.split("/resolve/")[1].split("/", 1)[1] for line in hub.requests if "/resolve/" in line}
        assert asked == {"config.json", "preprocessor_config.json", "README.md", "onnx/model.onnx"}
        there = {
            path.relative_to(models / "name").as_posix() for path in (models / "name").rglob("*") if path.is_file()
        }
        assert there == asked | {"bundle.json"}

    @pytest.mark.parametrize(
        ("prepare", "sentence"),
        [
            (lambda hub: None, "no model org/name"),
            (lambda hub: hub.add("org/name", {"config.json": b"{}"}, private=True), "not logged in"),
            (lambda hub: hub.add("org/name", {"config.json": b"{}"}), "no ONNX model"),
            (lambda hub: hub.add("org/name", {"onnx/model.onnx": b"x"}, gated=True), "gated"),
        ],
    )
    def test_what_the_hub_does_not_give(self, models, hub, run, prepare, sentence):
        prepare(hub)
        code, out, err = run("models", "add", "org/name")
        assert (code, out) == (1, "")
        assert sentence in err
        assert "Traceback" not in err
        assert left_in(models) == []

    def test_a_revision_that_is_not_there(self, models, foreign, hub, run):
        hub.add("org/name", foreign)
        code, _, err = run("models", "add", "org/name", "--revision", "ab" * 20)
        assert code == 1
        assert "no revision " + "ab" * 20 in err

    def test_a_download_that_is_cut_off(self, models, foreign, hub, run):
        hub.add("org/name", foreign)
        hub.cut_after = 40
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "org/name could not be downloaded" in err or "did not arrive" in err
        assert left_in(models) == []

    def test_no_network(self, models, run, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "http://127.0.0.1:9 cannot be reached" in err
        assert len(err.splitlines()) == 1

    def test_offline_by_choice(self, models, hub):
        done = subprocess.run(
            [sys.executable, str(ROOT / "gender_classifier.py"), "models", "add", "org/name"],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "HF_HUB_OFFLINE is set" in done.stderr
        assert hub.requests == []

    def test_a_disk_that_is_too_small(self, models, foreign, hub, run, monkeypatch):
        hub.add("org/name", foreign)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "left" in err
        assert left_in(models) == []

    def test_a_disk_that_fills_up_meanwhile(self, models, foreign, hub, run, monkeypatch):
        hub.add("org/name", foreign)

        def full(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "disk is full" in err
        assert left_in(models) == []

    def test_without_the_package(self, models, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "gender-classifier[hub]" in err

    def test_bytes_that_are_not_those_the_hub_describes(self, models, foreign, hub, run, monkeypatch):
        hub.add("org/name", foreign)
        look_up = hub_client.look_up

        def described(*args):
            found = look_up(*args)
            told = RemoteFile("onnx/model.onnx", found.files["onnx/model.onnx"].size, "0" * 64)
            return dataclasses.replace(found, files={**found.files, "onnx/model.onnx": told})

        monkeypatch.setattr(hub_client, "look_up", described)
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "onnx/model.onnx of org/name did not arrive as the Hub describes it" in err
        assert left_in(models) == []

    def test_a_model_card_without_end_is_left_alone(self, models, foreign, hub, run):
        (foreign / "README.md").write_bytes(b"x" * (8 * 1024 * 1024 + 1))
        hub.add("org/name", foreign)
        assert run("models", "add", "org/name")[0] == 0
        assert not any("README" in line for line in hub.requests)

    def test_weights_in_a_second_file_are_left_alone(self, models, foreign, hub, run):
        (foreign / "onnx/model.onnx_data").write_bytes(b"weights")
        hub.add("org/name", foreign)
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "second file" in err
        shutil.copy(foreign / "onnx/model.onnx", foreign / "onnx/model_quantized.onnx")
        hub.add("org/name", foreign)
        assert run("models", "add", "org/name")[0] == 0
        assert list(Bundle.open(models / "name").manifest.variants) == ["int8"]
        assert "GET /org/name/resolve" not in "".join(line for line in hub.requests if "onnx_data" in line)


class TestBundles:
    """Repositories and folders that hold a bundle of this program's own making."""

    @pytest.fixture
    def bundle(self, tmp_path) -> Path:
        spec = TinyModel(name="ours", framing="face", margin=0.25, temperature=2.0, thresholds={"female": 0.75})
        folder = tiny_bundle(tmp_path / "made-here", spec)
        shutil.copy(folder / "onnx/model.onnx", folder / "onnx/model_q4.onnx")
        variant = json.loads((folder / "bundle.json").read_text())["variants"]["fp32"]
        q4 = {**variant, "file": "onnx/model_q4.onnx"}
        edit(folder, "bundle.json", variants={"q4": q4, "fp32": variant}, default_variant="q4", notes=["A note."])
        for name in ("evil.py", "pytorch_model.bin"):
            (folder / name).write_bytes(b"never")
        return folder

    def test_what_its_manifest_says_is_kept(self, models, bundle, hub, run):
        sha = hub.add("org/ours-on-the-hub", bundle)
        assert run("models", "add", "org/ours-on-the-hub")[0] == 0
        before = Bundle.open(bundle).manifest
        after = Bundle.open(models / "ours-on-the-hub").manifest
        notes = ("A note.", f"Downloaded from org/ours-on-the-hub at {sha}")
        assert after == dataclasses.replace(before, name="ours-on-the-hub", notes=notes)
        assert not any("evil" in line or "pytorch" in line for line in hub.requests if "/resolve/" in line)
        assert onnx_folder.open_model("org/ours-on-the-hub") == models / "ours-on-the-hub"

    def test_from_a_folder(self, models, bundle, run):
        assert run("models", "add", bundle)[0] == 0
        assert Bundle.open(models / "ours").manifest.decision.thresholds == {"female": 0.75}
        assert not (models / "ours/evil.py").exists()

    def test_some_of_its_variants(self, models, bundle, run):
        assert run("models", "add", bundle, "--variant", "fp32")[0] == 0
        manifest = Bundle.open(models / "ours").manifest
        assert (list(manifest.variants), manifest.default_variant) == (["fp32"], "fp32")
        assert not (models / "ours/onnx/model_q4.onnx").exists()
        code, _, err = run("models", "add", bundle, "--name", "b", "--variant", "int8")
        assert code == 1
        assert "it has: q4, fp32" in err

    @pytest.mark.parametrize("option", [["--label-map", "Female=male,Male=female"], ["--framing", "image"]])
    def test_it_says_itself_what_it_means(self, models, bundle, run, option):
        code, _, err = run("models", "add", bundle, *option)
        assert code == 2
        assert "bundle.json" in err

    @pytest.mark.parametrize("name", ["onnx/model_q4.onnx", "config.json"])
    def test_a_file_that_is_not_the_one_it_names(self, models, bundle, hub, run, name):
        (bundle / name).write_bytes((bundle / name).read_bytes() + b" ")
        hub.add("org/ours", bundle)
        code, _, err = run("models", "add", "org/ours")
        assert code == 1
        assert name in err
        assert left_in(models) == []

    def test_a_file_that_is_not_there(self, models, bundle, hub, run):
        (bundle / "onnx/model_q4.onnx").unlink()
        hub.add("org/ours", bundle)
        assert "lacks onnx/model_q4.onnx" in run("models", "add", "org/ours")[2]
        assert "lacks onnx/model_q4.onnx" in run("models", "add", bundle)[2]

    @pytest.mark.parametrize("path", ["evil.py", "pytorch_model.bin", "../../evil.json", "/etc/passwd"])
    def test_a_manifest_that_names_what_no_bundle_holds(self, models, bundle, hub, run, path):
        files = json.loads((bundle / "bundle.json").read_text())["files"]
        edit(bundle, "bundle.json", files={**files, path: {"bytes": 5, "sha256": hashlib.sha256(b"never").hexdigest()}})
        hub.add("org/ours", bundle)
        code, _, err = run("models", "add", "org/ours")
        assert code == 1
        assert path in err
        assert left_in(models) == []

    def test_a_manifest_of_another_format(self, models, bundle, run):
        edit(bundle, "bundle.json", format_version=99)
        code, _, err = run("models", "add", bundle)
        assert code == 1
        assert "format_version" in err

    def test_a_bundle_of_something_else(self, models, tmp_path, run):
        bundle = tiny_bundle(tmp_path / "made-here", TinyModel(labels=(("cat", "cat"), ("dog", "dog"))))
        code, _, err = run("models", "add", bundle)
        assert code == 1
        assert "cat, dog" in err


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

    def test_what_a_killed_run_left_is_swept_away_a_day_later(self, models, foreign, run):
        for name, age in ((".adding-old", 25 * 3600), (".removing-old", 25 * 3600), (".adding-new", 60)):
            (models / name).mkdir(parents=True)
            os.utime(models / name, (time.time() - age,) * 2)
        assert run("models", "add", foreign)[0] == 0
        assert left_in(models) == [".adding-new", "tiny"]

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
        assert run("models", "add", foreign, "--framing", "face", "--margin", "0.4")[0] == 0
        framing = Bundle.open(models / "tiny").manifest.framing
        assert (framing.kind, framing.margin) == ("face", 0.4)
        assert run("models", "add", foreign, "--name", "b", "--margin", "0.4")[0] == 2
        assert run("models", "add", foreign, "--name", "b", "--framing", "face", "--margin", "9")[0] == 2


class TestGraphs:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "classes", "sentence"),
        [
            ([PIXELS], [("logits", FLOAT, ["batch", 3])], 3, "logits (float32, any x 3)"),
            ([("pixel_values", FLOAT, ["batch", 3, 16, 16])], [LOGITS], 2, "16 pixels where the processor makes 8"),
            ([("pixel_values", FLOAT, ["batch", 1, 8, 8])], [LOGITS], 2, "1 channels"),
            ([("pixel_values", FLOAT, [4, 3, 8, 8])], [("logits", FLOAT, [4, 2])], 2, "exactly 4 pictures"),
            ([("pixel_values", FLOAT, ["batch", 192])], [LOGITS], 2, "one float32 input"),
            ([PIXELS, ("ages", FLOAT, ["batch"])], [LOGITS], 2, "pixel_values (float32, any x 3 x 8 x 8), ages"),
            (
                [("pixel_values", DOUBLE, ["batch", 3, 8, 8])],
                [("logits", DOUBLE, ["batch", 2])],
                2,
                "one float32 input",
            ),
        ],
    )
    def test_a_graph_that_does_not_fit(self, models, foreign, run, inputs, outputs, classes, sentence):
        nodes, weights = classify_nodes(classes)
        save(foreign, nodes, inputs, outputs, weights)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert sentence in err
        assert left_in(models) == []

    def test_two_outputs_without_logits(self, models, foreign, run):
        nodes, weights = classify_nodes(target="gender")
        nodes.append(onnx.helper.make_node("Identity", ["gender"], ["age"]))
        save(foreign, nodes, [PIXELS], [("gender", FLOAT, ["batch", 2]), ("age", FLOAT, ["batch", 2])], weights)
        assert "gender (float32, any x 2), age" in run("models", "add", foreign)[2]

    def test_of_several_outputs_logits_counts(self, models, foreign, run):
        nodes, weights = classify_nodes()
        nodes.append(onnx.helper.make_node("Identity", ["flat"], ["hidden"]))
        save(foreign, nodes, [PIXELS], [("hidden", FLOAT, ["batch", 3]), LOGITS], weights)
        assert run("models", "add", foreign)[0] == 0
        assert Bundle.open(models / "tiny").manifest.io.output_name == "logits"

    def test_other_names_and_free_sizes(self, models, foreign, run):
        nodes, weights = classify_nodes(source="x", target="y")
        save(foreign, nodes, [("x", FLOAT, ["n", "c", "h", "w"])], [("y", FLOAT, ["n", "k"])], weights)
        assert run("models", "add", foreign)[0] == 0
        io = Bundle.open(models / "tiny").manifest.io
        assert (io.input_name, io.output_name, io.height, io.width) == ("x", "y", 8, 8)

    def test_one_picture_at_a_time(self, models, foreign, run):
        nodes, weights = classify_nodes()
        save(foreign, nodes, [("pixel_values", FLOAT, [1, 3, 8, 8])], [("logits", FLOAT, [1, 2])], weights)
        assert run("models", "add", foreign)[0] == 0
        pictures = [Image.new("RGB", (9, 9), colour) for colour in ("red", "lime", "red")]
        assert [one.label for one in runtime.load(models / "tiny").predict_many(pictures)] == [
            "female",
            "male",
            "female",
        ]

    def test_values_that_are_no_numbers(self, models, foreign, run):
        nodes, weights = classify_nodes(target="raw")
        nodes.append(onnx.helper.make_node("Div", ["raw", "zero"], ["logits"]))
        zero = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")
        save(foreign, nodes, [PIXELS], [LOGITS], [*weights, zero])
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "no numbers" in err

    def test_an_operator_that_this_onnxruntime_lacks(self, models, foreign, run):
        nodes = [onnx.helper.make_node("NoSuchOperator", ["pixel_values"], ["logits"], domain="com.microsoft")]
        save(foreign, nodes, [PIXELS], [LOGITS])
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "NoSuchOperator" in err

    def test_external_data(self, models, foreign, run):
        proto = onnx.load(foreign / "onnx/model.onnx")
        onnx.save(proto, foreign / "onnx/model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert "w.bin" in err
        assert "self-contained" in err
        with pytest.raises(BundleError, match=r"w\.bin"):
            onnx_folder.open_folder(foreign)

    @pytest.mark.parametrize("content", [b"", b"no onnx file", b"version https://git-lfs.github.com/spec/v1\noid"])
    def test_no_onnx_file(self, models, foreign, run, content):
        (foreign / "onnx/model.onnx").write_bytes(content)
        code, _, err = run("models", "add", foreign)
        assert code == 1
        assert ("git lfs pull" if b"lfs" in content else "no ONNX file") in err

    def test_dynamic_quantisation_is_recorded(self, models, foreign, run):
        quantization = pytest.importorskip("onnxruntime.quantization")
        source = foreign / "onnx/model.onnx"
        quantization.quantize_dynamic(source, foreign / "onnx/model_quantized.onnx")
        assert run("models", "add", foreign)[0] == 0
        variants = Bundle.open(models / "tiny").manifest.variants
        assert list(variants) == ["fp32", "int8"]
        assert variants["fp32"].quantization is None
        assert variants["int8"].quantization["mode"] == "dynamic"
        # Activations are scaled by the batch, so that the runtime has to run such a graph picture by picture.
        assert runtime.load(models / "tiny", variant="int8").network._step == 1


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


class TestInPlace:
    """``--model DIR`` for a folder without bundle.json."""

    def test_the_answers_are_those_of_a_bundle(self, foreign, run, tmp_path):
        before = sorted(foreign.rglob("*"))
        picture = Image.effect_noise((37, 23), 90).convert("RGB")
        opened = onnx_folder.open_model(foreign)
        assert runtime.load(opened).predict(picture) == runtime.load(tiny_bundle(tmp_path / "mine")).predict(picture)
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
        with pytest.raises(UnsupportedHeadError, match=r"models add .*made-elsewhere/tiny"):
            onnx_folder.open_folder(foreign)

    def test_a_folder_with_nothing_in_it(self, tmp_path, run):
        code, _, err = run("--model", tmp_path, tmp_path)
        assert code == 2
        assert "bundle.json" in err
        with pytest.raises(BundleError, match="no ONNX model"):
            onnx_folder.open_folder(tmp_path)

    def test_a_bundle_stays_a_bundle(self, tmp_path):
        bundle = tiny_bundle(tmp_path)
        assert onnx_folder.open_model(bundle) == bundle
        assert onnx_folder.open_model("some-name") == "some-name"
        assert onnx_folder.open_model(None) is None
        with pytest.raises(ModelNotFoundError, match="models add org/name"):
            onnx_folder.open_model("org/name")

    def test_an_installed_name_is_not_taken_by_a_folder_that_lies_here(self, models, foreign, monkeypatch):
        tiny_bundle(models)
        monkeypatch.chdir(foreign.parent)
        assert onnx_folder.open_model("tiny") == "tiny"
        assert onnx_folder.open_model("./tiny").path == Path("tiny")

    def test_it_survives_pickling_and_is_checked_again(self, foreign):
        classifier = runtime.load(onnx_folder.open_model(foreign))
        picture = Image.new("RGB", (9, 9), "red")
        content = pickle.dumps(classifier)
        assert pickle.loads(content).predict(picture) == classifier.predict(picture)
        edit(foreign, "preprocessor_config.json", image_mean=[0, 0, 0])
        with pytest.raises(BundleError, match=r"preprocessor_config\.json"):
            pickle.loads(content)


def test_a_name_is_checked_before_anything_is_downloaded(models, hub, monkeypatch):
    request = add.Request("org/name", name=locate.BUILTIN_NAME)
    with pytest.raises(ValueError, match="already"):
        add.add(request, print)
    assert hub.requests == []
