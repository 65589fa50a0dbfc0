"""Trains every network of a recipe on the same batches, and keeps the running means of their weights."""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from training.pictures import LABELS
from training.validation import Examination

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.batches import Source
    from training.config import Network, Recipe, Schedule

__all__ = ["Learner", "answer", "build_network", "learning_rate", "save", "train"]


def build_network(network: Network) -> Any:
    """Makes an untrained classifier; its ``logits`` are (n, 2), in the order of ``LABELS``."""
    config = ResNetConfig(
        embedding_size=network.embedding,
        hidden_sizes=list(network.hidden),
        depths=list(network.depths),
        layer_type="basic",
        id2label=dict(enumerate(LABELS)),
        label2id={name: index for index, name in enumerate(LABELS)},
    )
    return ResNetForImageClassification(config)


def answer(model: Any, size: int, views: Tensor) -> Tensor:
    """Returns the log odds of ``male`` for views (n, 3, s, s) in [0, 1], scaled to its input: (n,), float32."""
    if views.shape[-1] != size:
        views = F.interpolate(views, (size, size), mode="bilinear", antialias=True, align_corners=False)
    with torch.autocast(views.device.type, torch.bfloat16, enabled=views.device.type == "cuda"):
        logits = model((views * 2 - 1).contiguous(memory_format=torch.channels_last)).logits
    logits = logits.float()
    return torch.sub(logits[:, 1], logits[:, 0])


def learning_rate(step: int, done: float, network: Network, schedule: Schedule) -> float:
    """Linear warm-up in steps, times half a cosine in time down to a hundredth."""
    cosine = (1 + math.cos(math.pi * min(1.0, done / network.until))) / 2
    return network.lr * min(1.0, (step + 1) / schedule.warmup) * (0.01 + 0.99 * cosine)


class Learner:
    """A network, its optimiser, and the running mean of its weights."""

    def __init__(self, network: Network, schedule: Schedule, device: torch.device) -> None:
        """Makes the untrained network."""
        self.network, self.schedule, self.steps, self.loss = network, schedule, 0, 0.0
        self.model = build_network(network).to(device).to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.model).eval()
        self._parameters = list(self.model.parameters())
        # Biases and normalisation weights do not overfit, and decay would fight them.
        groups = [
            {"params": [p for p in self._parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
            {"params": [p for p in self._parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=network.lr, betas=(0.9, 0.98), fused=device.type == "cuda")
        self._means, self._now = (
            [v for v in m.state_dict().values() if v.is_floating_point()] for m in (self.mean, self.model)
        )

    def step(self, views: Tensor, target: Tensor, done: float) -> None:
        """Learns one batch.

        Args:
            views: (n, 3, s, s), float32, in [0, 1].
            target: (n,), probability of ``male``.
            done: Share of the time that is over, in [0, 1].
        """
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.steps, done, self.network, self.schedule)
        self.model.train()
        loss = F.binary_cross_entropy_with_logits(answer(self.model, self.network.size, views), target)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, 5.0)
        self._optimiser.step()
        self.steps += 1
        decay = min(self.schedule.ema, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self._means, self._now, 1 - decay)
        if self.steps % 50 == 1:  # reading it waits for the device
            now = float(loss.detach())
            self.loss = now if self.steps == 1 else 0.9 * self.loss + 0.1 * now

    @torch.no_grad()
    def answer(self, views: Tensor) -> Tensor:
        """What the running mean says, as :func:`answer`."""
        return answer(self.mean, self.network.size, views)


def _targets(recipe: Recipe, learners: dict[str, Learner], batch: Any, done: float) -> dict[str, Tensor]:
    """What each kind of network is to learn from a batch: ``soft`` and ``all``."""
    s = recipe.schedule
    soft = batch.target(batch.soft, s.label_share)
    ready = min(1.0, max(0.0, (done - s.teacher_from) / (s.teacher_full - s.teacher_from)))
    if ready == 0:
        return {"soft": soft, "all": soft}
    own = learners[recipe.teacher].answer(batch.views) * s.teacher_gain
    both = (1 - ready / 2) * batch.soft + ready / 2 * own
    return {"soft": soft, "all": batch.target(both, s.label_share_taught)}


def train(source: Source, recipe: Recipe, out: Path, say: Callable[[str], None] = print) -> dict[str, Learner]:
    """Trains, and writes checkpoints and the log every minute and at the end.

    Args:
        source: Draws the batches.
        recipe: The networks and the schedule.
        out: Receives a folder for each network, in transformers' format, and ``log.json``.
        say: Receives a line per evaluation.
    """
    s = recipe.schedule
    torch.manual_seed(s.seed)
    learners = {name: Learner(n, s, source.device) for name, n in recipe.networks.items()}
    examination = Examination.prepare(source)
    log: dict[str, Any] = {
        "validation": len(source.held),
        "parameters": {name: sum(p.numel() for p in one.model.parameters()) for name, one in learners.items()},
        "cc0": examination.figures(lambda views: source.ask(views, examination.still(len(views)))),
        "curves": [],
    }
    say(json.dumps(log))

    def note(seconds: float) -> None:
        row: dict[str, Any] = {"seconds": round(seconds)}
        for name, one in learners.items():
            row[name] = {"steps": one.steps, "loss": round(one.loss, 4), **examination.figures(one.answer)}
            save(one, out / name)
        log["curves"].append(row)
        say(json.dumps(row))
        (out / "log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")

    began, noted, step = time.monotonic(), 0.0, 0
    while (seconds := time.monotonic() - began) < s.seconds:
        done = seconds / s.seconds
        batch = source(s.batch)
        with torch.no_grad():
            targets = _targets(recipe, learners, batch, done)
        for one in learners.values():
            if step % one.network.every or done >= one.network.until:
                continue
            if one.network.learns == "labels":
                plain = source(s.batch // 2, labelled=True)
                one.step(plain.views, plain.label, done)
            else:
                one.step(batch.views, targets[one.network.learns], done)
        step += 1
        if seconds - noted > 60:
            note(seconds)
            noted = seconds
    note(s.seconds)
    return learners


def save(learner: Learner, folder: Path) -> None:
    """Writes the running mean in transformers' format, processor included."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = copy.deepcopy(learner.mean).to("cpu", memory_format=torch.contiguous_format)
    plain.save_pretrained(folder, safe_serialization=True)
    size = {"height": learner.network.size, "width": learner.network.size}
    ViTImageProcessor(size=size, resample=2, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(folder)
