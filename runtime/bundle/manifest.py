"""``bundle.json``: what a bundle holds, where it came from, and how its answers are to be read.

The format is closed: an unknown field, a missing one, a wrong type or an unknown version is an error, so that a reader
never guesses at what a newer writer meant. ``docs/bundle-format.md`` lists every field.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from ..errors import ManifestError, OptionError
from .strict_json import JSONFormatError, build, excerpt, parse, plain

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "Architecture",
    "Decision",
    "FileRecord",
    "Framing",
    "Label",
    "Manifest",
    "ModelIO",
    "Parity",
    "ProcessorRecord",
    "Source",
    "Variant",
]

FORMAT_VERSION = 2
"""Version 1 had no ``eyes`` framing and called ``box`` framing ``face``; it is read as well."""
MANIFEST_NAME = "bundle.json"
MAX_EDGE = 8192
"""Pixels; as large as a processor's configuration may ask for, and beyond any classifier."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ManifestError(message)


@dataclass(frozen=True)
class FileRecord:
    """One file of the bundle, by its size in bytes and the sha256 of its content (lower-case hex)."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        _require(self.bytes >= 0, "bytes is negative")
        _require(bool(_SHA256.fullmatch(self.sha256)), f"{excerpt(self.sha256)} is not a sha256")


@dataclass(frozen=True)
class Source:
    """Where the weights came from.

    Attributes:
        kind: ``hub`` (a repository on the Hub) or ``local`` (a checkpoint folder).
        repository: The Hub id, or the folder's name.
        revision: The commit, 40 hex digits; always there for ``hub``.
        digest: sha256 over the checkpoint's files for ``local``.
        license: The SPDX-like word of the model card, or ``None`` when the card names none.
    """

    kind: Literal["hub", "local"]
    repository: str
    revision: str | None = None
    digest: str | None = None
    license: str | None = None

    def __post_init__(self) -> None:
        if self.kind == "hub":
            _require(
                self.revision is not None and bool(_REVISION.fullmatch(self.revision)),
                "a hub source needs a revision of 40 hex digits",
            )
        else:
            _require(
                self.digest is not None and bool(_SHA256.fullmatch(self.digest)),
                "a local source needs the sha256 digest of its files",
            )


@dataclass(frozen=True)
class Architecture:
    """The network, in transformers' words: ``model_type``, class name, number of parameters (``None``: not counted)."""

    model_type: str
    class_name: str
    parameters: int | None = None


@dataclass(frozen=True)
class Label:
    """One class: the model's own word and what it means (``female``, ``male``, or the word itself)."""

    raw: str
    meaning: str


@dataclass(frozen=True)
class Framing:
    """What the classifier wants to see; :mod:`gender_classifier.runtime.faces.crop` cuts it out.

    Attributes:
        kind: A face whose eyes lie level at fixed places (``eyes``), the square around a face ``box``, or the whole
            ``image``.
        margin: Share of the face box's longer side added on each side: for ``box``, and for ``eyes`` where the eyes are
            not known.
        eye_distance: Distance of the eyes as a share of the square's side (``eyes`` only).
        eye_line: Height of the eyes from the top of the square as a share of its side (``eyes`` only).
    """

    kind: Literal["eyes", "box", "image"]
    margin: float | None = None
    eye_distance: float | None = None
    eye_line: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "image":
            _require(self.margin is None, "image framing has no margin")
        else:
            known = self.margin is not None and 0 <= self.margin <= 5
            _require(known, f"{self.kind} framing needs a margin from 0 to 5")
        for name in ("eye_distance", "eye_line"):
            value = getattr(self, name)
            if self.kind == "eyes":
                _require(value is not None and 0.02 <= value <= 0.98, f"eyes framing needs an {name} from 0.02 to 0.98")
            else:
                _require(value is None, f"{self.kind} framing has no {name}")

    @classmethod
    def of(
        cls,
        kind: Literal["eyes", "box", "image"],
        *,
        margin: float | None = None,
        eye_distance: float | None = None,
        eye_line: float | None = None,
    ) -> Framing:
        """Makes a framing from what a user said, with the built-in model's numbers for what was left out.

        Raises:
            OptionError: If a number is out of range or does not belong to this kind.
        """
        if kind == "eyes":
            eye_distance = 0.3 if eye_distance is None else eye_distance
            eye_line = 0.4 if eye_line is None else eye_line
            # The square around a frontal face's box that is as large as the one its eyes give (docs/faces.md).
            margin = 0.065 if margin is None else margin
        elif kind == "box":
            margin = 0.25 if margin is None else margin
        try:
            return cls(kind, margin, eye_distance, eye_line)
        except ManifestError as error:
            raise OptionError(f"{error}") from error

    def describe(self) -> str:
        """Says in words what the classifier looks at."""
        if self.kind == "image":
            return "the whole picture"
        box = f"the square around a face with a margin of {self.margin:g} of its box's longer side on each side"
        if self.kind == "box":
            return box
        return (
            f"a face whose eyes lie level, {self.eye_distance:g} of the side apart and {self.eye_line:g} from the top; "
            f"where they are not known, {box}"
        )

    @property
    def wants_faces(self) -> bool:
        """Whether the classifier looks at one face at a time."""
        return self.kind != "image"


@dataclass(frozen=True)
class ModelIO:
    """The graph's interface: ``input`` is float32 (N, channels, height, width), ``output`` float32 (N, classes)."""

    input_name: str
    output_name: str
    height: int
    width: int
    channels: int = 3

    def __post_init__(self) -> None:
        _require(min(self.height, self.width) > 0, "height and width are positive")
        _require(max(self.height, self.width) <= MAX_EDGE, f"height and width are at most {MAX_EDGE}")
        _require(self.channels == 3, "channels is 3: red, green and blue")


@dataclass(frozen=True)
class ProcessorRecord:
    """The processor that made the reference pixels.

    Attributes:
        reference: The transformers class the parity check ran, always the PIL one (``ViTImageProcessor``).
        file: Its configuration in the bundle (``preprocessor_config.json`` or ``processor_config.json``).
    """

    reference: str
    file: str = "preprocessor_config.json"


@dataclass(frozen=True)
class Parity:
    """What one variant was measured on, against the original model, from picture file to probabilities.

    Attributes:
        pictures: Number of pictures.
        max_probability_difference: Largest absolute difference of any class probability.
        decisions_flipped: Pictures that the reference decides (at or above its thresholds, no tie) and the variant
            decides differently.
        tolerance: The limit that ``max_probability_difference`` was held to.
        latency_ratio_to_fp32: Median time for one picture divided by that of fp32 in the same run (below 1: faster).
        reference: What it was compared with (``torch 2.13.0`` or ``fp32``).
    """

    pictures: int
    max_probability_difference: float
    decisions_flipped: int
    tolerance: float
    latency_ratio_to_fp32: float
    reference: str


@dataclass(frozen=True)
class Variant:
    """One ONNX file: its place in the bundle, its content, its format, how it was quantised, how equal it is.

    Attributes:
        file: POSIX path inside the bundle (``onnx/model.onnx``).
        bytes: Its size.
        sha256: Of its content, lower-case hex.
        opset: Version of the default ONNX operator set; ``None`` for a file that another program exported.
        ir_version: ONNX IR version; likewise.
        quantization: The quantiser's settings as plain JSON, or ``None`` for fp32. Their ``mode`` says how it runs:
            ``dynamic``, and ``unknown`` in what another program exported, one picture at a time.
        parity: Measured equality, or ``None`` for a model that another program exported.
    """

    file: str
    bytes: int
    sha256: str
    opset: int | None = None
    ir_version: int | None = None
    quantization: dict[str, Any] | None = None
    parity: Parity | None = None

    def __post_init__(self) -> None:
        FileRecord(self.bytes, self.sha256)
        _check_inside(self.file)


@dataclass(frozen=True)
class Decision:
    """How probabilities become an answer.

    Attributes:
        temperature: Logits are divided by it before softmax or sigmoid (Guo et al. 2017, arXiv 1706.04599).
        thresholds: For each meaning, the probability in [0, 1] below which the answer is ``uncertain``.
        provenance: On which pictures they were chosen, and how; ``None`` when they are the neutral defaults.
        min_face: Longer side of a face, in pixels of the picture, below which the answer is ``uncertain``.
    """

    temperature: float = 1.0
    thresholds: dict[str, float] = field(default_factory=dict)
    provenance: str | None = None
    min_face: float = 0.0

    def __post_init__(self) -> None:
        _require(self.temperature > 0, "temperature is not positive")
        _require(self.min_face >= 0, "min_face is negative")
        for meaning, threshold in self.thresholds.items():
            _require(0 <= threshold <= 1, f"the threshold of {excerpt(meaning)} is not in [0, 1]")


@dataclass(frozen=True)
class Manifest:
    """The whole of ``bundle.json``.

    Attributes:
        name: The bundle's name, also its folder's.
        created: UTC time, ISO 8601.
        source: Where the weights came from.
        architecture: The network.
        labels: The classes in ``id2label`` order; meanings are unique.
        activation: ``softmax``, ``sigmoid`` (one per class) or ``single_logit`` (its sigmoid is the second label's).
        framing: What the classifier wants to see.
        io: The graph's interface.
        processor: The reference processor.
        files: Every file of the bundle but ``bundle.json`` and the ONNX files, by POSIX path.
        variants: The ONNX files by variant name (``fp32``, ``int8``, ``q4``).
        default_variant: The one loaded unless told otherwise.
        decision: How probabilities become an answer.
        exporter: Versions of the packages that made the bundle, by package name.
        notes: Sentences for people, such as why a variant is missing.
        format_version: Version of this format.
    """

    name: str
    created: str
    source: Source
    architecture: Architecture
    labels: tuple[Label, ...]
    activation: Literal["softmax", "sigmoid", "single_logit"]
    framing: Framing
    io: ModelIO
    processor: ProcessorRecord
    files: dict[str, FileRecord]
    variants: dict[str, Variant]
    default_variant: str
    decision: Decision = field(default_factory=Decision)
    exporter: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _require(self.format_version == FORMAT_VERSION, _other_version(self.format_version))
        _require(len(self.labels) >= 2, "a classifier has at least two labels")
        meanings = [label.meaning for label in self.labels]
        _require(len(set(meanings)) == len(meanings), f"two labels share a meaning: {excerpt(meanings)}")
        _require(
            self.default_variant in self.variants, f"default_variant {excerpt(self.default_variant)} is not in variants"
        )
        _require(self.activation != "single_logit" or len(self.labels) == 2, "a single logit has exactly two labels")
        unknown = set(self.decision.thresholds) - set(meanings)
        _require(not unknown, f"thresholds name unknown meanings: {excerpt(sorted(unknown))}")
        _require(self.processor.file in self.files, f"files does not hold {excerpt(self.processor.file)[1:-1]}")
        for path in self.files:
            _check_inside(path)

    @property
    def meanings(self) -> tuple[str, ...]:
        """The labels' meanings, in the model's order."""
        return tuple(label.meaning for label in self.labels)

    def to_json(self) -> str:
        """Returns the text of ``bundle.json``: stable order, two-space indent, final newline."""
        data = plain(self)  # the version stands first, where a reader looks for it
        data = {"format_version": data.pop("format_version"), **data}
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Reads the text of ``bundle.json``.

        Raises:
            ManifestError: If it is not a JSON object of this format; the message names the field.
        """
        try:
            data = _as_version_2(parse(text))
            if isinstance(data, dict) and data.get("format_version") != FORMAT_VERSION:
                # Said first: a newer format will have unknown fields too, and this is the reason for them.
                raise ManifestError(_other_version(data.get("format_version")))
            return build(cls, data)
        except JSONFormatError as error:
            raise ManifestError(str(error)) from error


def _as_version_2(data: Any) -> Any:
    """Returns a manifest of version 1 in the words of version 2; anything else as it is."""
    if not isinstance(data, dict) or data.get("format_version") != 1 or isinstance(data["format_version"], bool):
        return data
    framing = data.get("framing")
    if isinstance(framing, dict) and framing.get("kind") == "face":
        framing = {**framing, "kind": "box"}
    return {**data, "format_version": FORMAT_VERSION, "framing": framing}


def _check_inside(path: str) -> None:
    """Refuses a path that could leave the bundle's folder."""
    pure = PurePosixPath(path)
    _require(
        bool(path) and not pure.is_absolute() and ".." not in pure.parts and not {"\\", ":", "\0"} & set(path),
        f"{excerpt(path)} is not a path inside the bundle",
    )


def _other_version(version: object) -> str:
    return f"format_version is {excerpt(version)}; this version of the package reads 1 and {FORMAT_VERSION}"
