"""Exports a checkpoint, step by step: network, fp32 file, verification, variants, card, manifest, publication."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.bundle import locate, origin
from ..runtime.bundle.manifest import Architecture, Framing, Manifest, ModelIO, ProcessorRecord
from ..runtime.bundle.store import publishing
from ..runtime.errors import OptionError
from ..runtime.labels import read_head
from .checkpoint import DEFAULT_MODEL, open_checkpoint
from .errors import CheckpointError
from .gate import VariantLimits, choose_default
from .progress import say, step
from .security import check_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..runtime.processors.processor import Processor
    from .checkpoint import Checkpoint

__all__ = ["VARIANTS", "ExportOptions", "export_model"]

VARIANTS = ("int8", "q4")
"""The quantised variants that can be asked for; fp32 is always made."""

_KNOWN_FRAMING = {DEFAULT_MODEL: Framing("box", 0.25)}
"""FairFace pictures are face crops with a padding of 0.25 (its README), and the model was trained on them."""

_PACKAGES = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "numpy", "Pillow")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


@dataclass(frozen=True)
class ExportOptions:
    """What an export can be told besides its model.

    Attributes:
        revision: For a Hub model: 40 hex digits, a branch or a tag; ``main`` unless given.
        output: Folder that holds bundles by name; the first of ``runtime.locate.search_path()`` unless given.
        name: The bundle's name; the model's own unless given.
        framing: What the model was trained to see; ``None``: what is known of the model, else the whole image.
        label_map: Meaning by the model's own label, for labels that are not in the table.
        variants: Quantised variants to try.
        pictures: Folder of pictures to verify on, instead of the drawn ones.
        calibration: Folder of pictures for static int8, instead of drawn ones.
        default_variant: The variant loaded unless told otherwise; chosen by measurement unless given.
        limits: What each variant is held to.
    """

    revision: str | None = None
    output: Path | None = None
    name: str | None = None
    framing: Framing | None = None
    label_map: Mapping[str, str] | None = None
    variants: tuple[str, ...] = VARIANTS
    pictures: Path | None = None
    calibration: Path | None = None
    default_variant: str | None = None
    limits: VariantLimits = field(default_factory=VariantLimits)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.variants) - set(VARIANTS))
        if unknown:
            raise OptionError(f"there is no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)} beside fp32")
        if self.default_variant not in (None, "fp32", *self.variants):
            raise OptionError(f"the default variant {self.default_variant!r} is not among those made")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise OptionError(f"{self.name!r} cannot name a bundle; letters, digits, dots, dashes and underscores can")


def export_model(model: str | Path = DEFAULT_MODEL, options: ExportOptions | None = None, **named: Any) -> Path:
    """Exports a checkpoint as a verified bundle.

    Args:
        model: A checkpoint folder, or ``ORG/NAME`` on the Hub.
        options: What to do; or the fields of :class:`ExportOptions` by name.
        **named: Fields of :class:`ExportOptions`.

    Returns:
        The bundle's folder. A bundle that was there before has been replaced in one step.

    Raises:
        ExportError: If the checkpoint cannot be exported, or the result is not the same model; then no bundle is left
            behind, and an old one is untouched.
        UnsupportedHeadError: If the head is not {woman, man}.
        UnsupportedProcessorError: If the image processor is not one the runtime reproduces.
        OptionError: If an option's value cannot be used.
    """
    if options is not None and named:
        raise TypeError("give either options or its fields by name, not both")
    chosen = options or ExportOptions(**named)
    check_environment()

    checkpoint = open_checkpoint(str(model), chosen.revision)
    name = chosen.name or checkpoint.source.repository.rsplit("/", 1)[-1]
    draft = _draft(checkpoint, name, chosen)
    target = (chosen.output or locate.default_output_dir()) / name
    with publishing(target) as stage:
        manifest = _build(checkpoint, draft, stage, chosen)
        if manifest.source.revision is not None and target.parent in locate.search_path():
            origin.record(stage, target, manifest.source.repository, manifest.source.revision)
    from .card import variants_table

    say(f"{name} is ready in {target}\n{variants_table(manifest)}")
    for note in manifest.notes:
        say(note)
    return target


@dataclass(frozen=True)
class _Draft:
    """What is known before any weight is loaded: the manifest's first half, checked."""

    name: str
    labels: tuple[Any, ...]
    activation: Any
    framing: Framing
    processor: Processor
    height: int
    width: int


def _draft(checkpoint: Checkpoint, name: str, options: ExportOptions) -> _Draft:
    """Checks everything that can be checked without loading weights, so that a refusal takes a second."""
    with step("checking the configuration"):
        from ..runtime.processors.processor import Processor
        from .architectures import as_transformers_reads, find_class

        model_class = find_class(checkpoint.config)
        labels, activation = read_head(as_transformers_reads(checkpoint.config), options.label_map)
        unknown = set(checkpoint.decision.thresholds) - {label.meaning for label in labels}
        if unknown:
            raise CheckpointError(
                f"decision.json has a threshold for {', '.join(sorted(unknown))}, which is not a class of the model."
            )
        processor = Processor.from_config(checkpoint.processor_config, model_type=model_class.model_type)
        height, width = processor.output_size
        if height is None or width is None:
            raise CheckpointError(
                f"The image processor {processor.reference} makes inputs whose size depends on the picture, as it is "
                "configured; a bundle has one fixed size. Set do_center_crop, or a size with height and width."
            )
        framing = options.framing or _KNOWN_FRAMING.get(checkpoint.source.repository, Framing("image"))
        return _Draft(name, labels, activation, framing, processor, height, width)


def _build(checkpoint: Checkpoint, draft: _Draft, stage: Path, options: ExportOptions) -> Manifest:
    """Fills the stage: files, fp32, variants that pass, card, and the manifest last."""
    from . import convert
    from .card import model_card
    from .network import load_original
    from .verify import FILES, record, variant_record, verify, write_manifest

    with step("loading the checkpoint"):
        original = load_original(checkpoint)
    _write_json(stage / "config.json", original.config, checkpoint.config, checkpoint.folder / "config.json")
    nested = checkpoint.processor_config.get("image_processor")
    processor_config = nested if isinstance(nested, dict) else checkpoint.processor_config
    _write_json(
        stage / "preprocessor_config.json",
        processor_config,
        checkpoint.processor_config,
        checkpoint.folder / "preprocessor_config.json",
    )
    fp32 = stage / FILES["fp32"]
    fp32.parent.mkdir()
    with step(f"converting {original.model_class.name} to ONNX"):
        exporter = convert.convert(original, draft.height, draft.width, fp32)
    manifest = Manifest(
        name=draft.name,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        source=checkpoint.source,
        architecture=Architecture(original.model_class.model_type, original.model_class.name, original.parameters),
        labels=draft.labels,
        activation=draft.activation,
        framing=draft.framing,
        io=ModelIO(convert.INPUT_NAME, convert.OUTPUT_NAME, draft.height, draft.width),
        processor=ProcessorRecord(type(original.processor).__name__),
        files={name: record(stage / name) for name in ("config.json", "preprocessor_config.json")},
        variants={"fp32": variant_record(stage, "fp32")},
        default_variant="fp32",
        decision=checkpoint.decision,
        exporter=_versions(exporter),
    )
    with tempfile.TemporaryDirectory() as drawn:
        manifest = verify(
            manifest,
            original,
            draft.processor,
            stage,
            Path(drawn),
            variants=options.variants,
            limits=options.limits,
            pictures=options.pictures,
            calibration=options.calibration,
        )
    manifest = replace(manifest, default_variant=choose_default(manifest, options.default_variant))
    card = stage / "README.md"
    card.write_text(model_card(manifest, checkpoint.card), encoding="utf-8")
    manifest = replace(manifest, files={**manifest.files, "README.md": record(card)})
    write_manifest(stage, manifest)
    return manifest


def _versions(exporter: str) -> dict[str, str]:
    from ..runtime import __version__
    from ..runtime.session import import_onnxruntime
    from .convert import EXPORTER

    versions = {"gender-classifier": __version__}
    versions |= {package: metadata.version(package) for package in _PACKAGES}
    versions["onnxruntime"] = import_onnxruntime().__version__  # which of its packages brought it does not matter
    return {**versions, "exporter": EXPORTER, "onnx_config": exporter}


def _write_json(path: Path, data: Mapping[str, Any], as_read: Mapping[str, Any], original: Path) -> None:
    """Copies the original file byte for byte where nothing had to change, else writes the changed object."""
    if data == as_read and original.is_file():
        path.write_bytes(original.read_bytes())
    else:
        path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
