"""Makes a quantised variant, measures it against the original, and keeps it only if it is worth it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime import decision
from ..runtime.session import create_session
from . import graph, parity
from .errors import first_line
from .progress import say
from .quantize import candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..runtime.bundle.manifest import Manifest
    from .gate import VariantLimits
    from .parity import Comparison

    Quantizer = Callable[[Path, Path, Sequence[str]], dict[str, Any]]

__all__ = ["Evidence", "RefusedError", "exclusion_groups", "make_variant"]

_MOST_EXCLUDED = 0.5
"""Share of the quantisable weights that exclusion may leave in fp32: beyond it the variant has lost its point."""


class RefusedError(Exception):
    """A quantised variant is not worth publishing; the message ends the sentence "No int8 variant: ..."."""


@dataclass(frozen=True)
class Evidence:
    """What every ONNX file of a bundle is compared with.

    Attributes:
        manifest: Of the bundle in the making; its labels and decision rule count.
        pixels: The verification pictures as the network's inputs, float32 (N, 3, H, W).
        answers: The original's probabilities for them, float64 (N, classes).
        limits: What each file is held to.
    """

    manifest: Manifest
    pixels: NDArray[np.float32]
    answers: NDArray[np.float64]
    limits: VariantLimits

    def compare(self, answers: NDArray[np.float64]) -> Comparison:
        """Compares probabilities, (N, classes), with the original's."""
        return parity.compare(
            self.answers, answers, self.manifest.labels, self.manifest.decision, 2 * self.limits.tolerance
        )

    def compare_file(self, path: Path) -> Comparison:
        """Compares the answers of an ONNX file that is not in the manifest yet."""
        session = create_session(path)
        manifest = self.manifest
        feeds = ({manifest.io.input_name: self.pixels[index : index + 1]} for index in range(len(self.pixels)))
        rows = [session.run([manifest.io.output_name], feed)[0] for feed in feeds]
        answers = [decision.probabilities(row, manifest.activation, manifest.decision.temperature)[0] for row in rows]
        return self.compare(np.stack(answers))


def make_variant(
    name: str, quantizer: Quantizer, operators: Sequence[str], fp32: Path, path: Path, evidence: Evidence
) -> tuple[dict[str, Any], float]:
    """Makes a variant and measures it.

    Args:
        name: ``int8`` or ``q4``, for messages.
        quantizer: Writes the variant, given the fp32 file, the file to write and the nodes to leave out.
        operators: The operators it quantises, whose nodes may be left out.
        fp32: The fp32 file.
        path: The file to write.
        evidence: What it is compared with.

    Returns:
        Its settings for the manifest, and its latency relative to fp32.

    Raises:
        RefusedError: If it may not be published. Its file may be there all the same.
    """
    limits = evidence.limits
    try:
        settings = quantizer(fp32, path, ())
    except OSError:
        raise  # a full disk says nothing about the variant
    except Exception as error:  # onnxruntime's quantisers raise whatever they meet
        raise RefusedError(f"it could not be made ({first_line(error)})") from error
    if path.stat().st_size >= fp32.stat().st_size:
        raise RefusedError(f"its file would not be smaller ({_kb(path)} KB, fp32 {_kb(fp32)} KB)")
    comparison = evidence.compare_file(path)
    if not limits.accept(comparison) and limits.exclusion_rounds:
        settings, comparison = _exclude(name, quantizer, operators, fp32, path, settings, comparison, evidence)
    if not limits.accept(comparison):
        raise RefusedError(
            f"it flips {comparison.flipped} of {comparison.decided} decisions (at most {limits.flips:.0%} may) and "
            f"moves a probability by up to {comparison.max_difference:.3f} (at most {limits.difference:g} is accepted)"
        )
    ratio = parity.latency_ratio(path, fp32, evidence.pixels[0], seconds=limits.latency_seconds)
    if ratio > limits.latency:
        raise RefusedError(f"it would be slower than fp32 (one picture takes {ratio:.2f} times as long here)")
    if path.stat().st_size >= fp32.stat().st_size:
        raise RefusedError("with the nodes that must stay fp32 its file would not be smaller")
    return settings, ratio


def exclusion_groups(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Groups nodes by what they have in common: the same place in every layer, and the same layer.

    ``/encoder/layer.3/output/dense/MatMul`` belongs to ``/encoder/layer.#/output/dense/MatMul`` and to
    ``/encoder/layer.3``.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\d+", "#", name), []).append(name)
        layer = re.match(r".*?[._/]\d+(?=/|$)", name)
        if layer is not None:
            groups.setdefault(layer[0], []).append(name)
    unique: dict[tuple[str, ...], str] = {}
    for key, members in groups.items():
        unique.setdefault(tuple(members), key)
    return {key: members for members, key in unique.items() if len(members) < len(names) or len(names) == 1}


def _exclude(
    name: str,
    quantizer: Quantizer,
    operators: Sequence[str],
    fp32: Path,
    path: Path,
    settings: dict[str, Any],
    comparison: Comparison,
    evidence: Evidence,
) -> tuple[dict[str, Any], Comparison]:
    """Leaves out, greedily, the group of nodes without which fewest decisions flip, until the limits are met."""
    names = candidates(fp32, operators)
    weights = _weights(fp32, names)
    total = sum(weights.values())
    groups = exclusion_groups(names)
    excluded: tuple[str, ...] = ()
    trial = path.with_suffix(".trial.onnx")
    try:
        for number in range(1, evidence.limits.exclusion_rounds + 1):
            say(
                f"{name}: {comparison.flipped} of {comparison.decided} decisions flip, largest difference "
                f"{comparison.max_difference:.3f}; looking for sensitive nodes, round {number}"
            )
            best: tuple[Comparison, tuple[str, ...], dict[str, Any]] | None = None
            for members in groups.values():
                chosen = tuple(dict.fromkeys((*excluded, *members)))
                if chosen == excluded or sum(weights[node] for node in chosen) > _MOST_EXCLUDED * total:
                    continue
                tried = quantizer(fp32, trial, chosen)
                result = evidence.compare_file(trial)
                if best is None or _badness(result) < _badness(best[0]):
                    best = (result, chosen, tried)
            if best is None or _badness(best[0]) >= _badness(comparison):
                break
            comparison, excluded, settings = best
            quantizer(fp32, path, excluded)
            if evidence.limits.accept(comparison):
                break
    finally:
        trial.unlink(missing_ok=True)
    return settings, comparison


def _badness(comparison: Comparison) -> tuple[int, float]:
    return comparison.flipped, comparison.max_difference


def _weights(fp32: Path, names: Sequence[str]) -> dict[str, int]:
    model = graph.load(fp32)
    sizes = {tensor.name: len(tensor.raw_data) or tensor.ByteSize() for tensor in model.graph.initializer}
    wanted = set(names)
    return {
        node.name: sum(sizes.get(part, 0) for part in node.input) for node in model.graph.node if node.name in wanted
    }


def _kb(path: Path) -> int:
    return round(path.stat().st_size / 1024)
