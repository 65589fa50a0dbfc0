"""Makes batches: views of drawn faces, and what labels and the CC0 network say of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.augment import Geometry, Views, companion, mixing
from training.config import Recipe
from training.faces import UNKNOWN, Pool
from training.soft import GenderNet

__all__ = ["Batch", "Source", "draw_weights", "soft_answer"]


@dataclass(frozen=True)
class Batch:
    """Views and what is known of each; everything but the views is (n,), float32.

    Attributes:
        views: (n, 3, s, s), float32, in [0, 1].
        soft: Log odds of ``male`` as the CC0 network gives them; ``None`` where it is not asked.
        label: Probability of ``male`` by the label, where there is one.
        known: Share of the view whose label is known: 0 or 1, between them for two faces in one.
        trust: Factor on the logits of soft answers.
    """

    views: Tensor
    soft: Tensor | None
    label: Tensor
    known: Tensor
    trust: Tensor

    def target(self, soft: Tensor, label_share: float) -> Tensor:
        """Returns the probability of ``male`` to learn: labels where they are known, else soft answers (log odds)."""
        weight = label_share * self.known
        return weight * self.label + (1 - weight) * torch.sigmoid(soft * self.trust)


def soft_answer(net: GenderNet, views: Tensor, camera: Geometry, framing: tuple[float, float], heat: float) -> Tensor:
    """Asks the CC0 network about views: two zooms and their mirror images; the mean log odds, divided by heat."""
    total = torch.zeros(len(views), device=views.device)
    for zoom in (0.93, 1.08):
        seen = companion(views, Geometry(camera.turn, camera.scale * zoom, camera.dx, camera.dy), framing)
        total += net(torch.cat([seen, seen.flip(-1)])).view(2, -1).mean(0)
    return (total / 2 / heat).clamp(-7, 7)


def draw_weights(pool: Pool, guesses: npt.NDArray[np.int64], recipe: Recipe) -> npt.NDArray[np.float64]:
    """How often each face is drawn; those kept for validation never are.

    Women and men weigh the same inside every set, so that neither the camera, the age of the picture nor its being
    black and white says anything about the answer. Tiny faces count half, those that look like children's two or four
    times.

    Args:
        pool: The faces.
        guesses: The label of each, or what the CC0 network says where there is none, (n,).
        recipe: Gives the power and the factors of the sets.

    Returns:
        (n,) float64, sums to 1.
    """
    schedule = recipe.schedule
    weights = np.zeros(len(guesses))
    for source in np.unique(pool.sources):
        of_set = pool.sources == source
        weight = schedule.weights.get(str(source), 1.0) * of_set.sum() ** schedule.set_power
        for gender in (0, 1):
            cell = of_set & (guesses == gender) & ~pool.held
            if cell.any():
                weights[cell] = weight / cell.sum()
    weights *= np.where(pool.size < 10, 0.5, 1.0)
    weights *= np.where(pool.trust < 0.6, 4.0, np.where(pool.trust < 0.99, 2.0, 1.0))
    return np.asarray(weights / weights.sum(), np.float64)


class Source:
    """Draws batches from a pool."""

    def __init__(self, pool: Pool, recipe: Recipe, net: GenderNet, device: torch.device) -> None:
        """Moves the pool to the device."""
        self.recipe, self.net, self.device = recipe, net, device
        self.framing = recipe.faces.eyes
        self.views = Views(torch.from_numpy(pool.chips).to(device), recipe)
        self.labels = torch.from_numpy(pool.labels).to(device)
        self.trust = torch.from_numpy(pool.trust).to(device)
        self.held = torch.from_numpy(np.flatnonzero(pool.held & (pool.labels != UNKNOWN))).to(device)
        asked = (
            torch.cat([self._of_plain(part) for part in torch.split(torch.arange(len(pool.labels)), 512)]).cpu().numpy()
        )
        guesses = np.where(pool.labels == UNKNOWN, asked > 0, pool.labels).astype(np.int64)
        weights = draw_weights(pool, guesses, recipe)
        self._all = torch.from_numpy(weights).to(device).cumsum(0)
        self._labelled = torch.from_numpy(weights * (pool.labels != UNKNOWN)).to(device).cumsum(0)

    @torch.no_grad()
    def _of_plain(self, chosen: Tensor) -> Tensor:
        chosen = chosen.to(self.device)
        return self.ask(self.views.plain(chosen), Geometry.none(len(chosen), self.device))

    def ask(self, views: Tensor, camera: Geometry) -> Tensor:
        """The soft answers on views, (n,), log odds."""
        return soft_answer(self.net, views, camera, self.framing, self.recipe.schedule.temperature)

    @torch.no_grad()
    def __call__(self, n: int, *, labelled: bool = False) -> Batch:
        """Draws n views; of labelled faces alone, without soft answers, where that is asked for."""
        cumulated = self._labelled if labelled else self._all
        drawn = torch.rand(n, device=self.device, dtype=torch.float64) * cumulated[-1]
        chosen = torch.searchsorted(cumulated, drawn).clamp_max(len(cumulated) - 1)
        good, spoilt, geometry = self.views(chosen)
        known = (self.labels[chosen] != UNKNOWN).float()
        label, trust = self.labels[chosen].clamp_min(0).float(), self.trust[chosen]
        augment, kind = self.recipe.augment, float(torch.rand(()))
        if kind < augment.blend + augment.cut:
            mix = mixing(n, self.views.size, kind >= augment.blend, self.device)
            good, spoilt = mix(good), mix(spoilt)
            label, known, trust = mix.values(known * label), mix.values(known), mix.values(trust)
            label = label / known.clamp_min(1e-6)
        label = 0.02 + 0.96 * label
        if labelled:
            return Batch(spoilt, None, label, known, trust)
        # The CC0 network sees what the student sees, or the view before it was spoilt; its camera stays where the
        # student's is, or undoes a part of the straying: half of the batch each.
        share = torch.where(self.views.chance(n, 0.5), 0.6, 0.0)
        seen = torch.where(self.views.chance(n, 0.5).view(-1, 1, 1, 1), spoilt, good)
        return Batch(spoilt, self.ask(seen, geometry.undone(share)), label, known, trust)
