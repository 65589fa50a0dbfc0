"""``runtime.load("ORG/NAME")``: what was added, then the Hugging Face cache, and the network only where it may."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import gender_classifier
from gender_classifier import runtime
from gender_classifier.runtime.bundle import hub_cache, locate, origin
from gender_classifier.runtime.errors import (
    BundleError,
    HubError,
    ModelNotFoundError,
    NotABundleError,
    Notice,
    OptionError,
    VariantNotFoundError,
)
from support import ROOT, TinyModel, tiny_bundle
from support.foreign import edit, foreign_folder

pytest.importorskip("onnx")

NAME = "org/name"
OLD, NEW = "a" * 40, "b" * 40
RED = Image.new("RGB", (9, 9), "red")


@pytest.fixture
def cache(models, monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # whoever asks the network, fails
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def fill(cache: Path, folder: Path, commit: str, ref: str | None = "main") -> Path:
    """Puts a folder's files into the cache as the Hub's own client does: blobs, and links to them."""
    repository = cache / "models--org--name"
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        link = repository / "snapshots" / commit / file.relative_to(folder)
        blob = repository / "blobs" / f"{commit[:4]}-{file.name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    if ref is not None:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    return repository / "snapshots" / commit


class TestCache:
    def test_a_model_of_another_exporter_is_used_where_it_lies(self, cache, foreign):
        snapshot = fill(cache, foreign, NEW)
        before = sorted(cache.rglob("*"))
        classifier = runtime.load(NAME)
        assert classifier.predict(RED).label == "female"
        source = classifier.manifest.source
        assert (source.kind, source.repository, source.revision, source.license) == ("hub", NAME, NEW, "apache-2.0")
        assert classifier.bundle.path == snapshot
        assert sorted(cache.rglob("*")) == before

    def test_so_is_a_bundle(self, cache, tmp_path):
        snapshot = fill(cache, tiny_bundle(tmp_path / "made"), NEW)
        assert runtime.load(NAME).bundle.path == snapshot
        assert "model tiny" in version(NAME)

    def test_a_revision_is_a_commit_a_branch_or_a_tag(self, cache, foreign):
        fill(cache, foreign, OLD, ref="v1")
        edit(foreign, id2label={"0": "Male", "1": "Female"})
        fill(cache, foreign, NEW)
        for revision, label in ((None, "male"), (NEW, "male"), (OLD, "female"), ("v1", "female"), ("main", "male")):
            assert runtime.load(NAME, revision=revision).predict(RED).label == label
        with pytest.raises(ModelNotFoundError, match="org/name at v2"):
            runtime.load(NAME, revision="v2")

    def test_without_main_the_commits_there_are_named(self, cache, foreign):
        fill(cache, foreign, OLD, ref=None)
        with pytest.raises(ModelNotFoundError, match=OLD):
            runtime.load(NAME)

    def test_a_variant_that_is_not_there(self, cache, foreign):
        fill(cache, foreign, NEW)
        with pytest.raises(ModelNotFoundError, match="does not hold its ONNX files"):
            runtime.load(NAME, variant="int8")

    def test_a_checkpoint_without_onnx_files_is_no_model(self, cache, foreign):
        shutil.rmtree(foreign / "onnx")
        (foreign / "model.safetensors").write_bytes(b"weights")
        fill(cache, foreign, NEW)
        with pytest.raises(ModelNotFoundError, match="does not hold its ONNX files"):
            runtime.load(NAME)

    def test_a_link_that_leads_nowhere_is_a_file_that_is_not_there(self, cache, foreign):
        snapshot = fill(cache, foreign, NEW)
        (snapshot / "onnx/model.onnx").resolve().unlink()
        with pytest.raises(ModelNotFoundError):
            runtime.load(NAME)

    def test_offline_with_the_very_commit_sockets_forbidden_and_no_client(self, cache, foreign, tmp_path):
        fill(cache, foreign, NEW)
        RED.save(tmp_path / "red.png")
        script = (
            "import socket, sys\n"
            "def refuse(*_, **__): raise AssertionError('a socket was opened')\n"
            "socket.socket = socket.create_connection = socket.getaddrinfo = refuse\n"
            "sys.modules['huggingface_hub'] = None\n"
            "import gender_classifier as gc\n"
            "for download in (False, True):\n"
            "    print(gc.load('org/name', revision=sys.argv[1], download=download).predict(sys.argv[2]).label)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, NEW, str(tmp_path / "red.png")],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["female", "female"], done.stderr

    def test_the_command_line_finds_the_same(self, cache, foreign, run, tmp_path):
        RED.save(tmp_path / "red.png")
        code, _, err = run("--model", NAME, tmp_path / "red.png")
        assert (code, "models add org/name" in err) == (2, True)
        fill(cache, foreign, NEW)
        code, out, _ = run("--model", NAME, tmp_path / "red.png")
        assert (code, "  woman " in out) == (0, True)
        for model in (NAME, foreign):
            assert f"model {model.name if model == foreign else NAME} (" in version(str(model))
        assert "no bundle.json" in run("models", "show", NAME)[2]


class TestAdded:
    def add(self, models: Path, name: str, labels: tuple[tuple[str, str], ...], commit: str) -> Path:
        folder = tiny_bundle(models, TinyModel(name, labels))
        origin.record(folder, folder, NAME, commit)
        return folder

    WOMEN_FIRST = (("Female", "female"), ("Male", "male"))
    MEN_FIRST = (("Male", "male"), ("Female", "female"))

    def test_what_was_added_wins_over_the_cache_and_over_a_folder_here(self, cache, models, tmp_path):
        fill(cache, foreign_folder(tmp_path / "made"), NEW)
        (tmp_path / "org").mkdir()
        tiny_bundle(tmp_path / "org", TinyModel("name"))
        folder = self.add(models, "mine", self.MEN_FIRST, NEW)
        assert runtime.load(NAME).bundle.path == folder
        assert runtime.load("./org/name").bundle.path == Path("org/name")

    def test_a_revision_chooses_among_several(self, cache, models):
        self.add(models, "new", self.MEN_FIRST, NEW)
        self.add(models, "old", self.WOMEN_FIRST, OLD)
        assert runtime.load(NAME, revision=NEW).manifest.name == "new"
        assert runtime.load(NAME, revision=OLD).manifest.name == "old"
        assert runtime.load(NAME).manifest.name == "old", "the one added last"

    def test_what_a_bundle_says_of_itself_is_not_where_it_came_from(self, cache, models):
        folder = tiny_bundle(models, TinyModel("impostor"))
        data = json.loads((folder / "bundle.json").read_text())
        data["source"] = {"kind": "hub", "repository": NAME, "revision": NEW}
        data["notes"] = [f"Downloaded from {NAME} at {NEW}"]
        (folder / "bundle.json").write_text(json.dumps(data))
        (folder / "origin.json").write_text(json.dumps({"repository": NAME, "revision": NEW, "weights": "0" * 64}))
        with pytest.raises(ModelNotFoundError, match=NAME):
            runtime.load(NAME)

    def test_a_record_does_not_speak_for_another_bundle_of_the_name(self, cache, models):
        folder = self.add(models, "mine", self.MEN_FIRST, NEW)
        assert origin.added_from(NAME) == folder
        shutil.rmtree(folder)
        assert origin.added_from(NAME) is None
        tiny_bundle(models, TinyModel("mine", gain=3.0))
        assert origin.added_from(NAME) is None
        with pytest.raises(ModelNotFoundError):
            runtime.load(NAME)

    def test_a_model_that_was_calibrated_since_is_the_same(self, cache, models):
        folder = self.add(models, "mine", self.MEN_FIRST, NEW)
        data = json.loads((folder / "bundle.json").read_text())
        (folder / "bundle.json").write_text(json.dumps({**data, "decision": {"temperature": 2.0}}))
        assert origin.added_from(NAME) == folder

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"repository": 3}', "[" * 9999])
    def test_a_broken_record_is_none(self, cache, models, content):
        self.add(models, "mine", self.MEN_FIRST, NEW)
        (models / ".origins/mine.json").write_text(content)
        assert origin.added_from(NAME) is None


class TestNames:
    def test_a_folder_here_is_meant_where_nothing_else_is(self, cache, tmp_path):
        (tmp_path / "org").mkdir()
        foreign_folder(tmp_path / "org").rename(tmp_path / "org/name")
        assert runtime.load(NAME).predict(RED).label == "female"
        with pytest.raises(ModelNotFoundError, match=f"at {NEW}"):
            runtime.load(NAME, revision=NEW)

    def test_a_folder_in_the_hubs_layout(self, models, foreign):
        for model in (foreign, str(foreign)):
            assert runtime.load(model).predict(RED).label == "female"
        with pytest.raises(VariantNotFoundError, match="it has: fp32"):
            runtime.load(foreign, variant="q4")

    def test_the_environment_may_say_any_of_these(self, cache, foreign, monkeypatch):
        fill(cache, foreign, NEW)
        for model in (str(foreign), NAME, locate.BUILTIN_NAME):
            monkeypatch.setenv(locate.MODEL_VARIABLE, model)
            assert Notice.BUILTIN_MODEL not in runtime.load().notices

    def test_an_empty_folder(self, models, tmp_path):
        with pytest.raises(NotABundleError, match=r"no bundle\.json"):
            runtime.load(tmp_path)

    @pytest.mark.parametrize("model", [None, "gender-small", "."])
    def test_a_revision_belongs_to_a_repository(self, models, model):
        with pytest.raises(OptionError, match="has no revision"):
            runtime.load(model, revision=NEW)

    def test_load_says_what_it_takes(self):
        import inspect

        assert next(iter(inspect.signature(runtime.load).parameters)) == "model"
        assert {"revision", "download"} <= set(inspect.signature(runtime.load).parameters)


class TestDownload:
    @pytest.fixture
    def online(self, cache, hub):
        pytest.importorskip("huggingface_hub")
        return hub

    def test_what_is_missing_is_brought_once(self, cache, online, foreign):
        for name in ("pytorch_model.bin", "model.py"):
            (foreign / name).write_bytes(b"never")
        shutil.copy(foreign / "onnx/model.onnx", foreign / "onnx/model_q4.onnx")
        commit = online.add(NAME, foreign)
        with pytest.raises(ModelNotFoundError):
            runtime.load(NAME)
        assert online.requests == []
        classifier = runtime.load(NAME, download=True)
        assert classifier.predict(RED).label == "female"
        assert classifier.manifest.source.revision == commit
        asked = {line.split("/resolve/")[1].split("/", 1)[1] for line in online.requests if "/resolve/" in line}
        assert asked == {"config.json", "preprocessor_config.json", "README.md", "onnx/model.onnx"}
        online.requests.clear()
        for download in (False, True):
            assert runtime.load(NAME, download=download).manifest.source.revision == commit
        assert runtime.load(NAME, revision=commit, download=True).manifest.source.revision == commit
        assert online.requests == []
        assert runtime.load(NAME, variant="q4", download=True).variant == "q4"

    def test_a_bundle_with_what_its_manifest_names(self, cache, online, tmp_path):
        bundle = tiny_bundle(tmp_path / "made")
        (bundle / "evil.py").write_bytes(b"never")
        online.add(NAME, bundle)
        assert runtime.load(NAME, download=True).manifest.name == "tiny"
        assert not any("evil" in line for line in online.requests if "/resolve/" in line)

    @pytest.mark.parametrize("path", ["evil.py", "../../evil.json", "pytorch_model.bin"])
    def test_a_bundle_that_names_what_no_bundle_holds(self, cache, online, tmp_path, path):
        bundle = tiny_bundle(tmp_path / "made")
        data = json.loads((bundle / "bundle.json").read_text())
        data["files"][path] = {"bytes": 5, "sha256": "0" * 64}
        (bundle / "bundle.json").write_text(json.dumps(data))
        online.add(NAME, bundle)
        with pytest.raises(BundleError):
            runtime.load(NAME, download=True)
        assert not list(tmp_path.rglob("evil*"))

    def test_one_that_fails_is_a_sentence(self, cache, online, foreign):
        with pytest.raises(HubError, match="no model org/name"):
            runtime.load(NAME, download=True)
        online.add(NAME, foreign, gated=True)
        with pytest.raises(HubError, match="gated"):
            runtime.load(NAME, download=True)
        assert hub_cache.commits(NAME) == []

    def test_a_checkpoint_is_not_downloaded(self, cache, online):
        online.add(NAME, {"config.json": b"{}", "model.safetensors": b"weights"})
        with pytest.raises(BundleError, match="has to be exported first"):
            runtime.load(NAME, download=True)
        assert not any("/resolve/" in line for line in online.requests)


def version(model: str) -> str:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert gender_classifier.main(["--model", model, "--version"]) == 0
    return out.getvalue()
