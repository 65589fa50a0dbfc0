"""Holds the recipe: what ``config.json`` may say, with its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gender_classifier.runtime.bundle.manifest import Framing
from gender_classifier.runtime.bundle.strict_json import build, parse

__all__ = ["Augment", "Faces", "Network", "Recipe", "Schedule", "load_recipe"]


@dataclass(frozen=True)
class Faces:
    """Which faces are learnt from, and how they are cut out and kept.

    Attributes:
        labelled: Folders whose ``labels.csv`` has a gender and a face for each picture.
        unlabelled: Folders of photographs without labels: every face in them gets soft answers only.
        left_out: Beginnings of names of sets that are not used (``sa_``: share-alike licences).
        framing: What the bundle will say. Faces whose eyes cannot frame them are cut by the box, as in the product.
        chip: Side of a kept chip in pixels; faces that are smaller in their picture are kept smaller.
        wide: Side of a chip in sides of the framing's square: room for turning, shifting and zooming out.
        score: Least detection score of an unlabelled face.
        smallest: Least side in pixels of an unlabelled face's box.
        held_out: Share of the people kept for validation, drawn by a hash of the person.
        child_until, grown_from: Years as an age network guesses them. Of unlabelled faces that look younger than the
            first, the soft answers' logits are multiplied by ``child_share``; up to the second that fades out.
        child_share: See above.
    """

    labelled: tuple[str, ...] = ("train", "train2")
    unlabelled: tuple[str, ...] = ("scenes", "people")
    left_out: tuple[str, ...] = ("sa_",)
    framing: Framing = field(default_factory=lambda: Framing.of("eyes"))
    chip: int = 176
    wide: float = 1.6
    score: float = 0.7
    smallest: int = 14
    held_out: float = 0.08
    child_until: float = 12.0
    grown_from: float = 18.0
    child_share: float = 0.25

    def __post_init__(self) -> None:
        if self.framing.kind != "eyes":
            raise ValueError(f"the recipe frames faces by their eyes, not by {self.framing.kind}")

    @property
    def eyes(self) -> tuple[float, float]:
        """Distance and height of the eyes in the framing's square, as shares of its side."""
        assert self.framing.eye_distance is not None
        assert self.framing.eye_line is not None
        return self.framing.eye_distance, self.framing.eye_line


@dataclass(frozen=True)
class Network:
    """One network: transformers' ResNet with basic blocks.

    Attributes:
        size: Side of its input in pixels.
        hidden: Channels of the stages.
        depths: Blocks of the stages.
        embedding: Channels of the stem.
        lr: Largest learning rate.
        learns: ``labels`` and nothing else; ``soft``: labels and the soft answers of the CC0 network; ``all``: labels,
            and the soft answers of the CC0 network and of the recipe's teacher.
        until: Share of the time after which its learning rate has fallen to a hundredth and it stays as it is.
        every: It learns at every step, or at every second, third, ...
    """

    size: int
    hidden: tuple[int, ...]
    depths: tuple[int, ...]
    embedding: int = 24
    lr: float = 4e-3
    learns: str = "all"
    until: float = 1.0
    every: int = 1


@dataclass(frozen=True)
class Augment:
    """How far a training view may stray from its chip. Probabilities are per view.

    Attributes:
        jitter: Standard deviation of the detector's landmarks, in eye distances.
        jitter_more: The same for the share ``jittery`` of the views.
        jittery: See above.
        rotate: Degrees, beside what the jitter turns.
        zoom: Standard deviation of the logarithm of the scale, beside what the jitter scales.
        box: Share of views framed as by a box: nothing level, size and place loose.
        aspect: Standard deviation of the logarithm of width over height, twice over.
        shear: Standard deviation.
        warp: Standard deviation of a smooth displacement, in half sides of the chip.
        background, hair, collar: What lies outside an oval, above the forehead, below the chin is replaced.
        glasses, mask: A plain band over the eyes, a plain field over the mouth.
        border: One to three sides are black, as where a face touches the edge of its picture.
        colour: Strength of changes of saturation, contrast, brightness, gamma, light from one side.
        grey: Without any colour.
        dark: At little light.
        lowres: At a low resolution, down to a face of ten pixels.
        blur, jpeg, noise, erase: Each on its share of views.
        blend, cut: Share of batches in which two faces become one: as a mixture, or a half of each.
    """

    jitter: float = 0.028
    jitter_more: float = 0.065
    jittery: float = 0.3
    rotate: float = 3.5
    zoom: float = 0.07
    box: float = 0.1
    aspect: float = 0.03
    shear: float = 0.03
    warp: float = 0.012
    background: float = 0.25
    hair: float = 0.22
    collar: float = 0.25
    glasses: float = 0.05
    mask: float = 0.05
    border: float = 0.15
    colour: float = 0.32
    grey: float = 0.22
    dark: float = 0.12
    lowres: float = 0.375
    blur: float = 0.19
    jpeg: float = 0.19
    noise: float = 0.22
    erase: float = 0.25
    blend: float = 0.35
    cut: float = 0.25


@dataclass(frozen=True)
class Schedule:
    """The optimiser and its clock.

    Attributes:
        seconds: How long all networks learn; a step is whatever the machine does in its time.
        batch: Views in a batch.
        warmup: Steps.
        weight_decay: Of weights, not of biases and normalisation.
        ema: Largest decay of the running mean of the weights, which is what is kept.
        set_power: A set of n faces is drawn with weight ``n ** set_power``, in it women and men alike.
        weights: Factors on the weight of a set.
        label_share: Weight of the label against soft answers.
        label_share_taught: The same once the teacher has a say.
        temperature: Divides the logits of the CC0 network.
        teacher_gain: Multiplies the logits of the teacher, which its smoothed targets keep small.
        teacher_from, teacher_full: Shares of the time between which the teacher gets its half of the soft answers.
        seed: Of everything drawn.
    """

    seconds: float = 500.0
    batch: int = 640
    warmup: int = 300
    weight_decay: float = 0.05
    ema: float = 0.9996
    set_power: float = 0.6
    weights: dict[str, float] = field(default_factory=dict)
    label_share: float = 0.4
    label_share_taught: float = 0.3
    temperature: float = 1.4
    teacher_gain: float = 1.15
    teacher_from: float = 0.1
    teacher_full: float = 0.3
    seed: int = 11


@dataclass(frozen=True)
class Recipe:
    """All of it.

    Attributes:
        networks: By name; all learn on the same batches.
        teacher: Name of the network whose answers the others learn.
        built_in: Name of the network that becomes the built-in model.
        faces: The faces.
        augment: The views.
        schedule: The clock.
        wrong_answers: Largest share of wrong answers of each class that the decision rule allows on validation.
        min_face: Pixels of a face's longer side below which the product answers ``uncertain`` (docs/faces.md).
    """

    networks: dict[str, Network]
    teacher: str
    built_in: str
    faces: Faces = field(default_factory=Faces)
    augment: Augment = field(default_factory=Augment)
    schedule: Schedule = field(default_factory=Schedule)
    wrong_answers: float = 0.025
    min_face: float = 12.0

    def __post_init__(self) -> None:
        for name in (self.teacher, self.built_in):
            if name not in self.networks:
                raise ValueError(f"the recipe has no network {name}; it has {', '.join(self.networks)}")
        for name, network in self.networks.items():
            if network.learns not in ("labels", "soft", "all"):
                raise ValueError(f"{name} learns {network.learns!r}, which is not labels, soft or all")
        if self.networks[self.teacher].learns == "all":
            raise ValueError(f"{self.teacher} cannot be its own teacher")

    @property
    def resolution(self) -> int:
        """Side in pixels at which views are drawn: that of the largest input."""
        return max(network.size for network in self.networks.values())


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; what it does not say keeps its default.

    Raises:
        ValueError: If it is not JSON, has an unknown field or one of a wrong type, or contradicts itself.
    """
    return build(Recipe, parse(path.read_bytes()))
