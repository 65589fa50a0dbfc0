"""Opens a checkpoint: checks the files that a bundle is made from before any of them is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..runtime.bundle.files import digest_of, read_bounded, sha256_of
from ..runtime.bundle.hub import look_up
from ..runtime.bundle.hub_cache import COMMIT
from ..runtime.bundle.locate import expanded, is_folder, is_hub_id
from ..runtime.bundle.manifest import Decision, Source
from ..runtime.bundle.onnx_folder import licence_in
from ..runtime.bundle.strict_json import JSONFormatError, build, parse
from . import hub, security
from .errors import CheckpointError
from .progress import say

__all__ = ["DEFAULT_MODEL", "DEFAULT_REVISION", "Checkpoint", "open_checkpoint"]

DEFAULT_MODEL = "dima806/fairface_gender_image_detection"
DEFAULT_REVISION = "a8e129dc622dafa08bd2ee2e0fd05759850ae14e"
"""Apache-2.0 weights, trained on FairFace (CC BY 4.0), safetensors, ViT-B/16 at 224: see ANALYSE.md."""

_CARDS = ("model_card.md", "README.md")


@dataclass(frozen=True)
class Checkpoint:
    """What was found in a checkpoint folder.

    Attributes:
        folder: Where the files are.
        source: What the manifest will say about their origin.
        config: The parsed ``config.json``.
        processor_config: The image processor's configuration, parsed.
        card: The text of its model card, or ``None``.
        decision: The decision rule from ``decision.json``, or the neutral one.
    """

    folder: Path
    source: Source
    config: dict[str, Any]
    processor_config: dict[str, Any]
    card: str | None
    decision: Decision


def open_checkpoint(model: str, revision: str | None = None) -> Checkpoint:
    """Opens a checkpoint folder, or brings one from the Hub.

    Args:
        model: A folder on this machine, or ``ORG/NAME``.
        revision: For a Hub model: 40 hex digits, a branch or a tag (default ``main``, resolved to a commit).

    Raises:
        CheckpointError: If a file is missing or broken, or the weights are pickled.
        HubError: If the Hub does not give the model.
    """
    folder = expanded(model)
    if is_folder(folder):
        if revision is not None:
            raise CheckpointError(f"{folder} is a folder on this machine; a revision belongs to a model on the Hub.")
        return _read(folder, None)
    if not is_hub_id(model):
        raise CheckpointError(
            f"There is no checkpoint folder {model}, and it is not a model on the Hub, which would be called ORG/NAME."
        )
    if revision is None and model == DEFAULT_MODEL:
        revision = DEFAULT_REVISION
    if revision is not None and COMMIT.fullmatch(revision):
        found = hub.cached(model, revision)
        if found is not None:
            say(f"{model} at revision {revision} is in the Hugging Face cache")
            return _read(found, Source("hub", model, revision=revision))
    repository = look_up(model, revision)
    say(f"{model} is at revision {repository.commit}")
    say("downloading")
    folder = hub.bring(repository)
    return _read(folder, Source("hub", model, revision=repository.commit, license=repository.license))


def _read(folder: Path, source: Source | None) -> Checkpoint:
    config = read_json(folder / "config.json")
    security.check_config(config, str(folder / "config.json"))
    weights = security.weight_files([path.name for path in folder.iterdir()], str(folder))
    security.check_index(folder, weights)
    processor_file, processor_config = _processor(folder, config)
    card_file = next((name for name in _CARDS if (folder / name).is_file()), None)
    card = None if card_file is None else _read_text(folder / card_file).decode("utf-8", errors="replace")
    decision = _decision(folder)
    if source is None:
        used = ["config.json", *weights]
        used += [name for name in (processor_file, card_file, "decision.json") if name and (folder / name).is_file()]
        source = Source(
            "local",
            folder.resolve().name,
            digest=digest_of({name: sha256_of(folder / name) for name in used}),
        )
    if source.license is None:
        source = replace(source, license=licence_in(card))
    return Checkpoint(folder, source, config, processor_config, card, decision)


def _processor(folder: Path, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Finds the processor's configuration: transformers 4's file, transformers 5's, or timm's block in config.json."""
    if (folder / "preprocessor_config.json").is_file():
        return "preprocessor_config.json", read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        return "processor_config.json", read_json(folder / "processor_config.json")
    if isinstance(config.get("pretrained_cfg"), dict):
        return "config.json", {
            "image_processor_type": "TimmWrapperImageProcessor",
            "pretrained_cfg": config["pretrained_cfg"],
        }
    raise CheckpointError(
        f"{folder} has no preprocessor_config.json, so how a picture becomes the network's input is not known. "
        "Copy the one of the base model there."
    )


def _decision(folder: Path) -> Decision:
    path = folder / "decision.json"
    if not path.is_file():
        return Decision()
    try:
        return build(Decision, read_json(path))
    except JSONFormatError as error:
        raise CheckpointError(f"{path} cannot be used: {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CheckpointError: If the file is missing, unreadable, or holds something else.
    """
    try:
        data = parse(_read_text(path))
    except JSONFormatError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} does not hold a JSON object.")
    return data


def _read_text(path: Path) -> bytes:
    try:
        return read_bounded(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} has no {path.name}; it is not a transformers checkpoint.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
