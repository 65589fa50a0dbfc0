"""From a checkpoint folder to a bundle, and what keeps a wrong one from appearing."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from gender_classifier.export import VariantLimits, export_model
from gender_classifier.export.errors import CheckpointError, ParityError, UnsupportedArchitectureError
from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.bundle.manifest import Framing
from gender_classifier.runtime.classifier import Classifier, Options
from gender_classifier.runtime.errors import OptionError, UnsupportedHeadError, UnsupportedProcessorError
from support.tiny_models import make_checkpoint

LOOSE = VariantLimits(latency=100, flips=1, difference=1, latency_seconds=0)


@pytest.fixture
def changed(vit_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the tiny ViT's checkpoint with other JSON files."""

    def change(config: dict[str, Any] | None = None, processor: dict[str, Any] | None = None, **drop: bool) -> Path:
        folder = tmp_path / "checkpoint"
        shutil.copytree(vit_checkpoint, folder, dirs_exist_ok=True)
        for name, more in (("config.json", config), ("preprocessor_config.json", processor)):
            data = json.loads((folder / name).read_text())
            data.update(more or {})
            data = {key: value for key, value in data.items() if not drop.get(key)}
            (folder / name).write_text(json.dumps(data))
        return folder

    return change


def export(checkpoint: Path, tmp_path: Path, pictures: Path, **named: Any) -> Path:
    options = {"output": tmp_path / "models", "name": "m", "variants": (), "pictures": pictures, **named}
    return export_model(checkpoint, **options)


def test_layout(vit_bundle: Path) -> None:
    files = sorted(path.relative_to(vit_bundle).as_posix() for path in vit_bundle.rglob("*") if path.is_file())
    assert files == [
        "README.md",
        "bundle.json",
        "config.json",
        "onnx/model.onnx",
        "onnx/model_q4.onnx",
        "onnx/model_quantized.onnx",
        "preprocessor_config.json",
    ]
    assert sorted(path.name for path in vit_bundle.parent.iterdir()) == ["tiny-vit"]


def test_manifest(vit_bundle: Path, vit_checkpoint: Path) -> None:
    bundle = Bundle.open(vit_bundle)
    bundle.verify()
    manifest = bundle.manifest
    assert [(label.raw, label.meaning) for label in manifest.labels] == [("female", "female"), ("male", "male")]
    assert manifest.activation == "softmax"
    assert manifest.architecture.class_name == "ViTForImageClassification"
    assert manifest.architecture.parameters is not None
    assert manifest.processor.reference == "ViTImageProcessor"
    assert (manifest.io.height, manifest.io.width) == (32, 32)
    assert manifest.source.kind == "local"
    assert set(manifest.files) == {"README.md", "config.json", "preprocessor_config.json"}
    assert set(manifest.variants) == {"fp32", "int8", "q4"}
    for name, variant in manifest.variants.items():
        assert variant.opset <= 18
        assert variant.ir_version <= 9
        assert variant.parity is not None
        assert variant.parity.pictures == 12
        assert re.fullmatch(r"torch \d.*", variant.parity.reference)
        assert (variant.quantization is None) == (name == "fp32")
    fp32 = manifest.variants["fp32"].parity
    assert fp32 is not None
    assert fp32.max_probability_difference <= 1e-4
    assert manifest.exporter["transformers"] == "4.57.6"
    assert (vit_bundle / "config.json").read_bytes() == (vit_checkpoint / "config.json").read_bytes()


def test_graphs_are_self_contained_with_one_dynamic_axis(vit_bundle: Path) -> None:
    for path in (vit_bundle / "onnx").iterdir():
        model = onnx.load(str(path), load_external_data=False)
        assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
        (image,), (logits,) = model.graph.input, model.graph.output
        dims = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
        assert (image.name, dims) == ("pixel_values", ["batch_size", 3, 32, 32])
        assert logits.name == "logits"
        assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ["batch_size", 2]
        assert not model.metadata_props
        assert not any(node.doc_string for node in model.graph.node)


def test_model_card(vit_bundle: Path) -> None:
    card = (vit_bundle / "README.md").read_text()
    assert card.startswith("---\n")
    assert "pipeline_tag: image-classification" in card
    assert "| int8" in card
    assert "0 of 12" in card


def test_every_variant_answers(vit_bundle: Path, few_pictures: Path) -> None:
    for variant in ("fp32", "int8", "q4"):
        classifier = Classifier(Bundle.open(vit_bundle), Options(variant=variant))
        for picture in sorted(few_pictures.iterdir())[:3]:
            assert classifier.predict(picture).label in ("female", "male")


def test_decision_card_and_framing_come_from_the_checkpoint(
    changed: Callable[..., Path], tmp_path: Path, few_pictures: Path
) -> None:
    folder = changed()
    rule = {"temperature": 1.5, "thresholds": {"female": 0.8, "male": 0.7}, "provenance": "12 pictures"}
    (folder / "decision.json").write_text(json.dumps(rule))
    (folder / "model_card.md").write_text("---\nlicense: mit\n---\n\n# My model\n\nTrained at home.\n")
    bundle = export(folder, tmp_path, few_pictures, framing=Framing("box", 0.4))
    manifest = Bundle.open(bundle).manifest
    assert manifest.decision.temperature == 1.5
    assert manifest.decision.thresholds == {"female": 0.8, "male": 0.7}
    assert manifest.decision.provenance == "12 pictures"
    assert manifest.source.license == "mit"
    assert manifest.framing.kind == "box"
    assert manifest.framing.margin == 0.4
    card = (bundle / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n---\n\n# My model\n")
    assert "Trained at home." in card
    assert "Temperature 1.5" in card


@pytest.mark.parametrize(
    "rule", [{"temperature": 0}, {"thresholds": {"cat": 0.5}}, {"unknown": 1}, {"thresholds": {"male": 2}}, []]
)
def test_broken_decision_is_refused(
    rule: Any, changed: Callable[..., Path], tmp_path: Path, few_pictures: Path
) -> None:
    folder = changed()
    (folder / "decision.json").write_text(json.dumps(rule))
    with pytest.raises(CheckpointError, match="decision"):
        export(folder, tmp_path, few_pictures)


def test_label_order_is_read(changed: Callable[..., Path], tmp_path: Path, few_pictures: Path) -> None:
    bundle = export(changed({"id2label": {"1": "Woman", "0": "Man"}}), tmp_path, few_pictures)
    assert [label.meaning for label in Bundle.open(bundle).manifest.labels] == ["male", "female"]


def test_label_map(changed: Callable[..., Path], tmp_path: Path, few_pictures: Path) -> None:
    folder = changed({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    with pytest.raises(UnsupportedHeadError, match="label map"):
        export(folder, tmp_path, few_pictures)
    bundle = export(folder, tmp_path, few_pictures, label_map={"LABEL_0": "male", "LABEL_1": "female"})
    assert [label.raw for label in Bundle.open(bundle).manifest.labels] == ["LABEL_0", "LABEL_1"]


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"id2label": {"0": "age", "1": "gender"}}, UnsupportedHeadError, "several attributes"),
        ({"id2label": {"0": "child", "1": "female", "2": "male"}}, UnsupportedHeadError, "3 classes"),
        ({"problem_type": "regression"}, UnsupportedHeadError, "regression"),
        ({"model_type": "nat"}, UnsupportedArchitectureError, "natten"),
        ({"model_type": "siglip2"}, UnsupportedArchitectureError, "siglip2"),
        ({"model_type": "llama"}, UnsupportedArchitectureError, "llama"),
        ({"model_type": None}, CheckpointError, "model_type"),
        ({"architectures": ["ViTModel"]}, UnsupportedArchitectureError, "ViTModel"),
        (
            {"architectures": ["AgeGenderViT"], "auto_map": {"AutoModel": "x.AgeGenderViT"}},
            UnsupportedArchitectureError,
            "never run",
        ),
        ({"_attn_implementation_internal": "x/y"}, CheckpointError, "CVE"),
    ],
)
def test_refused_configurations(
    config: dict[str, Any],
    error: type[Exception],
    words: str,
    changed: Callable[..., Path],
    tmp_path: Path,
    few_pictures: Path,
) -> None:
    with pytest.raises(error, match=words):
        export(changed(config), tmp_path, few_pictures)
    assert not (tmp_path / "models" / "m").exists()


@pytest.mark.parametrize(
    ("processor", "error", "words"),
    [
        ({"image_processor_type": "NoSuchProcessor"}, UnsupportedProcessorError, "NoSuchProcessor"),
        ({"do_something_new": True}, UnsupportedProcessorError, "do_something_new"),
    ],
)
def test_refused_processors(
    processor: dict[str, Any],
    error: type[Exception],
    words: str,
    changed: Callable[..., Path],
    tmp_path: Path,
    few_pictures: Path,
) -> None:
    with pytest.raises(error, match=words):
        export(changed(processor=processor), tmp_path, few_pictures)


def test_broken_checkpoints(changed: Callable[..., Path], tmp_path: Path, few_pictures: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = changed()
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "classifier" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(CheckpointError, match=r"classifier\.(weight|bias)"):  # else the head would be random
        export(folder, tmp_path, few_pictures)
    save_file({**weights, "classifier.weight": torch.zeros(5, 32)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"cannot be loaded|lack"):
        export(folder, tmp_path, few_pictures)
    (folder / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        export(folder, tmp_path, few_pictures)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled"):
        export(folder, tmp_path, few_pictures)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="no "):
        export(folder, tmp_path, few_pictures)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        export(folder, tmp_path, few_pictures)


@pytest.mark.parametrize(
    ("config", "activation"),
    [({"problem_type": "multi_label_classification"}, "sigmoid"), ({}, "softmax")],
)
def test_activations(
    config: dict[str, Any], activation: str, changed: Callable[..., Path], tmp_path: Path, few_pictures: Path
) -> None:
    bundle = export(changed(config), tmp_path, few_pictures)
    assert Bundle.open(bundle).manifest.activation == activation


def test_single_logit(tmp_path: Path, few_pictures: Path) -> None:
    folder = make_checkpoint("resnet", tmp_path / "checkpoint")
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    for part in ("weight", "bias"):
        weights[f"classifier.1.{part}"] = weights[f"classifier.1.{part}"][1:].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.update(id2label={"0": "male"}, label2id={"male": 0}, num_labels=1)
    (folder / "config.json").write_text(json.dumps(config))
    bundle = Bundle.open(export(folder, tmp_path, few_pictures))
    assert bundle.manifest.activation == "single_logit"
    assert [label.meaning for label in bundle.manifest.labels] == ["female", "male"]
    person = Classifier(bundle, Options()).predict(sorted(few_pictures.iterdir())[0])
    assert person.probabilities is not None
    assert sum(person.probabilities.values()) == pytest.approx(1)


def test_processor_config_of_transformers_5(changed: Callable[..., Path], tmp_path: Path, few_pictures: Path) -> None:
    folder = changed()
    written = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    nested = {"image_processor": {**written, "image_processor_type": "ViTImageProcessorFast"}}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    bundle = export(folder, tmp_path, few_pictures)
    assert json.loads((bundle / "preprocessor_config.json").read_text()) == nested["image_processor"]
    assert Bundle.open(bundle).manifest.processor.reference == "ViTImageProcessor"


# -- the gate --------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_bundle(vit_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that is already where the next one would go."""
    return Path(shutil.copytree(vit_bundle, tmp_path / "models" / "m"))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(checkpoint: Path, tmp_path: Path, pictures: Path, old: Path) -> None:
    before = snapshot(old)
    with pytest.raises(ParityError, match="not the same model"):
        export(checkpoint, tmp_path, pictures)
    assert snapshot(old) == before
    assert sorted(path.name for path in old.parent.iterdir()) == ["m"]


def test_a_wrong_filter_is_caught(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, old_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.export import network

    load = network.load_processor
    monkeypatch.setattr(network, "load_processor", lambda config, *rest: load({**config, "resample": 3}, *rest))
    assert_refused(vit_checkpoint, tmp_path, few_pictures, old_bundle)


def test_a_wrong_mean_is_caught(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, old_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.runtime.processors.processor import Processor

    run = Processor.__call__
    monkeypatch.setattr(Processor, "__call__", lambda self, image: run(self, image) + 0.004)  # one step of 255
    assert_refused(vit_checkpoint, tmp_path, few_pictures, old_bundle)


def test_a_wrong_weight_is_caught(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, old_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.export import graph

    save = graph.save

    def spoil(model: Any, path: Path) -> None:
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "classifier.bias")
        values = onnx.numpy_helper.to_array(bias) + np.array([0.002, 0])
        bias.CopyFrom(onnx.numpy_helper.from_array(values.astype("float32"), bias.name))
        save(model, path)

    monkeypatch.setattr(graph, "save", spoil)
    assert_refused(vit_checkpoint, tmp_path, few_pictures, old_bundle)


def test_swapped_labels_are_not_a_question_of_tolerance(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, old_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.runtime import decision

    probabilities = decision.probabilities
    monkeypatch.setattr(decision, "probabilities", lambda *arguments: probabilities(*arguments)[:, ::-1])
    assert_refused(vit_checkpoint, tmp_path, few_pictures, old_bundle)


def test_nan_is_caught(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, old_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.runtime import decision

    probabilities = decision.probabilities
    monkeypatch.setattr(decision, "probabilities", lambda *arguments: probabilities(*arguments) * float("nan"))
    assert_refused(vit_checkpoint, tmp_path, few_pictures, old_bundle)


def test_new_bundle_replaces_the_old_one(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, old_bundle: Path
) -> None:
    assert (old_bundle / "onnx" / "model_q4.onnx").exists()
    assert export(vit_checkpoint, tmp_path, few_pictures) == old_bundle
    assert not (old_bundle / "onnx" / "model_q4.onnx").exists()
    Bundle.open(old_bundle).verify()


# -- variants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (replace(LOOSE, latency=0), "slower than fp32"),
        (replace(LOOSE, difference=0, exclusion_rounds=0), "moves a probability"),
    ],
)
def test_a_variant_over_its_limit_is_not_published(
    limits: VariantLimits, words: str, vit_checkpoint: Path, tmp_path: Path, few_pictures: Path
) -> None:
    bundle = export(vit_checkpoint, tmp_path, few_pictures, variants=("int8", "q4"), limits=limits)
    manifest = Bundle.open(bundle).manifest
    assert set(manifest.variants) == {"fp32"}
    assert [path.name for path in (bundle / "onnx").iterdir()] == ["model.onnx"]
    assert sum(words in note for note in manifest.notes) == 2
    assert all(note in (bundle / "README.md").read_text() for note in manifest.notes)


def test_a_broken_quantiser_costs_its_variant_only(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.export import quantize

    def fail(*_: Any) -> Any:
        raise RuntimeError("the quantiser broke")

    monkeypatch.setattr(quantize, "quantize_dynamic", fail)
    bundle = export(vit_checkpoint, tmp_path, few_pictures, variants=("int8", "q4"), limits=LOOSE)
    manifest = Bundle.open(bundle).manifest
    assert set(manifest.variants) == {"fp32", "q4"}
    assert any("the quantiser broke" in note for note in manifest.notes)


def test_a_variant_that_answers_otherwise_is_not_published(
    vit_checkpoint: Path, tmp_path: Path, few_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_classifier.export import quantize

    make = quantize.quantize_dynamic

    def spoil(fp32: Path, path: Path, exclude: Any = ()) -> dict[str, Any]:
        settings = make(fp32, path, exclude)
        model = onnx.load(str(path))
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == "classifier.bias")
        values = onnx.numpy_helper.to_array(bias) + np.array([9, 0])
        bias.CopyFrom(onnx.numpy_helper.from_array(values.astype("float32"), bias.name))
        onnx.save(model, str(path))
        return settings

    monkeypatch.setattr(quantize, "quantize_dynamic", spoil)
    limits = VariantLimits(latency=100, exclusion_rounds=1, latency_seconds=0)
    bundle = export(vit_checkpoint, tmp_path, few_pictures, variants=("int8",), limits=limits)
    manifest = Bundle.open(bundle).manifest
    assert set(manifest.variants) == {"fp32"}
    assert any("flips" in note for note in manifest.notes)


def test_convolutional_network_gets_static_int8(tmp_path: Path, few_pictures: Path) -> None:
    folder = make_checkpoint("resnet", tmp_path / "checkpoint", embedding_size=32, hidden_sizes=[64, 64, 128, 128])
    bundle = export(folder, tmp_path, few_pictures, variants=("int8", "q4"), limits=LOOSE, calibration=few_pictures)
    manifest = Bundle.open(bundle).manifest
    settings = manifest.variants["int8"].quantization
    assert settings is not None
    assert settings["mode"] == "static"
    operators = {node.op_type for node in onnx.load(str(bundle / manifest.variants["int8"].file)).graph.node}
    assert "QuantizeLinear" in operators
    assert "q4" not in manifest.variants  # no MatMul: nothing would become smaller
    assert any("No q4 variant" in note for note in manifest.notes)


def test_default_variant(vit_checkpoint: Path, tmp_path: Path, few_pictures: Path) -> None:
    bundle = export(vit_checkpoint, tmp_path, few_pictures, variants=("int8",), limits=LOOSE, default_variant="int8")
    assert Bundle.open(bundle).manifest.default_variant == "int8"
    with pytest.raises(OptionError, match="not among"):
        export(vit_checkpoint, tmp_path, few_pictures, variants=(), default_variant="q4")
    with pytest.raises(ParityError, match="not worth publishing"):
        export(
            vit_checkpoint, tmp_path, few_pictures, variants=("int8",), limits=replace(LOOSE, latency=0),
            default_variant="int8",
        )  # fmt: skip
    assert Bundle.open(bundle).manifest.default_variant == "int8"


@pytest.mark.parametrize("place", ["convert", "variant"])
def test_a_full_disk_is_said_as_such(
    place: str,
    vit_checkpoint: Path,
    tmp_path: Path,
    few_pictures: Path,
    old_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gender_classifier.export import convert, quantize
    from gender_classifier.runtime.errors import StoreError

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = snapshot(old_bundle)
    module: Any = {"convert": convert.graph, "variant": quantize}[place]
    monkeypatch.setattr(module, {"convert": "save", "variant": "quantize_dynamic"}[place], fail)
    with pytest.raises(StoreError, match="no space left"):
        export(vit_checkpoint, tmp_path, few_pictures, variants=("int8",), limits=LOOSE)
    assert snapshot(old_bundle) == before
    assert sorted(path.name for path in old_bundle.parent.iterdir()) == ["m"]


@pytest.mark.parametrize(
    "named", [{"name": "../x"}, {"name": ""}, {"name": ".x"}, {"variants": ("fp16",)}, {"default_variant": "q8"}]
)
def test_wrong_options(named: dict[str, Any], vit_checkpoint: Path, tmp_path: Path, few_pictures: Path) -> None:
    with pytest.raises(OptionError):
        export(vit_checkpoint, tmp_path, few_pictures, **named)


def test_no_pictures(vit_checkpoint: Path, tmp_path: Path) -> None:
    from gender_classifier.export.errors import ExportError

    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(ExportError, match=folder):
            export(vit_checkpoint, tmp_path, tmp_path / folder)
