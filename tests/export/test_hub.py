"""Models from the Hub, and bundles back to it, against a Hub on 127.0.0.1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gender_classifier.export import hub
from gender_classifier.export.checkpoint import DEFAULT_MODEL, DEFAULT_REVISION, open_checkpoint
from gender_classifier.export.errors import CheckpointError, ExportError
from gender_classifier.runtime.errors import HubError
from support.fake_hub import FakeHub

CONFIG = {"model_type": "vit", "id2label": {"0": "Female", "1": "Male"}}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "preprocessor_config.json": b'{"image_processor_type": "ViTImageProcessor"}',
    "model.safetensors": b"weights",
    "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
    "training_args.bin": b"a pickle",
    "onnx/model.onnx": b"somebody's export",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        running.public_url = "https://huggingface.co"
        yield running


def test_main_is_resolved_to_a_commit(server: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    commit = server.add("org/name", FILES, card={"license": "apache-2.0"})
    checkpoint = open_checkpoint("org/name")
    assert checkpoint.source.kind == "hub"
    assert checkpoint.source.repository == "org/name"
    assert checkpoint.source.revision == commit
    assert checkpoint.source.license == "apache-2.0"
    assert checkpoint.config == CONFIG
    assert checkpoint.card is not None
    assert commit in capsys.readouterr().err


def test_a_commit_stays_what_it_was(server: FakeHub) -> None:
    first = server.add("org/name", FILES)
    server.add("org/name", {**FILES, "config.json": b"{}"})
    assert open_checkpoint("org/name", first).config == CONFIG
    assert open_checkpoint("org/name").config == {}


def test_nothing_else_is_downloaded(server: FakeHub) -> None:
    server.add("org/name", FILES)
    folder = open_checkpoint("org/name").folder
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    assert not any("training_args" in request or "onnx" in request for request in server.requests)


def test_shards(server: FakeHub) -> None:
    shards = {f"model-0000{part}-of-00002.safetensors": b"x" for part in (1, 2)}
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    places = {f"layer.{number}": name for number, name in enumerate(shards)}
    index = json.dumps({"weight_map": places}).encode()
    server.add("org/name", {**files, **shards, "model.safetensors.index.json": index})
    folder = open_checkpoint("org/name").folder
    assert {path.name for path in folder.iterdir()} >= {*shards, "model.safetensors.index.json"}


def test_a_commit_that_was_downloaded_needs_no_network(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = server.add("org/name", FILES, card={"license": "apache-2.0"})
    first = open_checkpoint("org/name")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = open_checkpoint("org/name", commit)
    assert (again.source, again.config, again.folder) == (first.source, first.config, first.folder)
    with pytest.raises(HubError, match="Check the network"):
        open_checkpoint("org/name", "0" * 40)


def test_default_model_is_pinned(server: FakeHub) -> None:
    server.add(DEFAULT_MODEL, FILES)
    with pytest.raises(HubError, match=DEFAULT_REVISION):  # this Hub's commit is another one
        open_checkpoint(DEFAULT_MODEL)
    assert any(DEFAULT_REVISION in request for request in server.requests)


def test_pickle_only_is_refused_before_any_download(server: FakeHub) -> None:
    files = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    server.add("org/name", {**files, "pytorch_model.bin": b"pickle"})
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        open_checkpoint("org/name")
    assert not any("/resolve/" in request for request in server.requests)


def test_gated(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("org/name", FILES, gated=True)
    with pytest.raises(HubError, match="gated"):
        open_checkpoint("org/name")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(HubError, match="gated"):
        open_checkpoint("org/name")
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    assert open_checkpoint("org/name").config == CONFIG


def test_missing_and_private(server: FakeHub) -> None:
    server.add("org/secret", FILES, private=True)
    for name in ("org/none", "org/secret"):
        with pytest.raises(HubError, match=f"no model {name}"):
            open_checkpoint(name)


def test_missing_revision(server: FakeHub) -> None:
    server.add("org/name", FILES)
    with pytest.raises(HubError, match="no revision v9"):
        open_checkpoint("org/name", "v9")


def test_download_that_breaks_off(server: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gender_classifier.runtime.bundle.hub._PAUSE_S", 0)
    server.add("org/name", {**FILES, "model.safetensors": b"x" * 100_000})
    server.cut_after = 10_000
    whole = open_checkpoint("org/name").folder / "model.safetensors"
    assert whole.stat().st_size == 100_000
    server.add("org/other", {**FILES, "model.safetensors": b"x" * 100_000})
    server.cut_after = 0
    with pytest.raises(HubError, match=r"org/other could not be downloaded|did not arrive"):
        open_checkpoint("org/other")


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(HubError, match="Check the network"):
        open_checkpoint("org/name")


def test_a_folder_asks_nobody(server: FakeHub, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(FILES[name])
    source = open_checkpoint(str(tmp_path)).source
    assert source.kind == "local"
    assert source.digest is not None
    assert len(source.digest) == 64
    assert server.requests == []
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert open_checkpoint(str(tmp_path)).source.digest != source.digest
    with pytest.raises(CheckpointError, match="revision belongs"):
        open_checkpoint(str(tmp_path), "main")


@pytest.mark.parametrize("model", ["no/such/folder", "name", "../x/y", "org/name/", ""])
def test_neither_folder_nor_hub_model(model: str, server: FakeHub) -> None:
    with pytest.raises((CheckpointError, HubError)):
        open_checkpoint(model)
    assert server.requests == []


def test_push(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "my-model"
    (bundle / "onnx").mkdir(parents=True)
    files = {"README.md": b"---\nlicense: mit\n---\n# x\n", "bundle.json": b"{}", "onnx/model.onnx": b"o" * 5000}
    for name, data in files.items():
        (bundle / name).write_bytes(data)
    with pytest.raises(ExportError, match="logged in"):
        hub.push(bundle, "org/new")
    with pytest.raises(ExportError, match="ORG/NAME"):
        hub.push(bundle, "new")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    address = hub.push(bundle, "org/new", private=True)
    sha, uploaded = server.repositories["org/new"].commits[-1]
    assert sha in address
    assert uploaded == files
    assert server.repositories["org/new"].private
    with monkeypatch.context() as unplugged:
        unplugged.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(HubError, match=r"org/new could not be uploaded: http.* cannot be reached"):
            hub.push(bundle, "org/new")
    (bundle / "bundle.json").write_bytes(b'{"again": 1}')
    hub.push(bundle, "org/new")  # an existing repository takes another commit
    assert server.repositories["org/new"].commits[-1][1]["bundle.json"] == b'{"again": 1}'
