"""ONNX files as bundles hold them, and the rewrite that makes every runtime compute a padded pool alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gender_classifier.export import graph
from gender_classifier.export.errors import ExportError
from gender_classifier.runtime.session import create_session


def padded_pool(
    value: float | None, pads: tuple[int, ...], kernel: int = 3, stride: int = 2, size: int = 9, opset: int = 18
) -> Any:
    """Conv -> Pad(value) -> MaxPool, as BiT's stem is exported."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(4, 3, 3, 3)).astype(np.float32)
    inputs = ["conv", "pads"] if value is None else ["conv", "pads", "value"]
    initializers = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.array(pads, dtype=np.int64), "pads"),
    ]
    if value is not None:
        initializers.append(numpy_helper.from_array(np.float32(value), "value"))
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["x", "weight"], ["conv"], pads=[1, 1, 1, 1], name="conv"),
                helper.make_node("Pad", inputs, ["padded"], mode="constant", name="pad"),
                helper.make_node(
                    "MaxPool", ["padded"], ["y"], kernel_shape=[kernel] * 2, strides=[stride] * 2, name="p"
                ),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, size, size])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, None, None])],
            initializers,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=9,
    )


def run(model: Any, feed: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(create_session(model.SerializeToString()).run(None, {"x": feed})[0])


def by_hand(model: Any, feed: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same computation in torch. (ONNX's own reference evaluator mixes up pads that differ between axes.)"""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in model.graph.initializer
    }
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    settings = {each.name: helper.get_attribute_value(each) for each in pool.attribute}
    _, _, top, left, _, _, bottom, right = weights["pads"].tolist()
    image = functional.conv2d(torch.from_numpy(feed), weights["weight"], padding=1)
    padded = functional.pad(image, (left, right, top, bottom), value=float(weights.get("value", torch.tensor(0.0))))
    return functional.max_pool2d(padded, settings["kernel_shape"], settings["strides"]).numpy()


@pytest.mark.parametrize("value", [None, 0.0, 0.7, -1.5])
@pytest.mark.parametrize(
    ("pads", "kernel", "stride", "size"),
    [
        ((0, 0, 1, 1, 0, 0, 1, 1), 3, 2, 9),
        ((0, 0, 1, 1, 0, 0, 1, 1), 3, 2, 10),
        ((0, 0, 0, 1, 0, 0, 2, 0), 3, 1, 8),
        ((0, 0, 0, 0, 0, 0, 1, 1), 2, 2, 7),
    ],
)
def test_fixed_pool_equals_its_definition(
    value: float | None, pads: tuple[int, ...], kernel: int, stride: int, size: int
) -> None:
    model = padded_pool(value, pads, kernel, stride, size)
    feed = np.random.default_rng(1).normal(size=(2, 3, size, size)).astype(np.float32)
    expected = by_hand(model, feed)
    assert graph.fix_pad_before_maxpool(model) == 1
    onnx.checker.check_model(model)
    assert "Pad" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, feed), expected, atol=1e-5)


def test_the_defect_is_still_there() -> None:
    """Shows what the fix is for: without it the border is wrong, in onnxruntime up to 1.31."""
    import onnxruntime

    model = padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1))
    feed = np.random.default_rng(1).normal(size=(2, 3, 9, 9)).astype(np.float32)
    wrong = not np.allclose(run(model, feed), by_hand(model, feed), atol=1e-5)
    if not wrong:
        pytest.skip(f"onnxruntime {onnxruntime.__version__} computes the pair rightly")
    assert graph.fix_pad_before_maxpool(model) == 1
    np.testing.assert_allclose(run(model, feed), by_hand(padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1)), feed), atol=1e-5)


def test_pads_that_the_graph_computes_are_fixed_too() -> None:
    """The tracer writes the pads as Constant, ConstantOfShape, Concat, Slice, Transpose ... instead of one tensor."""
    model = padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1))
    feed = np.random.default_rng(1).normal(size=(2, 3, 9, 9)).astype(np.float32)
    expected = by_hand(model, feed)
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == "pads")
    model.graph.initializer.remove(stored)
    halves = [numpy_helper.from_array(np.array([0, 0, 1, 1], dtype=np.int32), name) for name in ("begin", "end")]
    nodes = [helper.make_node("Constant", [], [half.name], value=half) for half in halves]
    nodes.append(helper.make_node("Concat", ["begin", "end"], ["both"], axis=0))
    nodes.append(helper.make_node("Cast", ["both"], ["pads"], to=TensorProto.INT64))
    for position, node in enumerate(nodes):
        model.graph.node.insert(position, node)
    assert graph.fix_pad_before_maxpool(model) == 1
    np.testing.assert_allclose(run(model, feed), expected, atol=1e-5)


@pytest.mark.parametrize(("axis", "fixed"), [(2, 1), (0, 0)])
def test_pads_that_depend_on_sizes(axis: int, fixed: int) -> None:
    """Height and width are fixed, so pads that read them are constants; the batch axis is not."""
    model = padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1))
    feed = np.random.default_rng(1).normal(size=(9, 3, 9, 9)).astype(np.float32)
    expected = by_hand(model, feed)
    for array, name in ((np.array(axis), "axis"), (np.array([0, 0, 8, 8, 0, 0, 8, 8]), "less")):
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.int64), name))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 1, 1] * 2, dtype=np.int64), "mask"))
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["nine"]),
        helper.make_node("Mul", ["mask", "nine"], ["spread"]),
        helper.make_node("Sub", ["spread", "less"], ["computed"]),  # 9 - 8 where the mask is set
    ]
    for position, node in enumerate(nodes):
        model.graph.node.insert(position, node)
    next(node for node in model.graph.node if node.op_type == "Pad").input[1] = "computed"
    assert graph.fix_pad_before_maxpool(model) == fixed
    np.testing.assert_allclose(run(model, feed), expected, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        padded_pool(0.0, (0, 1, 1, 1, 0, 1, 1, 1)),  # pads channels too
        padded_pool(0.0, (0, 0, 3, 3, 0, 0, 3, 3)),  # pads as much as the kernel is wide
        padded_pool(0.0, (0, 0, -1, 1, 0, 0, 1, 1)),  # crops
    ],
)
def test_other_pads_are_left_alone(model: Any) -> None:
    before = model.SerializeToString()
    assert graph.fix_pad_before_maxpool(model) == 0
    assert model.SerializeToString() == before


def test_a_pad_that_others_read_is_left_alone() -> None:
    model = padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1))
    model.graph.node.append(helper.make_node("Relu", ["padded"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, None))
    assert graph.fix_pad_before_maxpool(model) == 0


def test_saved_files_are_for_old_runtimes(tmp_path: Path) -> None:
    model = padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1))
    model.ir_version = 13
    model.doc_string = "/home/somebody/model.py"
    model.graph.node[0].doc_string = "/home/somebody/model.py(12)"
    graph.save(model, tmp_path / "deep" / "m.onnx")
    read = graph.load(tmp_path / "deep" / "m.onnx")
    assert read.ir_version == 9
    assert b"somebody" not in (tmp_path / "deep" / "m.onnx").read_bytes()
    assert graph.opset_of(read) == 18
    with pytest.raises(ExportError, match="opset 19"):
        graph.save(padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1), opset=19), tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()


def test_identities_of_weights_are_inlined() -> None:
    model = padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1))
    graph.fix_pad_before_maxpool(model)
    feed = np.random.default_rng(1).normal(size=(1, 3, 9, 9)).astype(np.float32)
    expected = by_hand(padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1)), feed)
    model.graph.node.insert(0, helper.make_node("Identity", ["weight"], ["shared"]))
    model.graph.node[1].input[1] = "shared"
    graph.inline_identities(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "MaxPool", "Max"]
    np.testing.assert_allclose(run(model, feed), expected, atol=1e-5)


def test_weights_are_counted_by_operator() -> None:
    assert graph.weights_by_operator(padded_pool(0.0, (0, 0, 1, 1, 0, 0, 1, 1)))["Conv"] == 4 * 3 * 3 * 3
