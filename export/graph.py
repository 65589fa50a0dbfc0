"""Reads, rewrites and saves ONNX graphs: one self-contained file, opset and IR version that old runtimes read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "MAX_IR_VERSION",
    "OPSET",
    "fix_pad_before_maxpool",
    "fix_shapes",
    "inline_identities",
    "load",
    "opset_of",
    "save",
    "weights_by_operator",
]

OPSET = 18
"""onnxruntime 1.17 reads up to opset 20; 18 is what Optimum exports by default."""

MAX_IR_VERSION = 9
"""onnxruntime 1.17 reads IR 9; new versions of onnx write newer ones unless told otherwise."""

_MAX_BYTES = 2**31 - 2**20
"""Protobuf's limit for one file, less a margin for what is not weights."""


def load(path: Path) -> Any:
    """Reads an ONNX file with all its weights."""
    import onnx

    return onnx.load(str(path), load_external_data=True)


def save(model: Any, path: Path) -> None:
    """Writes one self-contained file, checked, with IR version at most 9 and without comments.

    Every step that saves a model goes through here: quantisers raise the IR version to their onnx package's newest.

    Raises:
        ExportError: If it needs a newer opset than 18, or is larger than one file may be.
    """
    import onnx

    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    model.producer_name, model.producer_version, model.doc_string = "gender-classifier export", "", ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    if opset_of(model) > OPSET:
        raise ExportError(f"The graph needs opset {opset_of(model)}, and bundles hold at most {OPSET}.")
    if model.ByteSize() > _MAX_BYTES:
        raise ExportError("The network is larger than 2 GB, more than one ONNX file can hold.")
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path), save_as_external_data=False)


def opset_of(model: Any) -> int:
    """Returns the version of the default operator set."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def fix_shapes(model: Any, classes: int) -> None:
    """Writes the interface into the graph: dynamic batch axis named alike on both ends, everything else fixed."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch_size"
    output = model.graph.output[0].type.tensor_type.shape
    if len(output.dim) != 2:
        raise ExportError(f"The network's logits have {len(output.dim)} axes; a classifier has two (batch, classes).")
    output.dim[1].dim_value = classes


def inline_identities(model: Any) -> None:
    """Lets nodes read a shared weight itself: the tracer's Identity in between hides that it is constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    source: dict[str, str] = {}
    for node in list(model.graph.node):
        if node.op_type == "Identity" and node.input[0] in constants and node.output[0] not in outputs:
            source[node.output[0]] = node.input[0]
            model.graph.node.remove(node)
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name in source:
                node.input[position] = source[name]


def weights_by_operator(model: Any) -> dict[str, int]:
    """Counts the weights that each kind of operator holds (MatMul, Gemm, Conv, ...)."""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    counted: Counter[str] = Counter()
    for node in model.graph.node:
        counted[node.op_type] += sum(sizes.get(name, 0) for name in node.input)
    return {operator: count for operator, count in counted.items() if count}


def fix_pad_before_maxpool(model: Any) -> int:
    """Rewrites a constant Pad in front of a MaxPool so that every runtime computes it alike.

    onnxruntime up to 1.31 fuses the two (Pad_Fusion) and forgets the pad value: MaxPool pads with minus
    infinity, and where the padded zeros would have been the maximum the result is wrong (BiT: logits off by 0.24). Here
    MaxPool pads by itself, and the maximum with a constant restores what the pad value would have done: the pad value
    where a window reaches into the border, the lowest float elsewhere.

    Returns:
        How many pairs were rewritten.
    """
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    }
    made_by = {name: node for node in graph.node for name in node.output}
    consumers = Counter(name for node in graph.node for name in node.input)
    fixed = 0
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        pad = made_by.get(pool.input[0])
        if pad is None or pad.op_type != "Pad" or consumers[pad.output[0]] != 1:
            continue
        constants = {name: _constant_value(name, model, made_by, shapes) for name in pad.input[1:3] if name}
        plan = _plan(pad, pool, constants, shapes.get(pad.input[0], []))
        if plan is None:
            continue
        pads, border = plan
        number = list(graph.node).index(pool)
        name, result = f"{pool.name}_border", pool.output[0]
        inner = f"{result}_padded_by_pool"
        graph.initializer.append(numpy_helper.from_array(border, name))
        pool.input[0], pool.output[0] = pad.input[0], inner
        for attribute in [each for each in pool.attribute if each.name in ("pads", "auto_pad")]:
            pool.attribute.remove(attribute)
        pool.attribute.append(helper.make_attribute("pads", pads))
        graph.node.insert(number + 1, helper.make_node("Max", [inner, name], [result], name=f"{pool.name}_max"))
        graph.node.remove(pad)
        fixed += 1
    return fixed


def _constant_value(name: str, model: Any, made_by: dict[str, Any], shapes: dict[str, list[int]]) -> Any:
    """Computes a value that depends on constants and on fixed sizes alone; ``None`` for any other.

    The tracer writes pads as a dozen nodes, some of which read the (fixed) height and width from a Shape. The batch
    axis is the one that is not fixed: two sizes of it must give the same value.
    """
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    needed: list[Any] = []
    sizes: dict[str, list[int]] = {}
    read, open_names = set(), [name]
    while open_names:
        each = open_names.pop()
        node = made_by.get(each)
        if each in stored:
            read.add(each)
        elif node is not None and node.op_type == "Shape" and not node.attribute:
            sizes[each] = shapes.get(node.input[0], [])
            if not sizes[each] or 0 in sizes[each][1:]:
                return None
        elif node is not None:
            if node not in needed:
                needed.append(node)
            open_names.extend(node.input)
        elif each:
            return None  # the network's input
    nodes = [node for node in model.graph.node if node in needed]
    results = []
    for batch in (2, 5):
        made = [
            numpy_helper.from_array(np.array([batch, *size[1:]], dtype=np.int64), each) for each, size in sizes.items()
        ]
        kept = [stored[each] for each in sorted(read)]
        result = helper.make_empty_tensor_value_info(name)
        small = helper.make_model(
            helper.make_graph(nodes, "constant", [], [result], [*kept, *made]), opset_imports=list(model.opset_import)
        )
        results.append(np.asarray(ReferenceEvaluator(small).run(None, {})[0]))
    return results[0] if np.array_equal(results[0], results[1]) else None


def _plan(
    pad: Any, pool: Any, constants: dict[str, Any], shape: list[int]
) -> tuple[list[int], np.ndarray[Any, Any]] | None:
    """Works out the pool's own pads and the border constant (1, 1, H, W); ``None`` where the pair is another kind."""
    from onnx import helper

    settings = {each.name: helper.get_attribute_value(each) for each in (*pad.attribute, *pool.attribute)}
    plain = all(part in (None, 1) for part in settings.get("dilations", [])) and not settings.get("ceil_mode")
    unpadded = not any(settings.get("pads", [])) and settings.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    if settings.get("mode", b"constant") != b"constant" or not plain or not unpadded or len(shape) != 4:
        return None
    if any(value is None for value in constants.values()) or len(pool.output) != 1:
        return None
    pads = [int(part) for part in constants[pad.input[1]]]
    has_value = len(pad.input) > 2 and pad.input[2] != ""
    value = float(constants[pad.input[2]].reshape(-1)[0]) if has_value else 0.0
    top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
    if any(pads[axis] for axis in (0, 1, 4, 5)) or min(pads) < 0:
        return None
    (kernel_h, kernel_w), (stride_h, stride_w) = settings["kernel_shape"], settings.get("strides", [1, 1])
    if max(top, bottom) >= kernel_h or max(left, right) >= kernel_w:
        return None  # MaxPool's own padding must be smaller than its kernel
    height, width = shape[2] + top + bottom, shape[3] + left + right
    rows = [start < top or start + kernel_h > height - bottom for start in range(0, height - kernel_h + 1, stride_h)]
    columns = [start < left or start + kernel_w > width - right for start in range(0, width - kernel_w + 1, stride_w)]
    touches = np.logical_or.outer(np.array(rows), np.array(columns))
    border = np.where(touches, np.float32(value), np.finfo(np.float32).min).astype(np.float32)
    return [top, left, bottom, right], border[np.newaxis, np.newaxis]
