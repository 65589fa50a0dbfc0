"""The graph of a model that somebody else exported: does it fit what the model's other files say?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleError, UnsupportedHeadError
from .bundle import sha256_of
from .manifest import ModelIO, Variant
from .onnx_header import FLOAT16, FLOAT32, OnnxHeader, TensorInfo, read_header

if TYPE_CHECKING:
    from .onnx_folder import Description

__all__ = ["read_variant"]

# Operators by what they tell of a graph's quantisation. MatMulInteger and ConvInteger take activations that a
# DynamicQuantizeLinear made; where a fused one did, they stand alone.
_DYNAMIC = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    }
)
_STATIC = frozenset({"QGemm", "QLinearAdd", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})
_WEIGHT_ONLY = frozenset({"DequantizeLinear", "GatherBlockQuantized", "MatMulBnb4", "MatMulNBits"})


def read_variant(folder: Path, path: str, description: Description) -> tuple[Variant, ModelIO]:
    """Checks one ONNX file against the model's description, without loading it.

    Args:
        folder: Where the model's files are.
        path: The ONNX file inside it.
        description: What the model's other files say.

    Returns:
        Its record for the manifest, and the graph's interface.

    Raises:
        UnsupportedHeadError: If the number of outputs is not that of the labels.
        BundleError: If the file cannot be used; the message says why.
    """
    header = read_header(folder / path)
    where = f"{path} of {description.name}"
    if header.external_files:
        raise BundleError(
            f"{where} keeps its weights in other files ({', '.join(sorted(header.external_files))}). A bundle's ONNX "
            "file is self-contained: choose another variant, or export the original checkpoint."
        )
    file = folder / path
    variant = Variant(
        file=path,
        bytes=file.stat().st_size,
        sha256=sha256_of(file),
        opset=header.opset,
        ir_version=header.ir_version,
        quantization=_quantization(header),
    )
    return variant, _interface(header, description, where)


def _quantization(header: OnnxHeader) -> dict[str, Any] | None:
    """Reads from a graph's operators how it was quantised; ``mode`` is ``dynamic`` where activations are, per run."""
    operators = sorted(header.operators & (_DYNAMIC | _WEIGHT_ONLY | _STATIC))
    if header.operators & _DYNAMIC:
        return {"mode": "dynamic", "operators": operators}
    if header.operators & _STATIC:
        return {"mode": "static", "operators": operators}
    if header.operators & _WEIGHT_ONLY:
        return {"mode": "weight-only", "operators": operators}
    return {"mode": "float16"} if FLOAT16 in header.weight_types else None


def _interface(header: OnnxHeader, description: Description, where: str) -> ModelIO:
    if len(header.inputs) != 1 or len(header.inputs[0].shape) != 4 or header.inputs[0].element_type != FLOAT32:
        raise BundleError(
            f"{where} takes {_tensors(header.inputs)}; one float32 input of the form (pictures, 3, height, width) "
            "is what can be fed."
        )
    (pixels,) = header.inputs
    batch, channels, *graph_size = pixels.shape
    if batch not in (None, 1):
        raise BundleError(f"{where} takes exactly {batch} pictures at a time; it needs a free batch axis.")
    if channels not in (None, 3):
        raise BundleError(f"{where} takes pictures of {channels} channels, not of red, green and blue.")
    height, width = (
        _side(fixed, made, where) for fixed, made in zip(graph_size, description.processor.output_size, strict=True)
    )
    return ModelIO(pixels.name, _output(header, description, where), height, width)


def _side(fixed: int | None, made: int | None, where: str) -> int:
    """Returns the network's height or width: the graph's and the processor's must agree, and one must be known."""
    if fixed is not None and made is not None and fixed != made:
        raise BundleError(
            f"{where} takes pictures of {fixed} pixels where the processor makes {made}; its preprocessor_config.json "
            "does not belong to it."
        )
    known = fixed or made
    if known is None:
        raise BundleError(f"{where} takes pictures of any size, and the processor's size depends on the picture.")
    return known


def _output(header: OnnxHeader, description: Description, where: str) -> str:
    """Returns the name of the output that holds the logits."""
    named = {output.name: output for output in header.outputs}
    if "logits" not in named and len(named) != 1:
        raise UnsupportedHeadError(f"{where} gives {_tensors(header.outputs)}; a classifier gives logits alone.")
    output = named["logits"] if "logits" in named else header.outputs[0]
    expected = 1 if description.activation == "single_logit" else len(description.labels)
    fits = not output.shape or (len(output.shape) == 2 and output.shape[1] in (None, expected))
    if output.element_type != FLOAT32 or not fits:
        raise UnsupportedHeadError(
            f"{where} gives {_tensors((output,))}; (pictures, {expected}) in float32 belongs to the classes of its "
            "config.json."
        )
    return output.name


def _tensors(tensors: tuple[TensorInfo, ...]) -> str:
    def words(tensor: TensorInfo) -> str:
        kind = {FLOAT32: "float32", FLOAT16: "float16", 7: "int64", 6: "int32", 2: "uint8"}.get(
            tensor.element_type, f"type {tensor.element_type}"
        )
        return f"{tensor.name} ({kind}, {' x '.join('any' if size is None else str(size) for size in tensor.shape)})"

    return ", ".join(words(tensor) for tensor in tensors) or "nothing"
