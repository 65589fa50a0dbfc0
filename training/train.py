"""One training run: crops, a candidate and a schedule -> an averaged checkpoint and its log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.augment import mixup, normalise
from training.config import Config, Schedule
from training.models import autocast, build_model, build_processor, count_parameters
from training.pool import Material, Pool, Source
from training.validation import Examination

__all__ = ["learning_rate", "save", "train", "train_step"]


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def train_step(
    model: Any,
    optimiser: torch.optim.Optimizer,
    pictures: Tensor,
    targets: Tensor,
) -> float:
    """One step on one batch.

    Args:
        model: A transformers classifier in training mode.
        optimiser: Over its weights.
        pictures: (n, 3, h, w), float32, normalised.
        targets: (n, 2), float32, rows that sum to 1.

    Returns:
        The loss.
    """
    with autocast(pictures.device):
        logits = model(pictures.contiguous(memory_format=torch.channels_last)).logits
    loss = F.cross_entropy(logits.float(), targets)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _optimiser(model: Any, schedule: Schedule) -> torch.optim.AdamW:
    decay = [p for p in model.parameters() if p.ndim > 1]
    # Biases and normalisation weights do not overfit, and decay would fight them.
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": schedule.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.lr, betas=(0.9, 0.98))


def _average(ema: Any, model: Any, decay: float) -> None:
    with torch.no_grad():
        pairs = zip(ema.state_dict().values(), model.state_dict().values(), strict=True)
        for mean, now in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


def train(
    root: Path,
    cache: Path,
    config: Config,
    out: Path,
    teachers: Sequence[Any] = (),
    initial: Any = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains a candidate and writes its averaged weights.

    Args:
        root: The data root.
        cache: Where ``prepare`` put the crops.
        config: The recipe.
        out: Receives ``config.json``, ``model.safetensors``, ``preprocessor_config.json``.
        teachers: Trained classifiers of the same input size whose soft answers the student also learns.
        initial: A classifier of the same kind to start from, trained on the same split.
        say: Receives a line per evaluation.

    Returns:
        The log: curves, final validation figures, parameters, seconds.
    """
    s = config.schedule
    torch.manual_seed(s.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    material = Material.load(root, cache, config)
    examination = Examination.prepare(material, config)

    model = (build_model(config.model) if initial is None else initial).to(device, memory_format=torch.channels_last)
    ema = copy.deepcopy(model)
    optimiser = _optimiser(model, s)
    parameters = count_parameters(model)
    say(f"{len(material.training)} training, {len(material.validation)} validation pictures; {parameters} parameters")
    for teacher in teachers:
        teacher.to(device, memory_format=torch.channels_last).eval()
    source = Source(material, config, teachers)
    pool = Pool(source, s)
    curves: list[dict[str, float]] = []
    began, running = time.time(), 0.0
    for step in range(s.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, s)
        pictures, targets = pool(step, source.generator)
        pictures = normalise(pictures)
        mixed = float(source.augment.rand(1)) < config.augment.mixup_share
        if config.augment.mixup and mixed:
            pictures, targets = mixup(pictures, targets, config.augment.mixup, source.generator)
        pictures, targets = pictures.to(device), targets.to(device)
        model.train()
        loss = train_step(model, optimiser, pictures, targets)
        running = loss if step == 0 else 0.99 * running + 0.01 * loss
        _average(ema, model, min(s.ema, (1 + step) / (10 + step)))
        if (step + 1) % s.evaluate_every == 0 or step + 1 == s.steps:
            clock = {"step": step + 1, "seconds": round(time.time() - began, 1), "loss": round(running, 4)}
            curves.append(clock | examination.figures(ema))
            say(json.dumps(curves[-1]))
            save(ema, config, out)
    return {"parameters": parameters, "curves": curves}


def save(model: Any, config: Config, out: Path) -> None:
    """Writes a checkpoint in transformers' format, processor included."""
    out.mkdir(parents=True, exist_ok=True)
    plain = copy.deepcopy(model).to("cpu", memory_format=torch.contiguous_format)
    plain.save_pretrained(out, safe_serialization=True)
    build_processor(config.model).save_pretrained(out)
