"""The reader of ONNX files: equal to the ``onnx`` package on real files, and never more than a sentence on others."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gender_classifier.runtime.bundle.onnx_header import FLOAT16, FLOAT32, TensorInfo, read_header
from gender_classifier.runtime.errors import BundleError

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def model(ir_version: int = 8, inputs_hold_weights: bool = False):
    """A graph with a subgraph, a local function, sparse and half-precision weights: every place that is looked into."""
    weight = onnx.numpy_helper.from_array(np.zeros((3, 2), np.float16), "w")
    values = onnx.numpy_helper.from_array(np.ones(1, np.float64), "s")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "s_indices")
    branch = helper.make_graph(
        [helper.make_node("Sin", ["x"], ["b"])], "branch", [], [helper.make_tensor_value_info("b", FLOAT32, None)]
    )
    constant = helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.int32(1), "inner"))
    nodes = [
        constant,
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("Mine", ["x"], ["z"], domain="local"),
    ]
    inputs = [helper.make_tensor_value_info("x", FLOAT32, ["n", 3, -1, 8])]
    if inputs_hold_weights:
        inputs.append(helper.make_tensor_value_info("w", FLOAT16, [3, 2]))
    outputs = [helper.make_tensor_value_info("y", FLOAT16, ["n"]), helper.make_tensor_value_info("z", FLOAT32, [])]
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [weight], sparse_initializer=[helper.make_sparse_tensor(values, indices, [4])]
    )
    function = helper.make_function(
        "local", "Mine", ["a"], ["b"], [helper.make_node("Cos", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("local", 1), helper.make_opsetid("", 17), helper.make_opsetid("x.y", 3)],
        functions=[function],
        ir_version=ir_version,
        producer_name="made",
        producer_version="1.2",
    )


def header_of(tmp_path, proto):
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return read_header(path)


def test_it_reads_what_the_onnx_package_wrote(tmp_path):
    header = header_of(tmp_path, model())
    assert (header.ir_version, header.opset, header.producer) == (8, 17, "made 1.2")
    assert header.inputs == (TensorInfo("x", FLOAT32, (None, 3, None, 8)),)
    assert header.outputs == (TensorInfo("y", FLOAT16, (None,)), TensorInfo("z", FLOAT32, ()))
    assert header.operators == {"Constant", "If", "Sin", "Mine", "Cos"}
    assert header.weight_types == {onnx.TensorProto.FLOAT16, *map(int, (6, 7, 11))}
    assert header.external_files == frozenset()


def test_weights_among_the_inputs_are_no_inputs(tmp_path):
    header = header_of(tmp_path, model(ir_version=3, inputs_hold_weights=True))
    assert [one.name for one in header.inputs] == ["x"]


def test_external_weights_are_found_in_subgraphs_too(tmp_path):
    proto = model()
    tensor = proto.graph.node[1].attribute[0].g.initializer.add()
    tensor.name, tensor.data_type, tensor.data_location = "far", FLOAT32, onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere.bin")
    tensor.external_data.add(key="offset", value="0")
    assert header_of(tmp_path, proto).external_files == {"elsewhere.bin"}


def test_a_graph_within_graphs_without_end(tmp_path):
    graph = helper.make_graph([], "g", [], [])
    for _ in range(20):
        graph = helper.make_graph([helper.make_node("If", [], [], then_branch=graph)], "g", [], [])
    with pytest.raises(BundleError, match="no ONNX file"):
        header_of(tmp_path, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def test_no_such_file(tmp_path):
    with pytest.raises(BundleError, match="No such file"):
        read_header(tmp_path / "model.onnx")


@pytest.mark.parametrize("missing", ["graph", "ir_version", "opset_import"])
def test_a_message_without_its_main_parts(tmp_path, missing):
    proto = model()
    proto.ClearField(missing)
    with pytest.raises(BundleError, match="no ONNX file"):
        header_of(tmp_path, proto)


GOOD = model().SerializeToString()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path, data):
    content = bytearray(GOOD[: data.draw(st.integers(0, len(GOOD)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(bytes(content))
    with contextlib.suppress(BundleError):
        read_header(path)
