"""The pictures on which choices are made: people of the trainable pool whom no weight has seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import AutoModelForImageClassification

from training.augment import Augmenter, normalise
from training.calibrate import Decision, fit_decision, fit_offset
from training.config import Augment, Config
from training.pool import Material

__all__ = ["Examination", "balanced_accuracy", "decide", "predict", "validation_views"]

COPIES = 8
"""Spoilt views of each validation picture that the decision rule is fitted on."""


@torch.no_grad()
def predict(model: Any, pictures: Tensor, batch: int = 256) -> Tensor:
    """Logits of normalised pictures: (n, 3, h, w) float32 -> (n, 2) float32, in evaluation mode and full precision."""
    model.eval()
    device = next(model.parameters()).device
    parts = [model(part.to(device)).logits.float().cpu() for part in torch.split(pictures, batch)]
    return torch.cat(parts)


def validation_views(crops: Tensor, half: Tensor, config: Config, copies: int, seed: int) -> tuple[Tensor, Tensor]:
    """The validation pictures as the product sees them, and spoilt as photographs are: alike for every stage.

    Args:
        crops: (n, 3, s, s), uint8, cached crops.
        half: (n, 2), float32.
        config: The recipe.
        copies: Number of spoilt views of each picture.
        seed: Of the spoiling; fixed, so that runs compare.

    Returns:
        Clean views (n, 3, size, size) and spoilt ones (copies * n, 3, size, size), both normalised float32.
    """
    size, s = config.model.size, crops.shape[-1]
    keep = s * (1 + 2 * config.model.margin) / (1 + 2 * config.data.cache_margin)
    a = round((s - keep) / 2)
    middle = crops[:, :, a : s - a, a : s - a].float() / 255
    clean = F.interpolate(middle, (size, size), mode="bilinear", antialias=True)
    augment = Augmenter(Augment(), size, config.data.cache_margin, seed)
    spoilt = [
        augment(c, h)
        for _ in range(copies)
        for c, h in zip(torch.split(crops, 256), torch.split(half, 256), strict=True)
    ]
    return normalise(clean), normalise(torch.cat(spoilt))


def balanced_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """Mean of the two recalls, and the recalls of women and men; all in [0, 1].

    Args:
        logits: (n, 2), float.
        labels: (n,), int64, 0 for female and 1 for male.
    """
    right = logits.argmax(1) == labels
    recalls = [float(right[labels == k].float().mean()) for k in (0, 1)]
    return sum(recalls) / 2, recalls[0], recalls[1]


@dataclass(frozen=True)
class Examination:
    """The held-out pictures in the views by which runs are compared: the same for every run and stage."""

    clean: Tensor
    """(n, 3, size, size), float32, normalised."""
    spoilt: Tensor
    """(3 * n, 3, size, size), float32, normalised."""
    labels: Tensor
    """(n,), int64."""

    @classmethod
    def prepare(cls, material: Material, config: Config) -> Examination:
        """Makes the views."""
        held = list(material.validation)
        clean, spoilt = validation_views(material.crops[held], material.half[held], config, 3, seed=99)
        return cls(clean, spoilt, material.labels[held])

    def figures(self, model: Any) -> dict[str, float]:
        """A network's recalls and their mean on both kinds of view, as a log holds them; in [0, 1]."""
        entry: dict[str, float] = {}
        for kind, views, labels in (("clean", self.clean, self.labels), ("spoilt", self.spoilt, self.labels.repeat(3))):
            both, female, male = balanced_accuracy(predict(model, views), labels)
            entry |= {kind: round(both, 4), f"{kind}_female": round(female, 4), f"{kind}_male": round(male, 4)}
        return entry


def even_out(model: Any, offset: float) -> None:
    """Adds an offset to the bias of class 0 against class 1, half to either, in the last layer of a classifier."""
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 2][-1]
    with torch.no_grad():
        last.bias.add_(torch.tensor([offset / 2, -offset / 2]))


def decide(root: Path, cache: Path, config: Config, checkpoint: Path) -> Decision:
    """Evens out a checkpoint's errors, fits its decision rule and writes both.

    Portraits of unseen people are much easier than photographs: on clean ones nearly every answer is right at any
    threshold. The rule is fitted on spoilt views of them, which are wrong as often as photographs are.

    Args:
        root: The data root.
        cache: Where ``prepare`` put the crops.
        config: The recipe.
        checkpoint: The folder; receives ``decision.json``, and new biases in its last layer.

    Returns:
        The rule.
    """
    material = Material.load(root, cache, config)
    held = list(material.validation)
    spoilt = validation_views(material.crops[held], material.half[held], config, COPIES, seed=199)[1]
    model = AutoModelForImageClassification.from_pretrained(checkpoint)
    logits = predict(model, spoilt).numpy().astype(np.float64)
    labels = np.tile(material.labels[held].numpy(), COPIES)
    offset = fit_offset(logits, labels)
    even_out(model, offset)
    model.save_pretrained(checkpoint, safe_serialization=True)
    logits += [offset / 2, -offset / 2]
    limit = config.schedule.wrong_answers
    provenance = (
        f"{len(held)} pictures of people held out of training, {COPIES} spoilt views of each; "
        f"at most {100 * limit:g} % of the answers of either class wrong"
    )
    rule = fit_decision(logits, labels, limit, provenance)
    rule.write(checkpoint / "decision.json")
    return rule
