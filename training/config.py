"""The recipe as data: what ``config.json`` may say, with its defaults."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Augment", "Config", "Data", "Model", "Recipe", "Schedule", "Stage", "load_recipe"]

T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """Which pictures, how they are cached, and how they are split."""

    folder: str = "train"
    """Folder under the data root with ``labels.csv``; the only pictures that touch the weights."""
    cache_size: int = 192
    """Side of the cached crop in pixels."""
    cache_margin: float = 1.0
    """Margin of the cached crop around the face box; the widest framing seen in training."""
    validation_share: float = 0.12
    """Share of the people of each set and gender that is kept for validation."""
    split_seed: int = 3


@dataclass(frozen=True)
class Model:
    """A candidate: a configuration class of transformers and its options."""

    family: str = "resnet"
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 80
    """Side of the input in pixels."""
    margin: float = 0.25
    """The framing that the bundle will use."""


@dataclass(frozen=True)
class Augment:
    """How far a training picture may stray from its file. Probabilities are per picture."""

    margin_narrow: tuple[float, float] = (0.08, 0.42)
    margin_wide: tuple[float, float] = (-0.08, 0.75)
    wide: float = 0.35
    """Share of pictures that take their margin from ``margin_wide``."""
    whole: float = 0.2
    """Share of pictures framed as whole photographs are: head and shoulders, squeezed to the square."""
    rotate: float = 12.0
    """Standard deviation of the rotation in degrees."""
    aspect: float = 0.12
    """Standard deviation of the logarithm of width over height."""
    shift: float = 0.06
    """Standard deviation of the shift, in half sides of the crop."""
    shear: float = 0.06
    warp: float = 0.025
    """Standard deviation of a smooth displacement, in half sides of the cached crop."""
    colour: float = 0.35
    grey: float = 0.25
    dark: float = 0.15
    lowres: float = 0.3
    blur: float = 0.2
    jpeg: float = 0.2
    noise: float = 0.25
    background: float = 0.3
    """Everything outside an oval around the face is replaced."""
    hair: float = 0.15
    """Everything above a line across the forehead is replaced."""
    collar: float = 0.25
    """Everything below a line across the chin is replaced."""
    border: float = 0.25
    """One to three sides are black, as where a face touches the edge of its picture."""
    erase: float = 0.3
    mixup: float = 0.2
    """Parameter of the beta distribution; 0 switches mixup off."""
    mixup_share: float = 0.5
    """Share of the batches that are mixed."""


@dataclass(frozen=True)
class Schedule:
    """The optimiser and its clock."""

    steps: int = 6000
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 200
    ema: float = 0.998
    label_smoothing: float = 0.05
    set_power: float = 0.5
    """A set of n pictures is drawn with weight n ** set_power; inside it both genders alike."""
    distil: float = 0.7
    """Weight of the teachers' soft answers against the labels; counts only for a stage with teachers."""
    distil_temperature: float = 2.0
    echo: int = 2
    """How many steps share one augmented batch: on a CPU, augmentation costs as much as learning."""
    evaluate_every: int = 500
    seed: int = 7
    wrong_answers: float = 0.025
    """Largest share of wrong answers per class that the decision rule allows on validation: half of the five per cent
    that are promised, because photographs are further from the training pictures than spoilt portraits are."""


@dataclass(frozen=True)
class Config:
    """A whole recipe."""

    data: Data = Data()
    model: Model = Model()
    augment: Augment = Augment()
    schedule: Schedule = Schedule()


@dataclass(frozen=True)
class Stage:
    """One step of the recipe: a network to train, or trained ones to average."""

    config: Config
    """How to train; for an average, that of the stages averaged."""
    initial: str = ""
    """Stage whose weights are the start; untrained weights without one."""
    teachers: tuple[str, ...] = ()
    """Stages whose soft answers are learnt too."""
    average: tuple[str, ...] = ()
    """Stages whose weights are averaged; nothing is trained then."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages that have to be there before this one."""
        return (*((self.initial,) if self.initial else ()), *self.teachers, *self.average)


@dataclass(frozen=True)
class Recipe:
    """All stages, in an order in which they can be done; the last one is the built-in model."""

    data: Data
    stages: dict[str, Stage]

    @property
    def final(self) -> Stage:
        """The stage that makes the built-in model."""
        return list(self.stages.values())[-1]


def _build(kind: type[T], values: dict[str, Any]) -> T:
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {', '.join(unknown)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _stage(name: str, raw: dict[str, Any], data: Data, earlier: dict[str, Stage]) -> Stage:
    unknown = sorted(set(raw) - {"model", "augment", "schedule", "initial", "teachers", "average"})
    if unknown:
        raise ValueError(f"stage {name} has no field {', '.join(unknown)}")
    initial = raw.get("initial", "")
    if initial and "model" in raw:
        raise ValueError(f"stage {name} starts from {initial} and has its network; leave out model")
    same = earlier.get(initial)
    config = Config(
        data=data,
        model=same.config.model if same else _build(Model, raw.get("model", {})),
        augment=_build(Augment, raw.get("augment", {})),
        schedule=_build(Schedule, raw.get("schedule", {})),
    )
    stage = Stage(config, initial, tuple(raw.get("teachers", ())), tuple(raw.get("average", ())))
    missing = sorted(set(stage.needs) - set(earlier))
    if missing:
        raise ValueError(f"stage {name} needs {', '.join(missing)}, which no earlier stage makes")
    if stage.average:
        if set(raw) != {"average"}:
            raise ValueError(f"stage {name} averages; it has nothing else to say")
        models = [earlier[other].config.model for other in stage.average]
        if any(model != models[0] for model in models):
            raise ValueError(f"stage {name} averages networks of different shapes")
        stage = dataclasses.replace(stage, config=earlier[stage.average[0]].config)
    return stage


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; a field that no dataclass has is an error.

    Args:
        path: A JSON file with the sections ``data`` (optional) and ``stages``: name -> ``model``, ``augment``,
            ``schedule``, ``initial``, ``teachers``, each optional, or ``average`` alone. A stage with ``initial`` has
            the network of that stage.

    Returns:
        The recipe; what the file does not say keeps its default.

    Raises:
        ValueError: For an unknown section or field, no stage, or a stage that needs what no earlier one makes.
    """
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    unknown = sorted(set(raw) - {"data", "stages"})
    if unknown:
        raise ValueError(f"unknown section {', '.join(unknown)}")
    data = _build(Data, raw.get("data", {}))
    stages: dict[str, Stage] = {}
    for name, part in raw.get("stages", {}).items():
        stages[name] = _stage(name, part, data, stages)
    if not stages:
        raise ValueError(f"{path} has no stages")
    return Recipe(data, stages)
