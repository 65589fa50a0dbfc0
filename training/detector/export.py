"""Writes the trained network as ONNX, with YuNet's names and weights stored in half precision, and its record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from .network import STRIDES, Detector

__all__ = ["ATTRIBUTION", "NAMES", "export", "write_record"]

NAMES = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)

ATTRIBUTION = (
    "The gender-classifier authors; trained on the pictures that the card names with their makers and licences, with "
    "boxes and landmarks by YuNet (Wu, Peng, Yu 2023; libfacedetection.train, Apache-2.0)"
)


class _Interface(nn.Module):
    """YuNet's twelve outputs, each (N, cells, channels), cells row by row; scores in [0, 1]."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        parts: dict[str, Tensor] = {}
        for stride, grid in zip(STRIDES, self.network(pixels), strict=True):
            scores, boxes, landmarks = grid.permute(0, 2, 3, 1).flatten(1, 2).split((2, 4, 10), 2)
            parts[f"cls_{stride}"], parts[f"obj_{stride}"] = scores.sigmoid().split(1, 2)
            parts[f"bbox_{stride}"], parts[f"kps_{stride}"] = boxes, landmarks
        return tuple(parts[name] for name in NAMES)


def export(network: Detector, path: Path) -> None:
    """Writes the ONNX file: opset 17, dynamic height and width, batch normalisation folded into the convolutions."""
    axes = {"input": {2: "height", 3: "width"}, **{name: {1: "cells"} for name in NAMES}}
    torch.onnx.export(
        _Interface(network).eval(),
        (torch.zeros(1, 3, 320, 320),),
        str(path),
        input_names=["input"],
        output_names=list(NAMES),
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _halve(model)
    model.ir_version = min(model.ir_version, 9)
    model.producer_name = model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _halve(model: onnx.ModelProto) -> None:
    """Stores float32 weights as float16 behind a Cast, which onnxruntime folds when it loads the file."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 16:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(casts):
        model.graph.node.insert(0, node)


def write_record(path: Path, threshold: float, detect_size: int) -> None:
    """Writes ``detector.json`` beside the file: what the runtime compares the file with, and goes by."""
    content = path.read_bytes()
    record = {
        "format_version": 1,
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "threshold": threshold,
        "detect_size": detect_size,
        "source": {"kind": "trained", "recipe": "training/detector"},
        "license": "CC-BY-4.0",
        "attribution": ATTRIBUTION,
    }
    path.with_name("detector.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
