"""A checkpoint: the files a bundle is made from, checked before any of them is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.bundle.bundle import sha256_of
from ..runtime.bundle.manifest import Decision, Source
from ..runtime.errors import ManifestError
from . import hub, security
from .errors import CheckpointError

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


def open_checkpoint(model: str, revision: str | None = None, *, cache_dir: Path | None = None) -> Checkpoint:
    """Opens a checkpoint folder, or brings one from the Hub.

    Args:
        model: A folder on this machine, or ``ORG/NAME``.
        revision: For a Hub model: 40 hex digits, a branch or a tag (default ``main``, resolved to a commit).
        cache_dir: Where downloads go; the Hub's own cache unless given.

    Raises:
        CheckpointError: If a file is missing or broken, or the weights are pickled.
        DownloadError: If the Hub does not give the model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(f"{folder} is a folder on this machine; a revision belongs to a model on the Hub.")
        return _read(folder, None)
    if not hub.is_hub_id(model):
        raise CheckpointError(f"There is no checkpoint folder {model}, and it is no Hub model of the form ORG/NAME.")
    if revision is None and model == DEFAULT_MODEL:
        revision = DEFAULT_REVISION
    if revision is not None and hub.is_revision(revision):
        found = hub.cached(model, revision, cache_dir=cache_dir)
        if found is not None:
            _say(f"{model} at revision {revision} is in the Hub's cache")
            return _read(found, Source("hub", model, revision=revision, license=_licence(found)))
    commit, files, licence = hub.resolve(model, revision)
    _say(f"{model} is at revision {commit}")
    _say("downloading")
    folder = hub.download(model, commit, files, cache_dir=cache_dir)
    return _read(folder, Source("hub", model, revision=commit, license=licence))


def _say(text: str) -> None:
    from .progress import say

    say(text)


def _read(folder: Path, source: Source | None) -> Checkpoint:
    config = read_json(folder / "config.json")
    security.check_config(config, str(folder / "config.json"))
    weights = security.weight_files([path.name for path in folder.iterdir()], str(folder))
    processor_file, processor_config = _processor(folder, config)
    card_file = next((name for name in _CARDS if (folder / name).is_file()), None)
    card = None if card_file is None else (folder / card_file).read_text(encoding="utf-8", errors="replace")
    decision = _decision(folder)
    if source is None:
        used = ["config.json", *weights]
        used += [name for name in (processor_file, card_file, "decision.json") if name and (folder / name).is_file()]
        source = Source(
            "local",
            folder.resolve().name,
            digest=_digest(folder, used),
            license=_front_matter(card).get("license"),
        )
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
    data = read_json(path)
    unknown = sorted(set(data) - {"temperature", "thresholds", "provenance"})
    if unknown:
        raise CheckpointError(f"{path} has an unknown field: {', '.join(unknown)}.")
    try:
        return Decision(**data)
    except (ManifestError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CheckpointError: If the file is missing, unreadable, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} has no {path.name}; it is no transformers checkpoint.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds no JSON object.")
    return data


def _digest(folder: Path, names: list[str]) -> str:
    """One sha256 over the files a bundle depends on: each line is a file's own sha256, two spaces, its name."""
    lines = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in sorted(set(names)))
    return hashlib.sha256(lines.encode()).hexdigest()


def _licence(folder: Path) -> str | None:
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
    return _front_matter(text).get("license")


def _front_matter(card: str | None) -> dict[str, str]:
    """Reads the simple ``key: word`` lines of a model card's YAML block."""
    if card is None or not card.startswith("---"):
        return {}
    block = card[3:].split("\n---", 1)[0]
    pairs = (line.split(":", 1) for line in block.splitlines() if ":" in line and not line.startswith((" ", "-")))
    return {key.strip(): value.strip().strip("'\"") for key, value in pairs if value.strip()}
