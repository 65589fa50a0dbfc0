"""What a training step sees: trainable pictures, drawn, augmented, and named by the labels and the teachers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.augment import Augmenter, normalise
from training.config import Config, Schedule
from training.data import LABELS, Row, read_faces, split_by_person
from training.models import autocast
from training.prepare import half_boxes, load_crops

__all__ = ["Material", "Pool", "Source", "draw_weights"]


@dataclass(frozen=True)
class Material:
    """The trainable pictures and their split."""

    crops: Tensor
    """(n, 3, s, s), uint8: cached crops, those of validation too."""
    half: Tensor
    """(n, 2), float32: half width and height of each face, in half sides of its crop."""
    labels: Tensor
    """(n,), int64."""
    rows: tuple[Row, ...]
    training: tuple[int, ...]
    validation: tuple[int, ...]

    @classmethod
    def load(cls, root: Path, cache: Path, config: Config) -> Material:
        """Reads what ``prepare`` cached."""
        rows = read_faces(root, config.data.folder)
        training, validation = split_by_person(rows, config.data.validation_share, config.data.split_seed)
        return cls(
            crops=torch.from_numpy(load_crops(cache, config.data)).permute(0, 3, 1, 2),
            half=torch.from_numpy(half_boxes(rows, config.data.cache_margin)),
            labels=torch.tensor([row.label for row in rows]),
            rows=tuple(rows),
            training=tuple(training),
            validation=tuple(validation),
        )


def draw_weights(rows: Sequence[Row], power: float) -> npt.NDArray[np.float64]:
    """How often each picture is drawn.

    Both genders weigh the same inside every set, so that neither the camera, the age of the picture nor its being black
    and white says anything about the answer.

    Args:
        rows: Training pictures.
        power: A set of n pictures weighs ``n ** power``.

    Returns:
        (n,) float64, sums to 1.
    """
    sets = Counter(r.source for r in rows)
    cells = Counter((r.source, r.gender) for r in rows)
    weights = np.array([sets[r.source] ** power / cells[r.source, r.gender] for r in rows])
    return np.asarray(weights / weights.sum(), np.float64)


class Source:
    """Draws augmented batches of training pictures with their targets."""

    def __init__(self, material: Material, config: Config, teachers: Sequence[Any] = ()) -> None:
        """Prepares the drawing.

        Args:
            material: The pictures; only its training part is drawn.
            config: The recipe of the stage.
            teachers: Trained classifiers of the same input size, in evaluation mode.
        """
        s = config.schedule
        self.material, self.schedule, self.teachers = material, s, tuple(teachers)
        self.augment = Augmenter(config.augment, config.model.size, config.data.cache_margin, s.seed)
        self._index = torch.tensor(material.training)
        rows = [material.rows[i] for i in material.training]
        self._weights = torch.from_numpy(draw_weights(rows, s.set_power))

    @property
    def generator(self) -> torch.Generator:
        """The source of all randomness of the drawing."""
        return self.augment.generator

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Draws a batch: pictures (batch, 3, size, size) in [0, 1] and targets (batch, classes) that sum to 1."""
        s, m = self.schedule, self.material
        chosen = self._index[torch.multinomial(self._weights, s.batch, True, generator=self.generator)]
        pictures = self.augment(m.crops[chosen], m.half[chosen])
        targets = F.one_hot(m.labels[chosen], len(LABELS)).float()
        targets = targets * (1 - s.label_smoothing) + s.label_smoothing / len(LABELS)
        if self.teachers:
            soft = teach(self.teachers, normalise(pictures), s.distil_temperature)
            targets = (1 - s.distil) * targets + s.distil * soft
        return pictures, targets


def teach(teachers: Sequence[Any], pictures: Tensor, temperature: float) -> Tensor:
    """What teachers say of the very pictures that the student will see, and of their mirror images.

    The same view for teacher and student, a long schedule and mixed pictures are what distillation needs (Beyer et al.
    2022, "Knowledge distillation: A good teacher is patient and consistent"). Targets of mixed pictures are mixed too.

    Args:
        teachers: Classifiers in evaluation mode.
        pictures: (n, 3, h, w), float32, normalised.
        temperature: Divides their mean logits.

    Returns:
        (n, classes), float32, rows that sum to 1.
    """
    device = next(teachers[0].parameters()).device
    views = [v.to(device, memory_format=torch.channels_last) for v in (pictures, pictures.flip(-1))]
    with torch.no_grad(), autocast(device):
        answers = [teacher(view).logits.float() for teacher in teachers for view in views]
    return torch.softmax(torch.stack(answers).mean(0) / temperature, 1).cpu()


class Pool:
    """Augmented pictures, drawn several times in ever new company.

    One batch of the pool is renewed every ``echo`` steps, so a picture is seen ``echo`` times on average, each time
    mirrored or not and beside (or mixed with) other pictures.
    """

    def __init__(self, draw: Callable[[], tuple[Tensor, Tensor]], schedule: Schedule) -> None:
        """Fills the pool.

        Args:
            draw: Makes a batch: pictures (batch, 3, h, w) in [0, 1] and targets (batch, classes).
            schedule: Gives the batch size and the echo.
        """
        self.draw, self.batch, self.echo = draw, schedule.batch, schedule.echo
        parts = [draw() for _ in range(8 if schedule.echo > 1 else 1)]
        self.pictures = torch.cat([p for p, _ in parts])
        self.targets = torch.cat([y for _, y in parts])
        self.slot = 0

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch of a step."""
        if step % self.echo == 0 and step:
            place = slice(self.slot * self.batch, (self.slot + 1) * self.batch)
            self.pictures[place], self.targets[place] = self.draw()
            self.slot = (self.slot + 1) % (len(self.targets) // self.batch)
        chosen = torch.randperm(len(self.targets), generator=generator)[: self.batch]
        flipped = chosen[: self.batch // 2]
        straight = chosen[self.batch // 2 :]
        pictures = torch.cat([self.pictures[flipped].flip(-1), self.pictures[straight]])
        return pictures, self.targets[chosen]
