"""Models that somebody else exported: a folder in the Hub's ONNX layout, without a ``bundle.json``.

The layout is that of Optimum and transformers.js: ``config.json``, ``preprocessor_config.json`` and
``onnx/model.onnx``, with quantised versions beside it. What ``bundle.json`` would say is read from these files, or
the model is refused with the reason; nothing is guessed. What cannot be known, such as how equal the file is to the
original checkpoint, stays empty in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ... import runtime
from ...gender_cli.models.hub import is_hub_id
from ...gender_cli.models.listing import added_from
from ..errors import (
    BundleError,
    ModelNotFoundError,
    UnsupportedHeadError,
    UnsupportedProcessorError,
    VariantNotFoundError,
)
from ..labels import meaning_of, read_head
from . import locate
from .bundle import Bundle, is_bundle, sha256_of
from .manifest import Architecture, FileRecord, Framing, Label, Manifest, ModelIO, ProcessorRecord, Source, Variant
from .onnx_variant import read_variant

if TYPE_CHECKING:
    from ..processors.processor import Processor

__all__ = [
    "MAX_TEXT_BYTES",
    "TEXT_FILES",
    "USUAL_VARIANTS",
    "VARIANT_FILES",
    "Description",
    "describe",
    "digest_of",
    "find_variants",
    "licence_of",
    "make_manifest",
    "open_folder",
    "open_model",
]

VARIANT_FILES: Final[dict[str, tuple[str, ...]]] = {
    "fp32": ("model.onnx",),
    "int8": ("model_quantized.onnx", "model_int8.onnx"),
    "uint8": ("model_uint8.onnx",),
    "q4": ("model_q4.onnx",),
    "q4f16": ("model_q4f16.onnx",),
    "bnb4": ("model_bnb4.onnx",),
    "fp16": ("model_fp16.onnx",),
}
"""File names of the Hub's layout by variant, the first one there wins, in the order of preference for a default.

``model_quantized.onnx`` is what the Hub's tools load as 8 bit; where there is also a ``model_int8.onnx``, it is a copy
of that one or of ``model_uint8.onnx``.
"""

USUAL_VARIANTS: Final = ("fp32", "int8", "q4")
"""What is taken unless told otherwise: the variants that this project's own bundles may have."""

TEXT_FILES: Final = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "README.md",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
)
"""Every file but ONNX ones that is ever taken over. Programs and pickles are not among them."""

MAX_TEXT_BYTES: Final = 8 * 1024 * 1024
"""A configuration or model card beyond this is something else, and is not read."""
_CLASSIFIER_CLASS = "ForImageClassification"  # part of the name of every image classifier in transformers
_AGE_AND_GENDER = re.compile(r"(?<![a-z])age(?![a-z])|agegender|genderage")
UNMEASURED = "Somebody else exported this model; how equal it is to the original checkpoint was not measured."


@dataclass(frozen=True)
class Description:
    """What ``config.json`` and the processor's configuration say about a model.

    Attributes:
        name: What messages call the model.
        architecture: The network.
        labels: The classes in the model's order.
        activation: How logits become probabilities.
        processor: The image processor.
        processor_file: The file it was read from.
    """

    name: str
    architecture: Architecture
    labels: tuple[Label, ...]
    activation: Literal["softmax", "sigmoid", "single_logit"]
    processor: Processor
    processor_file: str


def open_model(
    model: str | os.PathLike[str] | None, *, variant: str | None = None
) -> str | os.PathLike[str] | Bundle | None:
    """Resolves what ``--model`` may say beyond a bundle's name or folder.

    Args:
        model: A bundle's name or folder; ``ORG/NAME`` of a model that ``models add`` brought here; a folder in the
            Hub's ONNX layout; or ``None`` for the default (``GENDER_CLASSIFIER_MODEL`` may say any of these, too).
        variant: The variant about to be used.

    Returns:
        What :func:`runtime.load` takes: a name, a folder, an opened bundle, or ``None``.

    Raises:
        ModelNotFoundError: If ``ORG/NAME`` was not added.
        BundleError: If a folder in the Hub's layout cannot be used; the message says why.
    """
    chosen = model if model is not None else os.environ.get(locate.MODEL_VARIABLE) or None
    if chosen is None:
        return None
    if _is_installed(os.fspath(chosen)):
        return model  # a folder of that name that happens to lie here does not stand in for it
    path = locate.expanded(os.fspath(chosen))
    if locate.is_folder(path):
        return model if is_bundle(path) or not find_variants(_files_of(path)) else open_folder(path, variant=variant)
    text = os.fspath(chosen)
    if not is_hub_id(text):
        return model
    added = added_from(text)
    if added is None:
        raise ModelNotFoundError(
            f"There is no model {text} here. To bring it from the Hub: gender-classifier models add {text} if somebody "
            f"has put its ONNX files there, gender-classifier export {text} otherwise."
        )
    return added


def open_folder(folder: Path, *, variant: str | None = None) -> Bundle:
    """Opens a folder in the Hub's ONNX layout as it is; its manifest is made in memory and holds one variant.

    Args:
        folder: The folder; nothing is written there.
        variant: The variant to use; by default the first of :data:`VARIANT_FILES` that is there.

    Raises:
        BundleError: If the model cannot be used; the message says why.
    """
    found = find_variants(_files_of(folder))
    if not found:
        raise BundleError(f"{folder} holds no ONNX model: no onnx/model.onnx, and no other file of that layout.")
    wanted = variant or next(iter(found))
    if wanted not in found:
        raise VariantNotFoundError(f"The folder {folder} has no variant {wanted!r}; it has: {', '.join(found)}.")
    name = folder.resolve().name
    try:
        description = describe(folder, str(folder))
    except UnsupportedHeadError as error:
        hint = (
            f" That option belongs to `gender-classifier models add {folder}`." if "--label-map" in str(error) else ""
        )
        raise UnsupportedHeadError(f"{error}{hint}") from error
    used = [*_texts_of(folder), found[wanted]]
    licence = licence_of(folder)
    source = Source("local", name, digest=digest_of(folder, used), license=licence)
    read = {wanted: read_variant(folder, found[wanted], description)}
    return Bundle(folder, make_manifest(folder, name, source, description, read))


def find_variants(paths: Iterable[str]) -> dict[str, str]:
    """Returns the ONNX files of the Hub's layout by variant name, best default first.

    ``onnx/`` is looked into first; then the top level, where ``optimum-cli export onnx`` writes.

    Args:
        paths: POSIX paths inside a repository or folder.
    """
    there = set(paths)
    found: dict[str, str] = {}
    for variant, names in VARIANT_FILES.items():
        for path in (folder + name for folder in ("onnx/", "") for name in names):
            if path in there:
                found.setdefault(variant, path)
    return found


def describe(folder: Path, name: str, label_map: Mapping[str, str] | None = None) -> Description:
    """Reads labels, activation and processor of a model in the Hub's layout.

    Args:
        folder: Where its files are.
        name: What messages call the model.
        label_map: ``female`` or ``male`` by the model's own label, for words that are not known.

    Raises:
        UnsupportedHeadError: If the model is no classifier of women and men.
        UnsupportedProcessorError: If its processor is not known.
        BundleError: If a file is missing or broken.
    """
    config = _read_json(folder / "config.json", name)
    architecture = _architecture(config, name)
    try:
        labels, activation = read_head(config, label_map)
    except UnsupportedHeadError as error:
        raise UnsupportedHeadError(f"{name} cannot be used: {error}.") from error
    if _AGE_AND_GENDER.search(f"{name} {config.get('_name_or_path', '')}".lower()):
        _refuse_age_head(name, labels)
    processor_file, processor_config = _processor_config(folder, config, name)
    from ..processors.processor import Processor

    try:
        processor = Processor.from_config(processor_config, model_type=architecture.model_type)
    except UnsupportedProcessorError as error:
        raise UnsupportedProcessorError(f"{name} cannot be used: {error}.") from error
    return Description(name, architecture, labels, activation, processor, processor_file)


def make_manifest(
    folder: Path,
    name: str,
    source: Source,
    description: Description,
    variants: Mapping[str, tuple[Variant, ModelIO]],
    *,
    framing: Framing | None = None,
    notes: tuple[str, ...] = (),
) -> Manifest:
    """Puts together what ``bundle.json`` says about a model that somebody else exported.

    Args:
        folder: Where its files are.
        name: The bundle's name.
        source: Where the files came from.
        description: From :func:`describe`.
        variants: From :func:`read_variant`, the default one first, at least one.
        framing: What the model wants to see; the whole picture unless given.
        notes: Further sentences for people.

    Raises:
        BundleError: If the variants' graphs have different interfaces.
    """
    default, (_, io) = next(iter(variants.items()))
    for other, (_, its_io) in variants.items():
        if its_io != io:
            raise BundleError(
                f"The variants {default} and {other} of {description.name} have different inputs or outputs; "
                f"choose one with --variant {default}."
            )
    texts = {text: FileRecord((folder / text).stat().st_size, sha256_of(folder / text)) for text in _texts_of(folder)}
    return Manifest(
        name=name,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        source=source,
        architecture=description.architecture,
        labels=description.labels,
        activation=description.activation,
        framing=framing or Framing("image"),
        io=io,
        processor=ProcessorRecord(description.processor.reference, description.processor_file),
        files=texts,
        variants={variant: record for variant, (record, _) in variants.items()},
        default_variant=default,
        exporter={"gender-classifier": runtime.__version__},
        notes=(UNMEASURED, *notes),
    )


def licence_of(folder: Path) -> str | None:
    """Returns the licence word of a model card's front matter, or ``None``."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    block = re.match(r"---\s*\n(.*?)\n---", card, re.DOTALL)
    found = re.search(r"^license:[ \t]*(\S.*?)[ \t]*$", block[1], re.MULTILINE) if block else None
    return found[1].strip("'\"") if found else None


def digest_of(folder: Path, names: Iterable[str]) -> str:
    """Returns one sha256 over files: of the lines ``<sha256>  <name>``, as ``sha256sum`` prints them, by name."""
    lines = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in sorted(set(names)))
    return hashlib.sha256(lines.encode()).hexdigest()


def _is_installed(text: str) -> bool:
    return text == locate.BUILTIN_NAME or any(path.name == text for path in locate.installed())


def _files_of(folder: Path) -> list[str]:
    names = [name for names in VARIANT_FILES.values() for name in names]
    return [path for path in (prefix + name for prefix in ("onnx/", "") for name in names) if (folder / path).is_file()]


def _texts_of(folder: Path) -> list[str]:
    return [name for name in TEXT_FILES if (folder / name).is_file()]


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise BundleError(f"{name} cannot be used: its {path.name} is larger than any real one.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{name} cannot be used: it has no {path.name}, which says what its outputs mean.") from None
    except BundleError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{name} cannot be used: its {path.name} cannot be read ({error}).") from error
    if not isinstance(data, dict):
        raise BundleError(f"{name} cannot be used: its {path.name} holds no JSON object.")
    return data


def _processor_config(folder: Path, config: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    for file in ("preprocessor_config.json", "processor_config.json"):
        if (folder / file).is_file():
            return file, _read_json(folder / file, name)
    if isinstance(config.get("pretrained_cfg"), dict):  # timm keeps its processor there
        return "config.json", config
    raise BundleError(
        f"{name} cannot be used: it has no preprocessor_config.json, so how a picture becomes the network's input is "
        "not known. The one of the model it was fine-tuned from usually fits; put a copy beside config.json."
    )


def _architecture(config: dict[str, Any], name: str) -> Architecture:
    model_type = config.get("model_type")
    classes = config.get("architectures")
    class_name = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else None
    if class_name is not None and _CLASSIFIER_CLASS not in class_name:
        raise UnsupportedHeadError(
            f"{name} cannot be used: its network is a {class_name}, none of transformers' image classifiers "
            f"(...{_CLASSIFIER_CLASS}), so what its outputs mean is not known. A head for age and gender, for "
            "example, gives an age in years and a share, not two classes."
        )
    if not isinstance(model_type, str) and class_name is None:
        raise BundleError(f"{name} cannot be used: its config.json names neither model_type nor architectures.")
    return Architecture(model_type if isinstance(model_type, str) else "", class_name or "")


def _refuse_age_head(name: str, labels: tuple[Label, ...]) -> None:
    """Refuses a model called "age and gender" whose labels are no gender words: its outputs are no two classes.

    ``--label-map`` does not help, since softmax over an age in years and a share means nothing. Files in the wild call
    such a head ``LABEL_0`` and ``LABEL_1``.

    Raises:
        UnsupportedHeadError: If it is one.
    """
    if all(meaning_of(label.raw) == label.meaning for label in labels):
        return
    words = ", ".join(repr(label.raw) for label in labels)
    raise UnsupportedHeadError(
        f"{name} cannot be used: by its name it predicts age and gender, and its outputs ({words}) are not named after "
        "women and men. Such a head gives an age in years and a share, not two classes."
    )
