"""Converts a network in PyTorch to the fp32 ONNX file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from . import graph
from .architectures import FIXES, make_onnx_config
from .errors import UnsupportedArchitectureError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .architectures import Exporter
    from .network import Original

__all__ = ["EXPORTER", "INPUT_NAME", "OUTPUT_NAME", "convert"]

INPUT_NAME = "pixel_values"
OUTPUT_NAME = "logits"
EXPORTER = "TorchScript (dynamo=False)"
"""Named in the manifest: Optimum 2.1 chooses it, and torch's other exporter writes other graphs."""


def convert(original: Original, height: int, width: int, path: Path) -> Exporter:
    """Writes the network as one self-contained fp32 ONNX file: dynamic batch, fixed height and width.

    Args:
        original: The loaded network.
        height: Of its input, in pixels.
        width: Of its input, in pixels.
        path: The file to write.

    Returns:
        Whose ONNX configuration was used.

    Raises:
        UnsupportedArchitectureError: If the network cannot be traced.
    """
    from optimum.exporters.onnx import export

    model_type = original.model_class.model_type
    config, exporter = make_onnx_config(original.model, model_type, height, width)
    pixels = config.generate_dummy_inputs()["pixel_values"]
    fix = FIXES.get(model_type)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _quiet():
        traced = Path(scratch) / "traced.onnx"
        try:
            with contextlib.nullcontext() if fix is None else fix(original.model, pixels):
                export(original.model, config, traced, opset=graph.OPSET, disable_dynamic_axes_fix=True)
        except OSError:
            raise  # a full disk says nothing about the architecture
        except Exception as error:  # whatever the tracer meets
            raise UnsupportedArchitectureError(
                f"The architecture {model_type} could not be converted ({first_line(error)})."
            ) from error
        model = graph.load(traced)
    graph.inline_identities(model)
    graph.fix_pad_before_maxpool(model)
    graph.fix_shapes(model, original.model.config.num_labels)
    graph.save(model, path)
    return exporter


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what the tracer says about shapes (they are fixed on purpose) and its dump of a graph that failed.

    The dump comes from C++, so the two file descriptors are turned away, not only Python's streams.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "optimum", "transformers")]
    levels = [logger.level for logger in loggers]
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for descriptor in (1, 2):
                os.dup2(nowhere, descriptor)
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
            os.close(nowhere)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
