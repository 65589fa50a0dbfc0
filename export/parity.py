"""Compares the answers of an ONNX variant with the original's, from picture file to probabilities."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..runtime import decision
from ..runtime.bundle.bundle import Bundle
from ..runtime.classifier import Classifier, Options
from ..runtime.session import create_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..runtime.bundle.manifest import Decision, Label

__all__ = ["Comparison", "classifier_for", "compare", "latency_ratio", "prepare", "probabilities"]


@dataclass(frozen=True)
class Comparison:
    """Two sets of answers for the same pictures.

    Attributes:
        pictures: How many.
        max_difference: Largest absolute difference of any class probability.
        worst: Index of the picture with that difference.
        decided: Pictures for which the reference gives an answer that is not a tie within the fp32 tolerance.
        flipped: Decided pictures whose most probable class differs.
    """

    pictures: int
    max_difference: float
    worst: int
    decided: int
    flipped: int


def classifier_for(folder: Path, variant: str) -> Classifier:
    """Loads one variant as a user would, but without reduced-scale decoding and without looking for faces."""
    options = Options(variant=variant, exact=True, faces=False)
    return Classifier(Bundle.open(folder), options)


def prepare(classifier: Classifier, pictures: Sequence[Path]) -> NDArray[np.float32]:
    """Reads picture files with the runtime's own decoder and processor; float32 (pictures, 3, H, W)."""
    return np.stack([classifier.pipeline.pixels(path) for path in pictures])


def probabilities(classifier: Classifier, pixels: NDArray[np.float32], *, batch: int = 1) -> NDArray[np.float64]:
    """Answers of the runtime; float64 (pictures, classes)."""
    logits = [classifier.network.logits(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    manifest = classifier.manifest
    return decision.probabilities(np.concatenate(logits), manifest.activation, manifest.decision.temperature)


def compare(
    reference: NDArray[np.float64],
    answers: NDArray[np.float64],
    labels: tuple[Label, ...],
    rule: Decision,
    tie: float,
) -> Comparison:
    """Compares two sets of probabilities.

    Args:
        reference: float64 (pictures, classes).
        answers: float64 (pictures, classes).
        labels: The classes.
        rule: The decision rule; a picture below its thresholds is not decided.
        tie: Two classes closer than this are a tie: which of them is larger is rounding, not a decision.
    """
    differences = np.abs(reference - answers).max(axis=1)
    # A NaN must be the worst of all, not the best.
    differences = np.where(np.isfinite(differences), differences, np.inf)
    first = reference.argmax(axis=1)
    ordered = np.sort(reference, axis=1)
    limits = np.array([rule.thresholds.get(label.meaning, 0.0) for label in labels])
    decided = (ordered[:, -1] >= limits[first]) & (ordered[:, -1] - ordered[:, -2] > tie)
    return Comparison(
        pictures=len(reference),
        max_difference=float(differences.max()),
        worst=int(differences.argmax()),
        decided=int(decided.sum()),
        flipped=int((decided & (answers.argmax(axis=1) != first)).sum()),
    )


def latency_ratio(variant: Path, fp32: Path, pixels: NDArray[np.float32], *, seconds: float = 6.0) -> float:
    """Measures how long one picture takes, relative to fp32: one thread, interleaved runs, median of each.

    Args:
        variant: The ONNX file to judge.
        fp32: The fp32 file.
        pixels: float32 (3, H, W).
        seconds: About how long to measure; at least seven rounds.
    """
    sessions = [create_session(path, threads=1) for path in (variant, fp32)]
    feed = {sessions[0].get_inputs()[0].name: pixels[np.newaxis]}
    for session in sessions * 3:
        session.run(None, feed)
    times: tuple[list[float], list[float]] = ([], [])
    stop = time.monotonic() + seconds
    while len(times[0]) < 7 or (time.monotonic() < stop and len(times[0]) < 500):
        for session, taken in zip(sessions, times, strict=True):
            started = time.perf_counter()
            session.run(None, feed)
            taken.append(time.perf_counter() - started)
    return statistics.median(times[0]) / statistics.median(times[1])
