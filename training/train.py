"""One training run: crops, a candidate and a schedule -> an averaged checkpoint and its log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.augment import Augmenter, mixup, normalise
from training.config import Config, Schedule
from training.data import Row, read_faces, split_by_person
from training.models import build_model, build_processor, count_parameters
from training.prepare import half_boxes, load_crops
from training.validation import predict, validation_views

__all__ = ["balanced_accuracy", "draw_weights", "learning_rate", "train", "train_step"]


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


def learning_rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def balanced_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """Mean of the two recalls, and the recalls of women and men; all in [0, 1].

    Args:
        logits: (n, 2), float.
        labels: (n,), int64, 0 for female and 1 for male.
    """
    right = logits.argmax(1) == labels
    recalls = [float(right[labels == k].float().mean()) for k in (0, 1)]
    return sum(recalls) / 2, recalls[0], recalls[1]


def _has_onednn() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the machine multiplies it fast, else float32."""
    fast = device.type == "cuda" or _has_onednn()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


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


class Pool:
    """Augmented pictures, drawn several times in ever new company.

    One batch of the pool is renewed every ``echo`` steps, so a picture is seen ``echo`` times on average, each time
    mirrored or not and beside (or mixed with) other pictures.
    """

    def __init__(self, draw: Callable[[], tuple[Tensor, Tensor]], schedule: Schedule) -> None:
        """Fills the pool.

        Args:
            draw: Makes a batch: pictures (batch, 3, h, w) in [0, 1] and labels (batch,).
            schedule: Gives the batch size and the echo.
        """
        self.draw, self.batch, self.echo = draw, schedule.batch, schedule.echo
        parts = [draw() for _ in range(8 if schedule.echo > 1 else 1)]
        self.pictures = torch.cat([p for p, _ in parts])
        self.labels = torch.cat([y for _, y in parts])
        self.slot = 0

    def __call__(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The batch of a step."""
        if step % self.echo == 0 and step:
            place = slice(self.slot * self.batch, (self.slot + 1) * self.batch)
            self.pictures[place], self.labels[place] = self.draw()
            self.slot = (self.slot + 1) % (len(self.labels) // self.batch)
        chosen = torch.randperm(len(self.labels), generator=generator)[: self.batch]
        flipped = chosen[: self.batch // 2]
        straight = chosen[self.batch // 2 :]
        pictures = torch.cat([self.pictures[flipped].flip(-1), self.pictures[straight]])
        return pictures, self.labels[chosen]


def _teach(teachers: Sequence[Any], pictures: Tensor, temperature: float) -> Tensor:
    with torch.no_grad(), autocast(pictures.device):
        answers = [t(pictures).logits.float() for t in teachers]
    return torch.softmax(torch.stack(answers).mean(0) / temperature, 1)


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
        out: Receives ``config.json``, ``model.safetensors``, ``preprocessor_config.json`` and ``log.json``.
        teachers: Trained classifiers of the same input size whose soft answers the student also learns.
        initial: A classifier of the same kind to start from, trained on the same split.
        say: Receives a line per evaluation.

    Returns:
        The log: curves, final validation figures, parameters, seconds.
    """
    s = config.schedule
    torch.manual_seed(s.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = read_faces(root, config.data.folder)
    training, validation = split_by_person(rows, config.data.validation_share, config.data.split_seed)
    crops = torch.from_numpy(load_crops(cache, config.data)).permute(0, 3, 1, 2)
    half = torch.from_numpy(half_boxes(rows, config.data.cache_margin))
    labels = torch.tensor([r.label for r in rows])
    weights = torch.from_numpy(draw_weights([rows[i] for i in training], s.set_power))
    index = torch.tensor(training)
    clean, spoilt = validation_views(crops[validation], half[validation], config, 3, seed=99)
    held = labels[validation]

    model = (build_model(config.model) if initial is None else initial).to(device, memory_format=torch.channels_last)
    ema = copy.deepcopy(model)
    optimiser = _optimiser(model, s)
    augment = Augmenter(config.augment, config.model.size, config.data.cache_margin, s.seed)
    parameters = count_parameters(model)
    say(f"{len(training)} training, {len(validation)} validation pictures; {parameters} parameters")

    def draw() -> tuple[Tensor, Tensor]:
        chosen = index[torch.multinomial(weights, s.batch, True, generator=augment.generator)]
        return augment(crops[chosen], half[chosen]), labels[chosen]

    pool = Pool(draw, s)
    curves: list[dict[str, float]] = []
    began, running = time.time(), 0.0
    for step in range(s.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, s)
        pictures, answers = pool(step, augment.generator)
        pictures = normalise(pictures)
        targets = F.one_hot(answers, 2).float()
        targets = targets * (1 - s.label_smoothing) + s.label_smoothing / 2
        mixed = float(augment.rand(1)) < config.augment.mixup_share
        if config.augment.mixup and mixed:
            pictures, targets = mixup(pictures, targets, config.augment.mixup, augment.generator)
        pictures, targets = pictures.to(device), targets.to(device)
        if teachers:
            soft = _teach(teachers, pictures, s.distil_temperature)
            targets = (1 - s.distil) * targets + s.distil * soft
        model.train()
        loss = train_step(model, optimiser, pictures, targets)
        running = loss if step == 0 else 0.99 * running + 0.01 * loss
        _average(ema, model, min(s.ema, (1 + step) / (10 + step)))
        if (step + 1) % s.evaluate_every == 0 or step + 1 == s.steps:
            plain = balanced_accuracy(predict(ema, clean), held)
            hard = balanced_accuracy(predict(ema, spoilt), held.repeat(3))
            curves.append(
                {
                    "step": step + 1,
                    "seconds": round(time.time() - began, 1),
                    "loss": round(running, 4),
                    "clean": round(plain[0], 4),
                    "clean_female": round(plain[1], 4),
                    "clean_male": round(plain[2], 4),
                    "spoilt": round(hard[0], 4),
                    "spoilt_female": round(hard[1], 4),
                    "spoilt_male": round(hard[2], 4),
                }
            )
            say(json.dumps(curves[-1]))
            save(ema, config, out)
    log = {"parameters": parameters, "curves": curves}
    (out / "log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    return log


def save(model: Any, config: Config, out: Path) -> None:
    """Writes a checkpoint in transformers' format, processor included."""
    out.mkdir(parents=True, exist_ok=True)
    plain = copy.deepcopy(model).to("cpu", memory_format=torch.contiguous_format)
    plain.save_pretrained(out, safe_serialization=True)
    build_processor(config.model).save_pretrained(out)
