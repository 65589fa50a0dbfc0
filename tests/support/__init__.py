"""What several test rooms share."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def heed_interrupts() -> None:
    """For ``preexec_fn``: a child of a background job inherits an ignored SIGINT, and Ctrl-C would not reach it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def shell(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs the command line in a process of its own."""
    command = [sys.executable, str(ROOT / "gender_classifier.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)


def shared(name: str) -> Path:
    """Returns a folder or file of the material beside the checkout; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"../shared/{name} is not here")
    return path


@dataclass(frozen=True)
class TinyModel:
    """What a tiny test bundle holds; the defaults make a model that looks at the mean of the red channel."""

    name: str = "tiny"
    labels: tuple[tuple[str, str], ...] = (("Female", "female"), ("Male", "male"))
    size: int = 8
    activation: str = "softmax"
    framing: str = "image"
    eyes: tuple[float, ...] = ()
    """Distance and height of the eyes, for ``eyes`` framing."""
    margin: float | None = None
    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    gain: float = 4.0
    blue: str = "ignored"
    """What a blue picture does: ``nan`` makes its logits not a number, ``error`` fails the run of its whole batch."""
    processor: dict[str, Any] = field(default_factory=dict)
    """Replaces the whole processor configuration."""


def tiny_bundle(parent: Path, model: TinyModel | None = None) -> Path:
    """Writes a complete bundle with hand-made weights, without torch, and returns its folder.

    The network averages the processed picture (mean/std 0.5, so values are in [-1, 1]) and gives
    ``logits = gain * (mean of red, mean of green, ...)``: a red picture is the first class, a green one the second.
    One logit (``single_logit``) is gain * (mean of green - mean of red).
    """
    pytest.importorskip("onnx")
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    spec = model or TinyModel()
    folder = parent / spec.name
    (folder / "onnx").mkdir(parents=True)
    classes = 1 if spec.activation == "single_logit" else len(spec.labels)
    weights = np.zeros((3, classes), np.float32)
    if classes == 1:
        weights[:2, 0] = (-spec.gain, spec.gain)
    else:
        for index in range(min(3, classes)):
            weights[index, index] = spec.gain
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weights"], ["product"]),
            *_blue_nodes(spec.blue),
        ],
        "tiny",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, spec.size, spec.size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([0, 0, 1], np.float32), "blue"),
            numpy_helper.from_array(np.array(0.9, np.float32), "limit"),
            numpy_helper.from_array(np.ones((1, 1), np.float32), "table"),
            numpy_helper.from_array(np.array([1], np.int64), "last"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx/model.onnx").write_bytes(proto.SerializeToString())
    side = {"height": spec.size, "width": spec.size}
    files = {
        "preprocessor_config.json": json.dumps(
            spec.processor
            or {
                "image_processor_type": "ViTImageProcessor",
                "do_resize": True,
                "size": side,
                "resample": 2,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
            }
        ),
        "config.json": json.dumps(
            {
                "model_type": "vit",
                "architectures": ["ViTForImageClassification"],
                "id2label": {str(index): raw for index, (raw, _) in enumerate(spec.labels)},
            }
        ),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")

    def record(name: str) -> dict[str, Any]:
        content = (folder / name).read_bytes()
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    manifest = {
        "format_version": 2,
        "name": spec.name,
        "created": "2026-01-01T00:00:00Z",
        "source": {"kind": "local", "repository": spec.name, "digest": hashlib.sha256(b"tiny").hexdigest()},
        "architecture": {"model_type": "vit", "class_name": "ViTForImageClassification"},
        "labels": [{"raw": raw, "meaning": meaning} for raw, meaning in spec.labels],
        "activation": spec.activation,
        "framing": {
            "kind": spec.framing,
            "margin": spec.margin,
            **dict(zip(("eye_distance", "eye_line"), spec.eyes, strict=False)),
        },
        "io": {"input_name": "pixel_values", "output_name": "logits", "height": spec.size, "width": spec.size},
        "processor": {"reference": "ViTImageProcessor"},
        "files": {name: record(name) for name in files},
        "variants": {"fp32": {"file": "onnx/model.onnx", "opset": 17, "ir_version": 8, **record("onnx/model.onnx")}},
        "default_variant": "fp32",
        "decision": {"temperature": spec.temperature, "thresholds": spec.thresholds},
    }
    (folder / "bundle.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return folder


def _blue_nodes(kind: str) -> list[Any]:
    """Nodes from ``flat`` and ``product`` to ``logits``; a mean of blue above 0.9 is what they look for."""
    from onnx import TensorProto, helper

    if kind == "ignored":
        return [helper.make_node("Identity", ["product"], ["logits"])]
    column = [helper.make_node("MatMul", ["flat", "blue"], ["mean"])]  # (N,)
    if kind == "nan":  # 0 * sqrt(negative) is not a number
        return [
            *column,
            helper.make_node("Sub", ["limit", "mean"], ["left"]),
            helper.make_node("Sqrt", ["left"], ["root"]),
            helper.make_node("Sub", ["root", "root"], ["zero"]),
            helper.make_node("Unsqueeze", ["zero", "last"], ["zeros"]),
            helper.make_node("Add", ["product", "zeros"], ["logits"]),
        ]
    assert kind == "error"  # an index beyond the table
    return [
        *column,
        helper.make_node("Greater", ["mean", "limit"], ["beyond"]),
        helper.make_node("Cast", ["beyond"], ["index"], to=TensorProto.INT64),
        helper.make_node(
            "Gather", ["table", "index"], ["ones"], name="\x1b[2J"
        ),  # (N, 1); onnxruntime repeats the name
        helper.make_node("Mul", ["product", "ones"], ["logits"]),
    ]
