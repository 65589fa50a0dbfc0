"""``gender-classifier models add ORG/NAME``, against a Hub on 127.0.0.1."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from gender_classifier import runtime
from gender_classifier.runtime.bundle import hub as hub_client
from gender_classifier.runtime.bundle import resolve
from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.bundle.hub import RemoteFile
from support import ROOT, TinyModel, heed_interrupts, tiny_bundle
from support.foreign import edit, left_in

onnx = pytest.importorskip("onnx")


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
        assert left_in(models) == [".origins", "some-model"]
        assert run("--model", "some-model", tmp_path / "red.png")[1].startswith(f"{tmp_path / 'red.png'}  woman ")
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
        assert (code, "  man " in out) == (0, True)
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
            (lambda hub: hub.add("org/name", {"config.json": b"{}"}), "not hold an ONNX model"),
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

    def test_a_download_that_is_cut_off(self, models, foreign, hub, run, monkeypatch):
        monkeypatch.setattr(hub_client, "_PAUSE_S", 0)
        hub.add("org/name", foreign)
        hub.cut_after = 0
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

        monkeypatch.setattr(hub_client, "_get", full)
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert "disk is full" in err
        assert left_in(models) == []

    def test_without_the_package(self, models, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        code, _, err = run("models", "add", "org/name")
        assert code == 1
        assert '[hub]"' in err

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
        spec = TinyModel(name="ours", framing="box", margin=0.25, temperature=2.0, thresholds={"female": 0.75})
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
        assert after == dataclasses.replace(before, name="ours-on-the-hub")
        assert not any("evil" in line or "pytorch" in line for line in hub.requests if "/resolve/" in line)
        assert resolve.open_model("org/ours-on-the-hub", revision=sha).bundle.path == models / "ours-on-the-hub"
        assert f"added from  org/ours-on-the-hub@{sha}" in run("models", "show", "ours-on-the-hub")[1]

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
        assert ".new-" not in err
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


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_packages_are_imported_or_the_hub_is_asked_is_quiet(hub, foreign, tmp_path):
    """An import that is interrupted takes it for a failure of its own, or says that it ignored it."""
    hub.add("org/name", foreign)
    hub.behave = lambda _: time.sleep(0.1)
    generator, codes = random.Random(0), set()
    code = "import sys, gender_classifier as g; print('up', flush=True); sys.exit(g.main())"
    for number in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", code, "models", "add", "org/name"],
            env={**os.environ, **hub.environment(tmp_path), "GENDER_CLASSIFIER_MODELS": str(tmp_path / str(number))},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=heed_interrupts,
        )
        assert process.stdout.readline() == b"up\n"
        time.sleep(generator.uniform(0.05, 1))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert b"Traceback" not in err
        codes.add(process.returncode)
    assert codes <= {130, 0}, "0: it was over"
    assert 130 in codes
