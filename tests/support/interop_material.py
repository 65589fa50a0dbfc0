"""Models and pictures for comparisons between programs, all drawn by code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gender_classifier.runtime.bundle import onnx_folder
from gender_classifier.runtime.bundle.manifest import MANIFEST_NAME
from support import ROOT

BUILTIN = ROOT / "models" / "gender-small"
SIZE = 32
PROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": SIZE, "width": SIZE}, "resample": 2},
    "clip": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": SIZE},
        "do_center_crop": True,
        "crop_size": {"height": SIZE, "width": SIZE},
        "resample": 3,
    },
}
MEANINGS = {"female": "female", "male": "male"}


def attention_model(parent: Path, processor: str = "vit", name: str = "") -> Path:
    """Writes a bundle with a small vision transformer of random weights: fp32, int8 (dynamic) and q4.

    It has the operators that matter between runtimes: a patch convolution, LayerNormalization, attention with Softmax,
    GELU by Erf, a pooled head. The head is strong enough for probabilities far from one half.
    """
    folder = parent / (name or f"attention-{processor}")
    (folder / "onnx").mkdir(parents=True)
    _write_attention(folder / "onnx/model.onnx")
    _quantize(folder / "onnx")
    common = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    means = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    texts = {
        # The men's class stands first here, against the alphabet: the order must come from the file.
        "config.json": {
            "model_type": "vit",
            "architectures": ["ViTForImageClassification"],
            "id2label": {"0": "male", "1": "female"},
            "label2id": {"male": 0, "female": 1},
        },
        "preprocessor_config.json": {**PROCESSORS[processor], **common, **means},
    }
    for file, text in texts.items():
        (folder / file).write_text(json.dumps(text, indent=2), encoding="utf-8")
    description = onnx_folder.describe(folder, folder.name)
    paths = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx", "q4": "onnx/model_q4.onnx"}
    read = {variant: onnx_folder.read_variant(folder, path, description, variant) for variant, path in paths.items()}
    source = onnx_folder.local_source(folder, folder.name, read)
    manifest = onnx_folder.make_manifest(folder, folder.name, source, description, read)
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return folder


def _write_attention(path: Path, width: int = 64, heads: int = 4, patch: int = 8) -> None:
    onnx = pytest.importorskip("onnx")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    random = np.random.default_rng(20)
    tokens = (SIZE // patch) ** 2
    weights: dict[str, np.ndarray[Any, Any]] = {
        "patch": random.normal(0, 0.08, (width, 3, patch, patch)),
        "position": random.normal(0, 0.3, (1, tokens, width)),
        **{name: random.normal(0, 0.15, (width, width)) for name in ("query", "key", "value", "out")},
        "up": random.normal(0, 0.12, (width, 4 * width)),
        "down": random.normal(0, 0.08, (4 * width, width)),
        "head": random.normal(0, 0.4, (width, 2)),
        **{f"scale{index}": np.ones(width) + random.normal(0, 0.1, width) for index in range(3)},
        **{f"shift{index}": random.normal(0, 0.1, width) for index in range(3)},
        "root": np.array(np.sqrt(width / heads)),
        "root2": np.array(np.sqrt(2)),
        "half": np.array(0.5),
        "one": np.array(1.0),
    }
    shapes = {
        "flat": [0, width, tokens],
        "split": [0, tokens, heads, width // heads],
        "merge": [0, tokens, width],
    }
    initializers = [from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    initializers += [from_array(np.asarray(value, np.int64), name) for name, value in shapes.items()]
    nodes: list[Any] = []

    def add(operator: str, inputs: str, output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs.split(), [output], name=output, **attributes))
        return output

    def normalised(source: str, index: int) -> str:
        return add("LayerNormalization", f"{source} scale{index} shift{index}", f"norm{index}", axis=-1)

    add("Conv", "pixel_values patch", "patches", strides=[patch, patch])
    add("Reshape", "patches flat", "columns")
    add("Transpose", "columns", "rows", perm=[0, 2, 1])
    add("Add", "rows position", "tokens")
    normalised("tokens", 0)
    for name, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        add("MatMul", f"norm0 {name}", f"{name}_all")
        add("Reshape", f"{name}_all split", f"{name}_split")
        add("Transpose", f"{name}_split", f"{name}_heads", perm=order)
    add("MatMul", "query_heads key_heads", "raw_scores")
    add("Div", "raw_scores root", "scores")
    add("Softmax", "scores", "attention", axis=-1)
    add("MatMul", "attention value_heads", "mixed_heads")
    add("Transpose", "mixed_heads", "mixed_split", perm=[0, 2, 1, 3])
    add("Reshape", "mixed_split merge", "mixed")
    add("MatMul", "mixed out", "projected")
    add("Add", "tokens projected", "after_attention")
    normalised("after_attention", 1)
    add("MatMul", "norm1 up", "wide")
    add("Div", "wide root2", "wide_scaled")
    add("Erf", "wide_scaled", "erf")
    add("Add", "erf one", "erf_one")
    add("Mul", "wide erf_one", "gelu_twice")
    add("Mul", "gelu_twice half", "gelu")
    add("MatMul", "gelu down", "narrow")
    add("Add", "after_attention narrow", "after_mlp")
    normalised("after_mlp", 2)
    add("ReduceMean", "norm2", "pooled", axes=[1], keepdims=0)
    add("MatMul", "pooled head", "logits")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "attention",
        [value("pixel_values", onnx.TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [value("logits", onnx.TensorProto.FLOAT, ["batch", 2])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _quantize(folder: Path) -> None:
    """Writes the int8 and q4 files as the Hub's tools do: MatMul weights to 8 bit, and to 4 bit in blocks of 32."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(
        folder / "model.onnx",
        folder / "model_quantized.onnx",
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=quantization.QuantType.QInt8,
    )
    _write_q4(folder / "model.onnx", folder / "model_q4.onnx")


def _write_q4(source: Path, target: Path, block: int = 32) -> None:
    """Puts MatMulNBits in the place of each MatMul by a weight: 4 bits a value, one scale per block, zero point 8."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(source)
    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        name = node.input[1]
        values = onnx.numpy_helper.to_array(weights[name])
        inner, outer = values.shape
        blocks = values.T.reshape(outer, inner // block, block)
        extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
        scales = np.where(extreme == 0, 1, extreme / -8)
        levels = np.clip(np.round(blocks / scales) + 8, 0, 15).astype(np.uint8)
        packed = levels[..., ::2] | levels[..., 1::2] << 4
        graph.initializer.remove(weights[name])
        graph.initializer.append(onnx.numpy_helper.from_array(packed, f"{name}_q4"))
        graph.initializer.append(onnx.numpy_helper.from_array(scales.astype(np.float32).ravel(), f"{name}_scales"))
        node.op_type, node.domain = "MatMulNBits", "com.microsoft"
        node.input[1:] = [f"{name}_q4", f"{name}_scales"]
        for key, value in (("K", inner), ("N", outer), ("bits", 4), ("block_size", block)):
            node.attribute.append(onnx.helper.make_attribute(key, value))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    target.write_bytes(model.SerializeToString())


def _noise(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def _ramp(width: int, height: int, seed: int) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [255 * columns / width, 255 * rows / height, 255 * (columns + rows + 7 * seed) / (width + height) % 256]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def _shapes(width: int, height: int, seed: int) -> Image.Image:
    """Draws ellipses, blocks and lines: flat areas with sharp edges, which resampling filters differ on most."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(int(value) for value in random.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    for index in range(14):
        x, y = (int(value) for value in random.integers(0, (width, height)))
        w, h = (int(value) for value in random.integers(2, (width // 2 + 3, height // 2 + 3)))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        figure = (draw.ellipse, draw.rectangle)[index % 2]
        figure((x - w // 2, y - h // 2, x + w // 2, y + h // 2), fill=colour)
        draw.line((x, y, y, x), fill=colour, width=1 + index % 3)
    return image


DRAWINGS: tuple[Callable[[int, int, int], Image.Image], ...] = (_noise, _ramp, _shapes)


def pictures(folder: Path, sizes: dict[str, tuple[int, int]], each: int = 2) -> dict[str, list[Path]]:
    """Writes PNG pictures of some sizes ``(width, height)`` and returns their paths by the name of the size."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[Path]] = {name: [] for name in sizes}
    for name, (width, height) in sizes.items():
        for drawing in DRAWINGS:
            for seed in range(each):
                path = folder / f"{name}-{drawing.__name__.strip('_')}-{seed}.png"
                drawing(width, height, seed).save(path)
                written[name].append(path)
    return written
