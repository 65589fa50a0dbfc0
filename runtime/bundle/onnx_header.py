"""What an ONNX file says about itself, read without the ``onnx`` package and without loading its weights.

An ONNX file is one protobuf message. The few fields needed here are found by their numbers, which ``onnx.proto3`` fixes
for good (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3); everything else, the weights above all, is skipped
over by its length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import BundleError

__all__ = ["FLOAT16", "FLOAT32", "OnnxHeader", "TensorInfo", "read_header"]

FLOAT32: Final = 1
FLOAT16: Final = 10
"""Numbers of ``TensorProto.DataType``."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL
_MAX_DEPTH = 16  # subgraphs within subgraphs; an exporter writes two or three levels
_MAX_AXIS = 1 << 31  # some writers say -1 for a free axis, which reads as a huge number
_GIT_LFS = b"version https://git-lfs"

Span = tuple[int, int]
"""Where a length-delimited field's content starts and stops."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of the graph.

    Attributes:
        name: Its name.
        element_type: Number of ``TensorProto.DataType``, 1 for float32.
        shape: A whole number for each fixed axis, ``None`` for each free one.
    """

    name: str
    element_type: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxHeader:
    """An ONNX file without its weights.

    Attributes:
        ir_version: Version of the file format.
        opset: Version of the default operator set.
        producer: Name and version of the program that wrote it, as far as it says.
        inputs: The graph's inputs that are not weights.
        outputs: The graph's outputs.
        operators: Names of all operators, subgraphs and functions included.
        weight_types: Numbers of ``TensorProto.DataType`` of all weights.
        external_files: Other files that hold weights; empty for a self-contained file.
    """

    ir_version: int
    opset: int
    producer: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: frozenset[str]
    weight_types: frozenset[int]
    external_files: frozenset[str]


class _MalformedError(ValueError):
    """The bytes are no protobuf message of the expected form."""


def read_header(path: Path) -> OnnxHeader:
    """Reads an ONNX file's own description.

    Raises:
        BundleError: If the file cannot be read, or is no ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[: len(_GIT_LFS)] == _GIT_LFS:
                raise BundleError(
                    f"{path} is only Git LFS's note of where the file is, not the ONNX file itself. "
                    "Run `git lfs pull` in that folder, or bring the model with `gender-classifier models add`."
                )
            return _Reader(content).model()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # malformed, no UTF-8, or empty (which mmap refuses)
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} is no ONNX file, or a broken one.") from error


class _Reader:
    """Walks one message; collects what is spread over graph, subgraphs and functions."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._operators: set[str] = set()
        self._weight_types: set[int] = set()
        self._weight_names: set[str] = set()
        self._external: set[str] = set()

    def model(self) -> OnnxHeader:
        ir_version = opset = 0
        producer = ["", ""]
        graph: Span | None = None
        for number, value in self._fields((0, len(self._content))):
            if number == 1:
                ir_version = _whole(value)
            elif number in (2, 3):
                producer[number - 2] = self._text(value)
            elif number == 7:
                graph = _span(value)
            elif number == 8:
                domain, version = self._operator_set(_span(value))
                opset = version if domain in ("", "ai.onnx") else opset
            elif number == 25:
                for inner, node in self._fields(_span(value)):
                    if inner == 7:
                        self._node(_span(node), 0)
        if graph is None or not ir_version or not opset:
            raise _MalformedError
        inputs, outputs = self._graph(graph, 0)
        return OnnxHeader(
            ir_version=ir_version,
            opset=opset,
            producer=" ".join(filter(None, producer)),
            # Up to IR version 3 the weights stood among the inputs as well.
            inputs=tuple(one for one in inputs if one.name not in self._weight_names),
            outputs=tuple(outputs),
            operators=frozenset(self._operators),
            weight_types=frozenset(self._weight_types),
            external_files=frozenset(self._external),
        )

    def _graph(self, span: Span, depth: int) -> tuple[list[TensorInfo], list[TensorInfo]]:
        if depth > _MAX_DEPTH:
            raise _MalformedError
        inputs: list[TensorInfo] = []
        outputs: list[TensorInfo] = []
        for number, value in self._fields(span):
            if number == 1:
                self._node(_span(value), depth)
            elif number == 5:
                self._tensor(_span(value))
            elif number == 11:
                inputs.append(self._tensor_info(_span(value)))
            elif number == 12:
                outputs.append(self._tensor_info(_span(value)))
            elif number == 15:  # sparse weights: a tensor of values and one of indices
                for inner, part in self._fields(_span(value)):
                    if inner in (1, 2):
                        self._tensor(_span(part))
        return inputs, outputs

    def _node(self, span: Span, depth: int) -> None:
        for number, value in self._fields(span):
            if number == 4:
                self._operators.add(self._text(value))
            elif number == 5:
                for inner, part in self._fields(_span(value)):
                    if inner in (5, 10):
                        self._tensor(_span(part))
                    elif inner in (6, 11):
                        self._graph(_span(part), depth + 1)

    def _tensor(self, span: Span) -> None:
        location = 0
        files: set[str] = set()
        for number, value in self._fields(span):
            if number == 2:
                self._weight_types.add(_whole(value))
            elif number == 8:
                self._weight_names.add(self._text(value))
            elif number == 13:
                entry = {inner: self._text(part) for inner, part in self._fields(_span(value)) if inner in (1, 2)}
                if entry.get(1) == "location":
                    files.add(entry.get(2, ""))
            elif number == 14:
                location = _whole(value)
        if location == _EXTERNAL or files:
            self._external |= files or {"?"}

    def _tensor_info(self, span: Span) -> TensorInfo:
        name, element_type = "", 0
        shape: tuple[int | None, ...] = ()
        for number, value in self._fields(span):
            if number == 1:
                name = self._text(value)
            elif number == 2:
                for inner, part in self._fields(_span(value)):
                    if inner == 1:
                        element_type, shape = self._tensor_type(_span(part))
        return TensorInfo(name, element_type, shape)

    def _tensor_type(self, span: Span) -> tuple[int, tuple[int | None, ...]]:
        element_type = 0
        shape: list[int | None] = []
        for number, value in self._fields(span):
            if number == 1:
                element_type = _whole(value)
            elif number == 2:
                for inner, axis in self._fields(_span(value)):
                    if inner == 1:
                        fixed = [_whole(size) for field, size in self._fields(_span(axis)) if field == 1]
                        shape.append(fixed[0] if fixed and 0 < fixed[0] < _MAX_AXIS else None)
        return element_type, tuple(shape)

    def _operator_set(self, span: Span) -> tuple[str, int]:
        domain, version = "", 0
        for number, value in self._fields(span):
            if number == 1:
                domain = self._text(value)
            elif number == 2:
                version = _whole(value)
        return domain, version

    def _text(self, value: int | Span) -> str:
        start, stop = _span(value)
        return self._content[start:stop].decode("utf-8")

    def _fields(self, span: Span) -> Iterator[tuple[int, int | Span]]:
        """Yields the number and the content of each field: a whole number, or a span of bytes."""
        position, stop = span
        while position < stop:
            key, position = self._varint(position, stop)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, position = self._varint(position, stop)
                yield number, value
                continue
            if kind == _BYTES:
                length, position = self._varint(position, stop)
            elif kind == _FIXED64:
                length = 8
            elif kind == _FIXED32:
                length = 4
            else:
                raise _MalformedError
            if length > stop - position:
                raise _MalformedError
            yield number, (position, position + length)
            position += length

    def _varint(self, position: int, stop: int) -> tuple[int, int]:
        """Reads a base-128 number of at most ten bytes, least significant first."""
        value = 0
        for shift in range(0, 70, 7):
            if position >= stop:
                raise _MalformedError
            byte = self._content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise _MalformedError


def _whole(value: int | Span) -> int:
    if not isinstance(value, int):
        raise _MalformedError
    return value


def _span(value: int | Span) -> Span:
    if isinstance(value, int):
        raise _MalformedError
    return value
