"""A pool of drawn faces, a tiny recipe, and a network of random weights with the names of the CC0 one's."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from training.config import Faces, Network, Recipe, Schedule
from training.faces import UNKNOWN, Pool

RECIPE = Recipe(
    networks={
        "teacher": Network(size=32, hidden=(8, 8), depths=(1, 1), embedding=8, learns="soft", until=0.5),
        "student": Network(size=32, hidden=(8, 16), depths=(1, 1), embedding=8),
        "plain": Network(size=24, hidden=(8, 8), depths=(1, 1), embedding=8, learns="labels", every=2),
    },
    teacher="teacher",
    built_in="student",
    faces=Faces(chip=48),
    schedule=Schedule(seconds=6, batch=48, warmup=5, ema=0.9),
)


def pool(n: int = 240, seed: int = 0) -> Pool:
    """Women are reddish, men bluish; a quarter has no label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    chips = rng.integers(0, 120, (n, 3, 48, 48), dtype=np.uint8)
    chips[labels == 0, 0] += 100
    chips[labels == 1, 2] += 100
    shown = np.where(np.arange(n) % 4 == 3, UNKNOWN, labels)
    sources = np.where(shown == UNKNOWN, "people", np.where(np.arange(n) % 3, "large", "small"))
    held = np.arange(n) % 10 < 2
    return Pool(chips, shown, sources, held, np.ones(n, np.float32), np.full(n, 30, np.float32))


def gender_onnx(path: Path) -> Path:
    """A graph of the shape of gender-v1.onnx, by the names of its initialisers."""
    rng = np.random.default_rng(3)
    tensors, nodes, last = [], [], "images"

    def add(name: str, *shape: int, scale: float = 0.2) -> str:
        tensors.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
        return name

    def node(kind: str, *inputs: str, **attributes: object) -> str:
        nonlocal last
        last = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [last], **attributes))
        return last

    channels = 3
    for layer, affine, out in ((19, 18, 32), (16, 15, 32), (12, 11, 64), (9, 8, 64)):
        weights = add(f"layer_{layer}_weights", out, channels, 3, 3), add(f"layer_{layer}_bias", out)
        node("Conv", last, *weights, pads=[1, 1, 1, 1])
        node("Mul", last, add(f"layer_{affine}_scale", 1, out, 1, 1, scale=0.7))
        node("Relu", node("Add", last, add(f"layer_{affine}_offset", 1, out, 1, 1)))
        if layer in (16, 9):
            node("AveragePool", last, kernel_shape=[2, 2], strides=[2, 2])
        channels = out
    node("Flatten", node("Mul", last, add("layer_5_scalar", 1)))
    node("Relu", node("Gemm", last, add("layer_4_weights", 4096, 16, scale=0.05), add("layer_4_bias", 16)))
    node("Mul", last, add("layer_2_scalar", 1, scale=1.0))
    node("Softmax", node("Gemm", last, add("layer_1_weights", 16, 2, scale=0.5), add("layer_1_bias", 2)), axis=1)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 32])
    result = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "gender", [images], [result], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return path


def folder_of_pictures(root: Path, folder: str, rows: list[dict[str, str]], image: Image.Image) -> None:
    """Writes a data folder whose pictures are all the same but for one pixel."""
    (root / folder).mkdir(parents=True)
    columns = sorted({"file", "set", "licence", "sha256", *(key for row in rows for key in row)})
    with (root / folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        for number, row in enumerate(rows):
            name = f"{number}.png"
            image.putpixel((0, 0), (0, number, 7))
            image.save(root / folder / name)
            digest = hashlib.sha256((root / folder / name).read_bytes()).hexdigest()
            table.writerow({"file": name, "set": "s", "licence": "CC0 1.0", "sha256": digest, **row})
