"""The recipe as data: what ``config.json`` may say, with its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gender_classifier.runtime.bundle.strict_json import build, parse

from .canvases import Mix
from .network import Shape

__all__ = ["Recipe", "Stage", "load_recipe"]


@dataclass(frozen=True)
class Stage:
    """One run of training, from the weights of the one before.

    Attributes:
        name: Of its folder.
        steps: Updates of the weights.
        batch: Canvases of 320 pixels in a step.
        rate: Highest learning rate; it rises over ``warmup`` steps and falls by half a cosine.
        seed: Of the random numbers.
        warmup: See ``rate``.
        large: Share of steps with larger canvases.
        large_side: Their side in pixels.
        large_batch: How many of them are in a step; a quarter of ``batch`` unless given.
        average: Of how much of the averaged weights is kept at each step.
        marks: Weight of the landmarks in the loss.
        uses: How often a batch of canvases is used, the later times in random order.
        refined: See :func:`training.detector.sources.load`; also shows places that the network before took for faces.
        frozen: Keep the statistics of batch normalisation.
        mix: How the canvases are mixed.
    """

    name: str
    steps: int
    batch: int
    rate: float
    seed: int
    warmup: int = 100
    large: float = 0.25
    large_side: int = 640
    large_batch: int = 0
    average: float = 0.9996
    marks: float = 9.0
    uses: int = 1
    refined: bool = False
    frozen: bool = False
    mix: Mix = field(default_factory=Mix)


@dataclass(frozen=True)
class Recipe:
    """The whole recipe.

    Attributes:
        shape: The network.
        stages: The runs of training, in order.
        threshold: Least score of a face, chosen on the photographs of ``docs/faces.md``.
        detect_size: Longest side in pixels at which a large picture is searched.
    """

    shape: Shape
    stages: tuple[Stage, ...]
    threshold: float
    detect_size: int


def load_recipe(path: Path) -> Recipe:
    """Reads the recipe; what it does not say keeps its default.

    Raises:
        ValueError: If it is not JSON, or has an unknown field, a missing one or one of a wrong type.
    """
    return build(Recipe, parse(path.read_bytes()))
