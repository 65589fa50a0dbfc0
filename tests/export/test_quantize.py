"""int8 and 4-bit weights: right on every CPU, and as small as they say."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gender_classifier.export import graph, quantize
from gender_classifier.export.variants import exclusion_groups
from gender_classifier.runtime.session import create_session


def dense(path: Path, sizes: tuple[int, ...] = (64, 96, 80, 10), seed: int = 0) -> list[NDArray[np.float32]]:
    """Writes a stack of MatMul + Relu (N, T, sizes[0]) -> (N, T, sizes[-1]); returns its weights."""
    generator = np.random.default_rng(seed)
    shapes = list(itertools.pairwise(sizes))
    weights = [generator.normal(size=shape).astype(np.float32) / shape[0] ** 0.5 for shape in shapes]
    nodes, last = [], "x"
    for index in range(len(weights)):
        nodes.append(
            helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"], name=f"/layer.{index}/dense/MatMul")
        )
        last = f"m{index}"
        if index < len(weights) - 1:
            nodes.append(helper.make_node("Relu", [last], [f"r{index}"], name=f"/layer.{index}/Relu"))
            last = f"r{index}"
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5, sizes[0]])],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 5, sizes[-1]])],
            [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    graph.save(model, path)
    return weights


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(path)).graph.node}


def run(path: Path, feed: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(create_session(path).run(None, {"x": feed})[0])


def unpack(packed: NDArray[np.uint8], scales: NDArray[np.float32], inputs: int) -> NDArray[np.float32]:
    """The definition of MatMulNBits' weights, written independently: low half first, minus 8, times the scale."""
    outputs, blocks, _ = packed.shape
    codes = np.empty((outputs, blocks, quantize.BLOCK), dtype=np.int32)
    codes[..., 0::2], codes[..., 1::2] = packed & 15, packed >> 4
    values = (codes - 8) * scales.reshape(outputs, blocks, 1)
    return values.reshape(outputs, -1)[:, :inputs].T.astype(np.float32)


@pytest.mark.parametrize("inputs", [32, 64, 40, 100])
def test_4_bit_packing(inputs: int) -> None:
    weight = np.random.default_rng(inputs).normal(size=(inputs, 7)).astype(np.float32)
    weight[:, 3] = 0
    packed, scales = quantize.pack_4bit(weight)
    assert packed.shape == (7, -(-inputs // 32), 16)
    restored = unpack(packed, scales, inputs)
    step = np.abs(scales).reshape(7, -1).max(axis=1)
    assert (np.abs(restored - weight) <= step * 1.0001).all()  # a whole step at the far end of a block only
    assert np.sqrt(((restored - weight) ** 2).mean()) < 0.12 * weight.std()
    assert (restored[:, 3] == 0).all()
    largest = np.abs(weight[:32]).argmax(axis=0)
    columns = [0, 1, 2, 4, 5, 6]
    np.testing.assert_allclose(restored[largest[columns], columns], weight[largest[columns], columns], rtol=1e-6)


def test_q4_computes_with_the_unpacked_weights(tmp_path: Path) -> None:
    weights = dense(tmp_path / "fp32.onnx")
    settings = quantize.quantize_q4(tmp_path / "fp32.onnx", tmp_path / "q4.onnx")
    assert settings["mode"] == "weight-only"
    assert operators(tmp_path / "q4.onnx") == {"MatMulNBits", "Relu"}
    feed = np.random.default_rng(9).normal(size=(2, 5, 64)).astype(np.float32)
    expected = feed
    for index, weight in enumerate(weights):
        expected = expected @ unpack(*quantize.pack_4bit(weight), weight.shape[0])
        expected = np.maximum(expected, 0) if index < 2 else expected
    made = run(tmp_path / "q4.onnx", feed)
    assert np.abs(made - expected).max() < 0.02 * np.abs(expected).max()  # activations may be rounded to 8 bits
    exact = run(tmp_path / "fp32.onnx", feed)
    assert np.abs(made - exact).max() < 0.25 * np.abs(exact).max()
    assert (tmp_path / "q4.onnx").stat().st_size < (tmp_path / "fp32.onnx").stat().st_size / 4


def test_dynamic_int8_touches_constant_matmuls_only(tmp_path: Path) -> None:
    dense(tmp_path / "fp32.onnx")
    settings = quantize.quantize_dynamic(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    assert settings["mode"] == "dynamic"  # what makes the runtime run one picture at a time
    assert "MatMulInteger" in operators(tmp_path / "int8.onnx")
    assert "ConvInteger" not in operators(tmp_path / "int8.onnx")
    feed = np.random.default_rng(9).normal(size=(1, 5, 64)).astype(np.float32)
    exact = run(tmp_path / "fp32.onnx", feed)
    assert np.abs(run(tmp_path / "int8.onnx", feed) - exact).max() < 0.08 * np.abs(exact).max()
    model = onnx.load(str(tmp_path / "int8.onnx"))
    assert model.ir_version <= 9


def test_dynamic_int8_cannot_saturate(tmp_path: Path) -> None:
    """Without VNNI two neighbouring products are added in 16 bits: 2 * 255 * weight must stay below 32768."""
    dense(tmp_path / "fp32.onnx")
    quantize.quantize_dynamic(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    found = 0
    for tensor in onnx.load(str(tmp_path / "int8.onnx")).graph.initializer:
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2:
            found += 1
            assert 2 * 255 * np.abs(numpy_helper.to_array(tensor).astype(np.int32)).max() < 2**15
    assert found == 3


def test_excluded_nodes_stay_as_they_are(tmp_path: Path) -> None:
    weights = dense(tmp_path / "fp32.onnx")
    names = quantize.candidates(tmp_path / "fp32.onnx", ["MatMul"])
    assert names == tuple(f"/layer.{index}/dense/MatMul" for index in range(3))
    for quantizer in (quantize.quantize_dynamic, quantize.quantize_q4):
        settings = quantizer(tmp_path / "fp32.onnx", tmp_path / "made.onnx", names[:1])
        assert settings["excluded_nodes"] == [names[0]]
        kept = [
            numpy_helper.to_array(tensor)
            for tensor in onnx.load(str(tmp_path / "made.onnx")).graph.initializer
            if tensor.data_type == TensorProto.FLOAT and tuple(tensor.dims) == weights[0].shape
        ]
        np.testing.assert_array_equal(kept[0], weights[0])


def conv_net(path: Path) -> None:
    generator = np.random.default_rng(0)
    shapes: list[Any] = [(16, 3, 3, 3), (32, 16, 3, 3)]
    weights = [(generator.normal(size=shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32) for shape in shapes]
    graph.save(
        helper.make_model(
            helper.make_graph(
                [
                    helper.make_node("Conv", ["x", "w0"], ["c0"], pads=[1] * 4, name="c0"),
                    helper.make_node("Relu", ["c0"], ["r0"], name="r0"),
                    helper.make_node("Conv", ["r0", "w1"], ["c1"], pads=[1] * 4, strides=[2, 2], name="c1"),
                    helper.make_node("GlobalAveragePool", ["c1"], ["y"], name="pool"),
                ],
                "g",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32, 1, 1])],
                [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)],
            ),
            opset_imports=[helper.make_opsetid("", 18)],
        ),
        path,
    )


def test_static_int8(tmp_path: Path) -> None:
    conv_net(tmp_path / "fp32.onnx")
    assert quantize.int8_mode(tmp_path / "fp32.onnx") == "static"
    generator = np.random.default_rng(3)
    calibration = [generator.normal(size=(3, 16, 16)).astype(np.float32) for _ in range(16)]
    settings = quantize.quantize_static(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", calibration=calibration)
    assert settings["calibration_pictures"] == 16
    model = onnx.load(str(tmp_path / "int8.onnx"))
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    kernels = [
        tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(kernels) == 1  # the other one sums 27 products, see test_products_that_are_no_multiple_of_four_stay_fp32
    assert len(settings["excluded_nodes"]) == 1
    for tensor in kernels:
        assert 2 * 255 * np.abs(numpy_helper.to_array(tensor).astype(np.int32)).max() < 2**15
    feed = generator.normal(size=(1, 3, 16, 16)).astype(np.float32)
    exact = run(tmp_path / "fp32.onnx", feed)
    assert np.abs(run(tmp_path / "int8.onnx", feed) - exact).max() < 0.1 * np.abs(exact).max()


def test_mode_follows_the_weights(tmp_path: Path) -> None:
    dense(tmp_path / "dense.onnx")
    assert quantize.int8_mode(tmp_path / "dense.onnx") == "dynamic"


def test_groups_for_exclusion() -> None:
    names = [f"/vit/layer.{layer}/{part}/MatMul" for layer in range(3) for part in ("query", "dense")]
    groups = exclusion_groups(names)
    assert groups["/vit/layer.#/query/MatMul"] == tuple(names[0::2])
    assert groups["/vit/layer.1"] == tuple(names[2:4])
    assert set().union(*groups.values()) == set(names)
    assert exclusion_groups(["/classifier/MatMul"]) == {"/classifier/MatMul": ("/classifier/MatMul",)}
    assert exclusion_groups([]) == {}


def test_products_that_are_no_multiple_of_four_stay_fp32(tmp_path: Path) -> None:
    """onnxruntime 1.23 computes them wrongly on processors with AMX; whatever runs the test, the file is safe there."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)

    def conv(name: str, before: str, after: str, kernel: int, group: int = 1) -> onnx.NodeProto:
        return onnx.helper.make_node(
            "Conv",
            [before, f"w{name}"],
            [after],
            name=name,
            kernel_shape=[kernel] * 2,
            pads=[kernel // 2] * 4,
            group=group,
        )

    network = onnx.helper.make_graph(
        [
            conv("stem", "x", "a", 7),  # 3 * 7 * 7 = 147
            conv("depthwise", "a", "b", 3, group=8),  # 9, but in groups
            conv("pointwise", "b", "c", 1),  # 8
            onnx.helper.make_node("GlobalAveragePool", ["c"], ["d"]),
            onnx.helper.make_node("Flatten", ["d"], ["e"]),
            onnx.helper.make_node("Gemm", ["e", "wodd"], ["f"], name="odd", transB=1),  # 6
            onnx.helper.make_node("MatMul", ["f", "weven"], ["y"], name="even"),  # 4
        ],
        "uneven",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, 16, 16])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])],
        [
            weights("wstem", 8, 3, 7, 7),
            weights("wdepthwise", 8, 1, 3, 3),
            weights("wpointwise", 6, 8, 1, 1),
            weights("wodd", 4, 6),
            weights("weven", 4, 2),
        ],
    )
    model = onnx.helper.make_model(network, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "fp32.onnx"))
    assert quantize.uneven(tmp_path / "fp32.onnx") == ("stem", "odd")
    calibration = [rng.normal(0, 1, (3, 16, 16)).astype(np.float32) for _ in range(3)]
    settings = quantize.quantize_static(
        tmp_path / "fp32.onnx", tmp_path / "int8.onnx", ("pointwise",), calibration=calibration
    )
    assert settings["excluded_nodes"] == ["pointwise", "stem", "odd"]
    stored = {tensor.name: tensor.data_type for tensor in onnx.load(str(tmp_path / "int8.onnx")).graph.initializer}
    assert stored["wstem"] == stored["wodd"] == onnx.TensorProto.FLOAT
    assert "wdepthwise" not in stored
    assert "weven" not in stored
