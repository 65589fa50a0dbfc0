"""The stages of a recipe, one after the other: each leaves a checkpoint that the next ones may start or learn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageClassification

from training.augment import normalise
from training.config import Recipe, Stage
from training.models import count_parameters
from training.pool import Material, Source
from training.soup import average_weights, refresh_statistics
from training.train import save, train
from training.validation import Examination, decide

__all__ = ["LOG", "is_done", "run_stage", "stage_folder"]

LOG = "log.json"
"""Written when a stage has ended."""

STATISTICS_BATCHES = 100
"""Batches for the statistics of an average: 12,800 pictures settle them to well below a per cent."""


def stage_folder(cache: Path, name: str) -> Path:
    """Where a stage leaves its checkpoint and ``log.json``."""
    return cache / "stages" / name


def is_done(cache: Path, name: str) -> bool:
    """Whether a stage has run to its end: its log is written last."""
    return (stage_folder(cache, name) / LOG).exists()


def _open(cache: Path, name: str) -> Any:
    return AutoModelForImageClassification.from_pretrained(stage_folder(cache, name)).eval()


def run_stage(root: Path, cache: Path, recipe: Recipe, name: str, say: Callable[[str], None] = print) -> None:
    """Does one stage.

    Args:
        root: The data root.
        cache: Where ``prepare`` put the crops; receives ``stages/<name>/``.
        recipe: The recipe.
        name: One of its stages.
        say: Receives a line per evaluation.

    Raises:
        ValueError: If the recipe has no such stage, or a stage that it needs was not done.
    """
    if name not in recipe.stages:
        raise ValueError(f"no stage {name}; there are {', '.join(recipe.stages)}")
    stage = recipe.stages[name]
    missing = [other for other in stage.needs if not is_done(cache, other)]
    if missing:
        raise ValueError(f"stage {name} needs {', '.join(missing)} first")
    out = stage_folder(cache, name)
    if stage.average:
        log = _average(root, cache, stage, out, say)
    else:
        teachers = [_open(cache, teacher) for teacher in stage.teachers]
        initial = _open(cache, stage.initial) if stage.initial else None
        log = train(root, cache, stage.config, out, teachers, initial, say=say)
    # Every stage is evened out, so that no teacher hands its preference on.
    say(str(decide(root, cache, stage.config, out)))
    (out / LOG).write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def _average(root: Path, cache: Path, stage: Stage, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    config = stage.config
    torch.manual_seed(config.schedule.seed)
    material = Material.load(root, cache, config)
    model = average_weights([_open(cache, name) for name in stage.average])
    source = Source(material, config)

    def batches() -> Iterator[Tensor]:
        while True:
            yield normalise(source()[0])

    refresh_statistics(model, islice(batches(), STATISTICS_BATCHES))
    entry = Examination.prepare(material, config).figures(model)
    say(json.dumps(entry))
    save(model, config, out)
    return {"parameters": count_parameters(model), "curves": [entry]}
