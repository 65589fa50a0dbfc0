"""The front: candidates on one equal, short schedule, by accuracy, weights, bytes and milliseconds."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from training.config import Schedule
from training.models import count_parameters

__all__ = ["SCHEDULE", "latency", "measure_cost", "write_onnx"]

SCHEDULE = Schedule(
    steps=500, batch=64, lr=1.5e-3, warmup=60, ema=0.98, label_smoothing=0.05, echo=2, evaluate_every=250, seed=7
)
"""The same for every candidate: enough to rank what learns quickly, not to say where each would end."""


class _Logits(nn.Module):
    """A classifier whose forward pass returns a plain tensor."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 2)."""
        logits: Tensor = self.model(pixel_values).logits
        return logits


def write_onnx(model: Any, size: int, path: Path) -> None:
    """Writes a throw-away ONNX file for timing; the bundle's own comes from ``gender-classifier export``."""
    wrapped = _Logits(model.eval())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapped,
            (torch.zeros(1, 3, size, size),),
            str(path),
            input_names=["pixel_values"],
            output_names=["logits"],
            opset_version=17,
            dynamo=False,
        )


def latency(path: Path, size: int, runs: int = 300) -> float:
    """Median milliseconds for one picture on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"pixel_values": np.zeros((1, 3, size, size), np.float32)}
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


def measure_cost(model: Any, size: int, folder: Path) -> dict[str, float]:
    """Parameters, megabytes as ONNX and milliseconds of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "timing.onnx"
    write_onnx(model, size, path)
    cost = {
        "parameters": count_parameters(model),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "milliseconds": round(latency(path, size), 2),
    }
    path.unlink()
    return cost
