"""Models as other exporters leave them: the Hub's ONNX layout without a ``bundle.json``, and graphs made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support import tiny_bundle

CARD = "---\nlicense: apache-2.0\ntags:\n- vision\n---\n# A model\n"


def foreign_folder(parent: Path) -> Path:
    """Writes a folder ``tiny`` as another exporter leaves it, and returns it."""
    folder = tiny_bundle(parent)
    (folder / "bundle.json").unlink()
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def edit(folder: Path, name: str = "config.json", **changes: object) -> None:
    data = {**json.loads((folder / name).read_text()), **changes}
    (folder / name).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def save(
    folder: Path,
    nodes: Sequence[Any],
    inputs: Sequence[tuple[Any, ...]],
    outputs: Sequence[tuple[Any, ...]],
    weights: Sequence[Any] = (),
    *,
    name: str = "model.onnx",
    opset: int = 17,
) -> Path:
    """Writes an ONNX file by hand; inputs and outputs are ``(name, type, shape)``."""
    from onnx import helper

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


def classify_nodes(
    classes: int = 2, source: str = "pixel_values", target: str = "logits"
) -> tuple[list[Any], list[Any]]:
    from onnx import helper, numpy_helper

    weights = np.zeros((3, classes), np.float32)
    weights[0, 0] = weights[1, min(1, classes - 1)] = 4
    nodes = [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], [target]),
    ]
    return nodes, [numpy_helper.from_array(weights, "weights")]


def left_in(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir()) if models.exists() else []
