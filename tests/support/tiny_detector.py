"""A face detector small enough to know by heart: YuNet's twelve outputs from one convolution per stride."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

STRIDES = (8, 16, 32)


def write_detector(
    path: Path,
    heads: dict[int, tuple[Any, Any]],
    *,
    size: tuple[int, int] | None = None,
    outputs: tuple[str, ...] = ("cls", "obj", "bbox", "kps"),
) -> Path:
    """Writes an ONNX file whose cells see the mean colour below them.

    Args:
        path: Where to.
        heads: By stride, a (16, 3) matrix on the mean blue, green and red in [0, 1], and 16 biases. The values are
            cls, obj (both then through a sigmoid), 4 of bbox, 10 of kps. A stride that is not named sees no face.
        size: Width and height of the input; dynamic when left out.
        outputs: Which kinds of outputs the graph has.
    """
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, results = [], [], []
    for stride in STRIDES:
        matrix, bias = heads.get(stride, (np.zeros((16, 3)), np.array([-20.0] * 2 + [0.0] * 14)))
        kernel = np.asarray(matrix, np.float32)[:, :, None, None] / (stride * stride * 255)
        kernel = np.broadcast_to(kernel, (16, 3, stride, stride))
        weights += [
            numpy_helper.from_array(np.ascontiguousarray(kernel, np.float32), f"w{stride}"),
            numpy_helper.from_array(np.asarray(bias, np.float32), f"b{stride}"),
            numpy_helper.from_array(np.array([1, -1, 16], np.int64), f"shape{stride}"),
        ]
        nodes += [
            helper.make_node(
                "Conv",
                ["input", f"w{stride}", f"b{stride}"],
                [f"grid{stride}"],
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            ),
            helper.make_node("Transpose", [f"grid{stride}"], [f"last{stride}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"last{stride}", f"shape{stride}"], [f"cells{stride}"]),
        ]
        for kind, start, end in (("cls", 0, 1), ("obj", 1, 2), ("bbox", 2, 6), ("kps", 6, 16)):
            if kind not in outputs:
                continue
            for name, value in (("start", start), ("end", end), ("axis", 2)):
                weights.append(numpy_helper.from_array(np.array([value], np.int64), f"{kind}{stride}{name}"))
            logits = f"{kind}_{stride}" if kind in ("bbox", "kps") else f"{kind}{stride}raw"
            bounds = [f"{kind}{stride}{name}" for name in ("start", "end", "axis")]
            nodes.append(helper.make_node("Slice", [f"cells{stride}", *bounds], [logits]))
            if logits.endswith("raw"):
                nodes.append(helper.make_node("Sigmoid", [logits], [f"{kind}_{stride}"]))
            results.append(helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, [1, None, end - start]))
    for node in nodes:
        node.name = node.output[0]  # onnxruntime before 1.20 gives nodes without a name one and the same
    shape = [1, 3, *(("height", "width") if size is None else (size[1], size[0]))]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)], results, weights
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(proto.SerializeToString())
    return path


def red_detector(path: Path, *, stride: int = 8, times: float = 1.0, size: tuple[int, int] | None = None) -> Path:
    """Writes a detector for which a face is a cell of pure red; its box is ``times`` the cell, around its centre.

    Half a cell of red scores 0.5; blue, green and white are no faces. All landmarks are the cell's centre.
    """
    matrix = np.zeros((16, 3))
    matrix[:2] = (-40, -40, 40)
    bias = [-20.0, -20.0, 0.5, 0.5, np.log(times), np.log(times), *[0.5] * 10]
    return write_detector(path, {stride: (matrix, bias)}, size=size)
