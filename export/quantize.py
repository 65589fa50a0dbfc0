"""Writes smaller variants of an fp32 ONNX file: int8 and 4-bit weights.

All of them give right answers on every CPU. On x86 without VNNI the int8 kernels add pairs of products in 16 bits and
saturate (onnxruntime #5849, #6004), so signed weights are held to 7 bits (``reduce_range``). Convolutions are never
dynamically quantised: ConvInteger is slow, and with signed weights onnxruntime before 1.24 has no kernel for it.
Products over a number of values that is not a multiple of four stay fp32: see :func:`uneven`.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..runtime.session import import_onnxruntime
from . import graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "INT8_OPERATORS",
    "Int8Mode",
    "candidates",
    "int8_mode",
    "quantize_dynamic",
    "quantize_q4",
    "quantize_static",
    "uneven",
]

INT8_OPERATORS = ("MatMul", "Gemm")
_STATIC_OPERATORS = ("Conv", "MatMul", "Gemm", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Clip", "Relu")

Int8Mode = Literal["dynamic", "static"]

_INT8_COMPUTE = 4
"""``accuracy_level`` of MatMulNBits: a block's activations may be rounded to int8. Measured on four layers of ViT-B
size: a tenth less time than with float32, and the same error, because that of the weights outweighs it by far."""

BLOCK = 32
"""Weights that share one 4-bit scale; the size that every onnxruntime with MatMulNBits (from 1.17) has kernels for."""


def int8_mode(fp32: Path) -> Int8Mode:
    """Chooses the kind of int8: dynamic where MatMul and Gemm hold most weights, else static with calibration."""
    counted = graph.weights_by_operator(graph.load(fp32))
    dense = sum(counted.get(operator, 0) for operator in INT8_OPERATORS)
    return "dynamic" if dense >= counted.get("Conv", 0) else "static"


def candidates(fp32: Path, operators: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the nodes that quantisation would touch: those operators, with constant weights."""
    model = graph.load(fp32)
    constant = {tensor.name for tensor in model.graph.initializer}
    return tuple(
        node.name
        for node in model.graph.node
        if node.op_type in operators and any(name in constant for name in node.input[1:2])
    )


def uneven(fp32: Path) -> tuple[str, ...]:
    """Returns the nodes whose every output sums a number of products that is not a multiple of four.

    onnxruntime 1.23, the last one for Python 3.10, gets such rows wrong in its int8 kernels for AMX: measured on
    1.23.2, a 7x7 convolution of three channels (147 products) is off by most of its range, and differs from run to
    run. Multiples of four, and convolutions in groups, which have kernels of their own, are exact there.
    """
    model = graph.load(fp32)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        shape = shapes.get(node.input[1], ()) if len(node.input) > 1 else ()
        options = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type == "Conv" and options.get("group", 1) == 1:
            products = math.prod(shape[1:])
        elif node.op_type == "Gemm" and len(shape) == 2:
            products = shape[1] if options.get("transB") else shape[0]
        elif node.op_type == "MatMul" and len(shape) >= 2:
            products = shape[-2]
        else:
            continue
        if products % 4:
            found.append(node.name)
    return tuple(found)


def quantize_dynamic(fp32: Path, path: Path, exclude: Sequence[str] = ()) -> dict[str, Any]:
    """Writes the dynamic int8 variant: MatMul and Gemm only, 7-bit signed weights per channel, uint8 activations.

    Args:
        fp32: The file to quantise.
        path: The file to write.
        exclude: Names of nodes that stay fp32.

    Returns:
        The settings, for the manifest.
    """
    from onnxruntime.quantization import quantize_dynamic as run

    # Shared activations must not get int8 weights of the other operand: only constants are quantised.
    shared = _int8(run, fp32, path, exclude, INT8_OPERATORS, extra_options={"MatMulConstBOnly": True})
    return {
        "mode": "dynamic",
        "format": "QOperator",
        "activations": "uint8, scale from each input",
        **shared,
    }


def quantize_static(
    fp32: Path, path: Path, exclude: Sequence[str] = (), *, calibration: Sequence[NDArray[np.float32]]
) -> dict[str, Any]:
    """Writes the static int8 variant (QDQ), activation ranges measured on calibration pictures.

    Args:
        fp32: The file to quantise.
        path: The file to write.
        exclude: Names of nodes that stay fp32.
        calibration: Inputs, each float32 (3, H, W); not the verification pictures.

    Returns:
        The settings, for the manifest.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as run

    input_name = str(graph.load(fp32).graph.input[0].name)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            pixels = next(self._left, None)
            return None if pixels is None else {input_name: pixels[np.newaxis]}

    shared = _int8(
        run,
        fp32,
        path,
        exclude,
        _STATIC_OPERATORS,
        calibration_data_reader=Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    return {
        "mode": "static",
        "format": "QDQ",
        "activations": "uint8, ranges from calibration (MinMax)",
        "calibration_pictures": len(calibration),
        **shared,
    }


def _int8(
    run: Callable[..., None], fp32: Path, path: Path, exclude: Sequence[str], operators: Sequence[str], **named: Any
) -> dict[str, Any]:
    """Runs one of onnxruntime's quantisers; returns the settings that both kinds of int8 share.

    Args:
        run: ``quantize_dynamic`` or ``quantize_static``.
        fp32: The file to quantise.
        path: The file to write.
        exclude: Names of nodes that stay fp32, beside the uneven ones.
        operators: The kinds of node to quantise.
        **named: Further arguments of the quantiser.
    """
    import onnx
    from onnxruntime.quantization import QuantType

    left_out = [*exclude, *(name for name in uneven(fp32) if name not in exclude)]
    with tempfile.TemporaryDirectory(dir=fp32.parent) as scratch:
        prepared, raw = Path(scratch) / "prepared.onnx", Path(scratch) / "raw.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(graph.load(fp32)), str(prepared))
        run(
            prepared,
            raw,
            op_types_to_quantize=list(operators),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=left_out,
            **named,
        )
        graph.save(graph.load(raw), path)
    return {
        "operators": list(operators),
        "weights": "int8 per channel, 7 bits",
        "excluded_nodes": left_out,
        "tool": f"onnxruntime {import_onnxruntime().__version__}",
    }


def quantize_q4(fp32: Path, path: Path, exclude: Sequence[str] = ()) -> dict[str, Any]:
    """Writes the 4-bit variant: weights of MatMul in blocks of 32 along the inputs (MatMulNBits).

    Each block has one scale and is symmetric: value = scale * (q - 8), q from 0 to 15. The scale carries the sign of
    the block's largest weight, so that this one falls on q = 0 and the full range is used.

    Args:
        fp32: The file to quantise.
        path: The file to write.
        exclude: Names of nodes that stay fp32.

    Returns:
        The settings, for the manifest.
    """
    from onnx import helper, numpy_helper

    model = graph.load(fp32)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    users = Counter(name for node in model.graph.node for name in node.input)
    for position, node in enumerate(list(model.graph.node)):
        weight = tensors.get(node.input[1]) if node.op_type == "MatMul" and len(node.input) == 2 else None
        if weight is None or node.name in exclude or len(weight.dims) != 2 or users[weight.name] != 1:
            continue
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.shape[0] < BLOCK:
            continue
        packed, scales = pack_4bit(values)
        names = [f"{weight.name}_q4", f"{weight.name}_q4_scales"]
        model.graph.initializer.remove(weight)
        model.graph.initializer.extend(
            [numpy_helper.from_array(packed, names[0]), numpy_helper.from_array(scales, names[1])]
        )
        replacement = helper.make_node(
            "MatMulNBits",
            [node.input[0], *names],
            list(node.output),
            name=f"{node.name}_q4",
            domain="com.microsoft",
            K=values.shape[0],
            N=values.shape[1],
            bits=4,
            block_size=BLOCK,
            accuracy_level=_INT8_COMPUTE,
        )
        model.graph.node.remove(node)
        model.graph.node.insert(position, replacement)
    if all(entry.domain != "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    graph.save(model, path)
    return {
        "mode": "weight-only",
        "format": "MatMulNBits",
        "operators": ["MatMul"],
        "weights": f"4 bits, symmetric, blocks of {BLOCK}",
        "activations": "int8 by block where the CPU has kernels for it, else float32",
        "excluded_nodes": list(exclude),
        "tool": "gender-classifier export",
    }


def pack_4bit(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Packs a matrix for MatMulNBits.

    Args:
        weight: float32 (K, N): inputs by outputs.

    Returns:
        uint8 (N, blocks, 16), two values a byte, the first in the low half; and float32 (N * blocks) scales.
    """
    inputs, outputs = weight.shape
    blocks = -(-inputs // BLOCK)
    padded = np.zeros((outputs, blocks * BLOCK), dtype=np.float32)
    padded[:, :inputs] = weight.T
    grouped = padded.reshape(outputs, blocks, BLOCK)
    largest = np.take_along_axis(grouped, np.abs(grouped).argmax(axis=2)[..., np.newaxis], axis=2)
    scales = (largest / -8.0).astype(np.float32)
    safe = np.where(scales == 0, np.float32(1), scales)
    codes = np.clip(np.rint(grouped / safe) + 8, 0, 15).astype(np.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), scales.reshape(-1)
