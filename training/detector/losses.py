"""Which cells answer for which face, and what they are told.

Assignment follows SimOTA (Ge et al. 2021, arXiv 2107.08430): among the cells near a face's centre, on the grids that
suit its size, those with the best box and score are taken, as many as their boxes are good. Boxes learn by EIoU (Zhang
et al. 2021, arXiv 2101.08158), landmarks by their distance in units of the face.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .canvases import Canvases
from .network import STRIDES

__all__ = ["Answers", "decode", "losses", "overlaps", "shared_areas"]

_LEAST, _MOST = (0.0, 26.0, 64.0), (60.0, 150.0, 1e9)
"""Longer side in pixels of the faces for which each grid may answer."""

_CANDIDATES = 9
_NEVER = -1e8
_EYES = torch.tensor([2.0] * 4 + [1.0] * 6) / 1.4
"""Weights of the landmarks: the eyes steer what follows."""


@dataclass(frozen=True)
class Answers:
    """What the network says, for all N cells of its three grids.

    Attributes:
        sureness: (B, N) logits of the class: how good the box is.
        face: (B, N) logits of the objectness.
        boxes: (B, N, 4) in pixels.
        marks: (B, N, 10) in pixels.
        cells: (N, 2) corner of each cell in pixels.
        strides: (N,).
        grids: (N,) number of the grid.
    """

    sureness: Tensor
    face: Tensor
    boxes: Tensor
    marks: Tensor
    cells: Tensor
    strides: Tensor
    grids: Tensor

    @property
    def scores(self) -> Tensor:
        """(B, N), as the runtime reads them: the geometric mean of both probabilities."""
        return (self.sureness.sigmoid() * self.face.sigmoid()).sqrt()


def decode(grids: list[Tensor]) -> Answers:
    """Reads the network's grids as :func:`runtime.faces.yunet.decode` does."""
    cells, strides, numbers = [], [], []
    for number, (grid, stride) in enumerate(zip(grids, STRIDES, strict=True)):
        height, width = grid.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cells.append(torch.stack([x, y], -1).view(-1, 2).float() * stride)
        strides.append(torch.full((height * width,), float(stride)))
        numbers.append(torch.full((height * width,), number))
    device = grids[0].device
    cell, stride_of, number_of = (torch.cat(part).to(device) for part in (cells, strides, numbers))
    values = torch.cat([grid.permute(0, 2, 3, 1).flatten(1, 2) for grid in grids], 1).float()
    centres = cell + values[..., 2:4] * stride_of[:, None]
    half = torch.exp(values[..., 4:6].clamp(-6, 5)) * stride_of[:, None] / 2
    return Answers(
        sureness=values[..., 0],
        face=values[..., 1],
        boxes=torch.cat([centres - half, centres + half], -1),
        marks=values[..., 6:] * stride_of[:, None] + cell.repeat(1, 5),
        cells=cell,
        strides=stride_of,
        grids=number_of,
    )


def shared_areas(boxes: Tensor, found: Tensor) -> Tensor:
    """Returns the areas (B, G, N) that boxes (B, G, 4) and (B, N, 4) share."""
    low = torch.maximum(boxes[:, :, None, :2], found[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], found[:, None, :, 2:])
    return (high - low).clamp(min=0).prod(-1)


def overlaps(boxes: Tensor, found: Tensor) -> Tensor:
    """Returns the intersection over union (B, G, N) of boxes (B, G, 4) and (B, N, 4)."""
    shared = shared_areas(boxes, found)
    areas = [(each[..., 2:] - each[..., :2]).prod(-1) for each in (boxes, found)]
    return shared / (areas[0][:, :, None] + areas[1][:, None] - shared + 1e-6)


def _distances(boxes: Tensor, cells: Tensor) -> Tensor:
    """Returns how far cells (N, 2) lie from the centres of boxes (B, G, 4), (B, G, N, 2)."""
    return (cells - ((boxes[..., :2] + boxes[..., 2:]) / 2)[:, :, None]).abs()


def _assign(answers: Answers, truth: Canvases) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns (B, N): which face a cell answers for, whether it does, the overlap then, and whether it is left out."""
    sizes = (truth.boxes[..., 2:] - truth.boxes[..., :2]).clamp(min=1)
    device, strides = truth.boxes.device, answers.strides
    least, most = (torch.tensor(part, device=device)[answers.grids] for part in (_LEAST, _MOST))
    longer = sizes.amax(-1)[..., None]
    distance = _distances(truth.boxes, answers.cells)
    far = distance.amax(-1)
    near = (far < 1.6 * strides) & ((distance <= sizes[:, :, None] / 2).all(-1) | (far <= 0.51 * strides))
    candidate = near & truth.face[..., None] & (longer >= least) & (longer < most)
    overlap = overlaps(truth.boxes, answers.boxes)
    quality = overlap + 0.35 * answers.scores[:, None] - 0.12 * far / strides
    quality = torch.where(candidate, quality, 10 * _NEVER)
    count = torch.where(candidate, overlap, 0.0).topk(_CANDIDATES, -1).values.sum(-1).round().clamp(3, _CANDIDATES)
    bound = quality.topk(_CANDIDATES, -1).values.gather(-1, count.long()[..., None] - 1).clamp(min=_NEVER)
    best, who = torch.where(candidate & (quality >= bound), quality, 10 * _NEVER).max(1)
    answers_for = best > _NEVER
    second = (candidate & (overlap > 0.4)).any(1)
    inside = (distance / (sizes[:, :, None] / 2 + strides[:, None] / 2) < 1).all(-1)
    left_out = (second | (inside & truth.unsure[..., None]).any(1)) & ~answers_for
    return who, answers_for, overlap.gather(1, who[:, None]).squeeze(1).clamp(0, 1), left_out


def losses(answers: Answers, truth: Canvases) -> dict[str, Tensor]:
    """Returns the parts of the loss, each a mean over the cells that answer for a face.

    ``face``: cross entropy of the objectness, background weighted by how far it is taken for a face. ``class``: cross
    entropy of the class against the square root of the overlap. ``box``: EIoU. ``marks``: smooth L1 of the landmarks.
    """
    most = max(1, int((truth.face | truth.unsure).sum(1).max()))
    boxes, marks = truth.boxes[:, :most], truth.marks[:, :most]
    truth = Canvases(truth.pixels, boxes, marks, truth.face[:, :most], truth.unsure[:, :most])
    with torch.no_grad():
        who, chosen, overlap, left_out = _assign(answers, truth)
    positive = chosen.float()
    number = positive.sum().clamp(min=1)
    box = boxes.gather(1, who[..., None].expand(-1, -1, 4))
    mark = marks.gather(1, who[..., None].expand(-1, -1, 10))
    size = (box[..., 2:] - box[..., :2]).clamp(min=1)
    error = (answers.marks - mark) / size.amax(-1, keepdim=True)
    error = functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=0.03)
    error = (error * _EYES.to(error.device)).mean(-1)
    kept = (~left_out).float()
    face, sureness = answers.face.sigmoid().detach(), answers.sureness.sigmoid().detach()
    weight_face = torch.where(chosen, 1.0, kept * (0.06 + 0.94 * face))
    weight_class = torch.where(chosen, 1.0, kept * (0.02 + 0.98 * sureness**1.5) * 0.6)
    entropy = functional.binary_cross_entropy_with_logits
    cells = {
        "face": entropy(answers.face, positive, reduction="none") * weight_face,
        "class": entropy(answers.sureness, overlap.sqrt() * positive, reduction="none") * weight_class,
        "box": torch.where(chosen, _eiou(answers.boxes, box, size), 0.0),
        "marks": torch.where(chosen, error, 0.0),
    }
    return {name: value.sum() / number for name, value in cells.items()}


def _eiou(found: Tensor, box: Tensor, size: Tensor) -> Tensor:
    shared = (torch.minimum(found[..., 2:], box[..., 2:]) - torch.maximum(found[..., :2], box[..., :2])).clamp(min=0)
    own = found[..., 2:] - found[..., :2]
    overlap = shared.prod(-1) / (own.prod(-1) + size.prod(-1) - shared.prod(-1) + 1e-6)
    hull = torch.maximum(found[..., 2:], box[..., 2:]) - torch.minimum(found[..., :2], box[..., :2]) + 1e-3
    apart = ((found[..., :2] + found[..., 2:] - box[..., :2] - box[..., 2:]) ** 2).sum(-1) / 4
    return 1 - overlap + apart / hull.pow(2).sum(-1) + ((own - size) ** 2 / hull**2).sum(-1)
