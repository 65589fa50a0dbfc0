"""What YuNet's twelve outputs mean: from the network's grids to face boxes, in numpy.

YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023,
doi 10.1007/s11633-023-1423-y) answers, for every cell of three grids (strides 8, 16 and 32), how much the cell is a
face (``cls``), how sure its box is (``obj``), the box (``bbox``) and five landmarks (``kps``). The reading is that of
OpenCV's ``FaceDetectorYN``, which the tests compare with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OUTPUTS", "STRIDES", "Candidates", "decode", "non_maximum_suppression", "to_input"]

Floats = NDArray[np.float32]

STRIDES = (8, 16, 32)
"""Pixels of the input per cell, for each of the three grids."""

OUTPUTS = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
"""The names of the graph's outputs."""

TOP_K = 5000
"""Candidates that enter non-maximum suppression at most, the best ones (OpenCV's default)."""


class Candidates(NamedTuple):
    """Faces before or after suppression, all arrays float32 and of the same length n.

    Attributes:
        boxes: (n, 4), ``x0, y0, x1, y1`` in pixels, possibly reaching beyond the picture.
        scores: (n,), in [0, 1].
        landmarks: (n, 5, 2), ``x, y`` of the person's right eye, left eye, nose tip, right and left mouth corner.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def take(self, index: NDArray[np.intp]) -> Candidates:
        """Returns the chosen candidates, in the order of ``index``."""
        return Candidates(self.boxes[index], self.scores[index], self.landmarks[index])

    def moved(self, offset: tuple[float, float], scale: tuple[float, float]) -> Candidates:
        """Returns the candidates in other coordinates: ``(position + offset) * scale``, for x and y."""
        shift, factor = np.array(offset, np.float32), np.array(scale, np.float32)
        boxes = (self.boxes.reshape(-1, 2, 2) + shift) * factor
        return Candidates(boxes.reshape(-1, 4), self.scores, (self.landmarks + shift) * factor)

    @classmethod
    def join(cls, parts: list[Candidates]) -> Candidates:
        """Puts several sets together; no set gives an empty one."""
        parts = [empty(), *parts]
        boxes, scores, landmarks = zip(*parts, strict=True)
        return cls(np.concatenate(boxes), np.concatenate(scores), np.concatenate(landmarks))


def empty() -> Candidates:
    """Returns a set of no candidates."""
    return Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


def to_input(rgb: NDArray[np.uint8], height: int, width: int) -> Floats:
    """Makes the network's input: BGR, 0 to 255, black to the right of and below the picture.

    Args:
        rgb: uint8 (h, w, 3), no larger than the input.
        height: Of the input, a multiple of 32.
        width: Of the input, a multiple of 32.

    Returns:
        float32 (1, 3, height, width).
    """
    blob = np.zeros((1, 3, height, width), np.float32)
    blob[0, :, : rgb.shape[0], : rgb.shape[1]] = rgb[:, :, ::-1].transpose(2, 0, 1)
    return blob


def decode(outputs: Mapping[str, Floats], width: int, threshold: float) -> Candidates:
    """Reads the cells whose score reaches the threshold.

    With cell (column c, row r) of stride s: score = sqrt(cls * obj), both clamped to [0, 1]; centre = ((c, r) +
    bbox[0:2]) * s; size = exp(bbox[2:4]) * s; landmark i = ((c, r) + kps[2i:2i+2]) * s.

    Args:
        outputs: The arrays named in :data:`OUTPUTS`: ``cls`` and ``obj`` (1, cells, 1), ``bbox`` (1, cells, 4), ``kps``
            (1, cells, 10), the cells row by row.
        width: Of the network's input in pixels.
        threshold: Least score kept, in [0, 1].

    Returns:
        The candidates in pixels of the input, not yet suppressed.
    """
    parts = []
    for stride in STRIDES:
        sureness = np.clip(outputs[f"cls_{stride}"].reshape(-1), 0, 1)
        sureness = np.sqrt(sureness * np.clip(outputs[f"obj_{stride}"].reshape(-1), 0, 1))
        chosen = np.flatnonzero(sureness >= threshold)
        if not len(chosen):
            continue
        rows, columns = np.divmod(chosen, width // stride)
        cells = np.stack([columns, rows], axis=1).astype(np.float32)
        box = outputs[f"bbox_{stride}"].reshape(-1, 4)[chosen]
        centres = (cells + box[:, :2]) * stride
        halves = np.exp(box[:, 2:]) * (stride / 2)
        marks = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[chosen]
        parts.append(
            Candidates(
                np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32),
                sureness[chosen].astype(np.float32),
                ((marks + cells[:, None]) * stride).astype(np.float32),
            )
        )
    return Candidates.join(parts)


def non_maximum_suppression(candidates: Candidates, threshold: float) -> Candidates:
    """Keeps, of boxes that overlap, the one with the best score.

    Corners and sizes are cut to whole pixels before overlaps are taken, as OpenCV does: in a crowd of faces a dozen
    pixels wide that decides about a box here and there, and the answer should be the same.

    Args:
        candidates: In any order; only the best :data:`TOP_K` are looked at.
        threshold: Largest intersection over union, in [0, 1], at which both of two boxes stay.

    Returns:
        The survivors, best score first.
    """
    order = np.argsort(-candidates.scores, kind="stable")[:TOP_K]
    x0, y0 = np.trunc(candidates.boxes[:, :2]).T
    width, height = np.trunc(candidates.boxes[:, 2:] - candidates.boxes[:, :2]).T
    x1, y1, areas = x0 + width, y0 + height, width * height
    kept: list[np.intp] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        wide = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest])
        high = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        order = rest[shared <= threshold * (areas[best] + areas[rest] - shared)]
    return candidates.take(np.array(kept, np.intp))
