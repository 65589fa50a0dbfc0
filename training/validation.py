"""Measures networks on people whom no weight has seen, and fits the decision rule there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gender_classifier.evaluation.calibration import fit
from gender_classifier.runtime.bundle.manifest import Decision
from training.augment import Geometry
from training.pictures import LABELS

if TYPE_CHECKING:
    from training.batches import Source
    from training.config import Recipe

__all__ = ["Examination", "calibrate", "decide", "even_offset"]

Ask = Callable[[Tensor], Tensor]
"""Views (n, 3, s, s) in [0, 1] -> log odds of ``male`` (n,)."""


@dataclass(frozen=True)
class Examination:
    """The held-out labelled faces: as the product sees them, and spoilt as training views are; alike for every run."""

    clean: Tensor
    spoilt: tuple[Tensor, ...]
    truth: npt.NDArray[np.int64]
    device: torch.device

    @classmethod
    def prepare(cls, source: Source, copies: int = 4) -> Examination:
        """Draws the views, from a seed of their own."""
        with torch.random.fork_rng(devices=[source.device] if source.device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(5)
            spoilt = tuple(source.views(source.held)[1] for _ in range(copies))
            clean = source.views.plain(source.held)
        return cls(clean, spoilt, source.labels[source.held].cpu().numpy(), source.device)

    def still(self, n: int) -> Geometry:
        """The camera that looks where the view looks."""
        return Geometry.none(n, self.device)

    def odds(self, ask: Ask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Log odds of clean views (n,) and of spoilt ones (copies, n)."""
        with torch.no_grad():
            clean, *spoilt = (ask(views).double().cpu().numpy() for views in (self.clean, *self.spoilt))
        return clean, np.stack(spoilt)

    def figures(self, ask: Ask) -> dict[str, float]:
        """Recalls and their mean in [0, 1], and log loss, of both kinds of view, as a log holds them."""
        entry: dict[str, float] = {}
        for kind, odds in zip(("clean", "spoilt"), self.odds(ask), strict=True):
            truth = np.broadcast_to(self.truth, odds.shape)
            women, men = float((odds[truth == 0] <= 0).mean()), float((odds[truth == 1] > 0).mean())
            loss = float(np.logaddexp(0, np.where(truth == 1, -odds, odds)).mean())
            numbers = {"": (women + men) / 2, "_female": women, "_male": men, "_loss": loss}
            entry |= {f"{kind}{name}": round(number, 4) for name, number in numbers.items()}
        return entry


def even_offset(odds: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    """Returns what to add to the log odds of ``male`` so that both classes are recognised equally often.

    A class with few people is learnt by heart and then missed in new pictures, however evenly it was drawn.

    Args:
        odds: Log odds, (n,).
        truth: 0 or 1, both present, (n,).
    """
    grid = np.linspace(-3, 3, 601)
    gaps = [abs((odds[truth == 0] + d <= 0).mean() - (odds[truth == 1] + d > 0).mean()) for d in grid]
    return float(grid[int(np.argmin(gaps))])


def calibrate(model: Any, offset: float, temperature: float) -> None:
    """Puts offset and temperature into a classifier's last layer, so that its softmax is calibrated by itself.

    Args:
        model: Its last linear layer has two outputs.
        offset: Added to the log odds of the second class first.
        temperature: The logits are divided by it then.
    """
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == len(LABELS)][-1]
    with torch.no_grad():
        last.bias.add_(torch.tensor([-offset / 2, offset / 2], device=last.bias.device)).div_(temperature)
        last.weight.div_(temperature)


def decide(model: Any, ask: Ask, examination: Examination, recipe: Recipe, out: Path) -> Decision:
    """Evens out and calibrates a classifier, fits its thresholds, and writes both beside each other.

    Clean portraits of unseen people are nearly all right at any threshold. The rule is fitted on spoilt views of them,
    which are wrong as often as photographs are.

    Args:
        model: The classifier; its last layer is changed.
        ask: Asks it, as it was.
        examination: The held-out faces.
        recipe: Says how many answers may be wrong, and which faces are too small.
        out: Receives ``model.safetensors`` and ``decision.json``.

    Returns:
        The rule; its temperature is 1.
    """
    odds = examination.odds(ask)[1].ravel()
    truth = np.tile(examination.truth, len(examination.spoilt))
    offset = even_offset(odds, truth)
    male = 0.5 * (1 + np.tanh((odds + offset) / 2))
    fitted = fit(np.stack([1 - male, male], axis=1), truth, max_error=recipe.wrong_answers, mix="both")
    calibrate(model, offset, fitted.temperature)
    model.save_pretrained(out, safe_serialization=True)
    # Up to the next hundredth, so that the promise holds.
    thresholds = {name: float(np.ceil(limit * 100 - 1e-9) / 100) for name, limit in fitted.thresholds.items()}
    provenance = (
        f"{len(examination.truth)} faces of people held out of training, {len(examination.spoilt)} spoilt views of "
        f"each; at most {100 * recipe.wrong_answers:g} % of the answers of either class wrong, as found and"
        " with as many women as men; "
        f"offset {offset:.2f} and temperature {fitted.temperature:.3f} are in the last layer's weights"
    )
    decision = Decision(thresholds=thresholds, provenance=provenance, min_face=recipe.min_face)
    (out / "decision.json").write_text(json.dumps(asdict(decision), indent=2) + "\n", encoding="utf-8")
    return decision
