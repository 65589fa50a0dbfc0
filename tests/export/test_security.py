"""What is never loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.export import security
from gender_classifier.export.errors import CheckpointError, ExportError


def test_kernels_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "kernels" else object())
    security.check_environment()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(ExportError, match="CVE-2026-4372"):
        security.check_environment()


@pytest.mark.parametrize("missing", ["torch", "transformers", "optimum", "onnx"])
def test_a_missing_package_is_named_before_anything_else(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ModuleNotFoundError) as raised:
        security.check_environment()
    assert raised.value.name == missing


@pytest.mark.parametrize(
    "config",
    [
        {"_attn_implementation_internal": "someone/kernel"},
        {"_attn_implementation_internal": "eager"},
        {"_attn_implementation": "someone/kernel"},
        {"attn_implementation": "someone/kernel@main:fn"},
        {"attn_implementation": {"vision_config": "someone/kernel"}},
        {"vision_config": {"_attn_implementation": "someone/kernel"}},
        {"parts": [{"deep": {"_attn_implementation_internal": None}}]},
    ],
)
def test_attention_code_named_by_a_configuration_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="attn_implementation"):
        security.check_config(config)


def test_usual_configurations_pass() -> None:
    security.check_config(
        {
            "_attn_implementation_autoset": True,
            "attn_implementation": "sdpa",
            "_attn_implementation": None,
            "a": [1, {}],
        }
    )


@pytest.mark.parametrize(
    "config", [{"num_labels": 10**8}, {"vision_config": {"num_labels": 10**8}}, {"num_labels": "2"}]
)
def test_a_number_that_sizes_memory_is_bounded(config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="num_labels"):
        security.check_config(config)


@pytest.mark.parametrize(
    "index",
    [
        {"weight_map": {"a": "model-1.safetensors", "b": "pytorch_model.bin"}},
        {"weight_map": {"a": "../elsewhere/model.safetensors"}},
        {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "model.safetensors.index.json"}},
        {"weight_map": {"a": ["model-1.safetensors"]}},
        {"weight_map": {}},
        {"weight_map": 3},
        [],
        "{",
    ],
)
def test_an_index_leads_to_no_other_file(tmp_path: Path, index: Any) -> None:
    names = ["model.safetensors.index.json", "model-1.safetensors", "pytorch_model.bin"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / names[0]).write_text(index if index == "{" else json.dumps(index))
    weights = security.weight_files(names, "x")
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        security.check_index(tmp_path, weights)


def test_an_index_of_the_shards_beside_it_passes(tmp_path: Path) -> None:
    weights = ("model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors")
    (tmp_path / weights[0]).write_text(json.dumps({"weight_map": {"a": weights[1], "b": weights[2]}}))
    security.check_index(tmp_path, weights)
    security.check_index(tmp_path, ("model.safetensors",))


def test_safetensors_only() -> None:
    assert security.weight_files(["config.json", "model.safetensors", "pytorch_model.bin"], "x") == (
        "model.safetensors",
    )
    shards = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"]
    assert security.weight_files([*shards, "model.safetensors.index.json"], "x") == (
        "model.safetensors.index.json",
        *sorted(shards),
    )
    for pickle in ("pytorch_model.bin", "model.pt", "tf_model.h5", "flax_model.msgpack"):
        with pytest.raises(CheckpointError, match=pickle):
            security.weight_files(["config.json", pickle], "org/name")
    with pytest.raises(CheckpointError, match="no weights"):
        security.weight_files(["config.json", "training_args.safetensors.bin.txt"], "org/name")
