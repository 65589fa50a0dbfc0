"""Refuses what is never loaded: pickled weights, remote code, attention code named by a configuration."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..runtime.bundle.files import read_bounded
from ..runtime.bundle.strict_json import JSONFormatError, excerpt, parse
from .errors import CheckpointError, ExportError

__all__ = ["check_config", "check_environment", "check_index", "weight_files"]

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_MOST_LABELS = 100_000
_ATTENTION_KEYS = frozenset({"attn_implementation", "_attn_implementation"})
_ATTENTION_WORDS = frozenset({None, "eager", "sdpa", "flash_attention_2", "flex_attention"})


def check_environment() -> None:
    """Refuses to run, before anything is downloaded, where a package is missing, or ``kernels`` can be imported.

    With ``kernels``, transformers 4.56 to 5.2 fetches and runs code that a ``config.json`` names (CVE-2026-4372),
    whatever ``trust_remote_code`` says.

    Raises:
        ModuleNotFoundError: If what exports is not installed.
        ExportError: If ``kernels`` can be imported.
    """
    for package in ("torch", "transformers", "optimum", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    if importlib.util.find_spec("kernels") is not None:
        raise ExportError(
            "The package `kernels` is installed here. With this version of transformers it lets a model's config.json "
            "run code from the network (CVE-2026-4372). Uninstall it, or export in an environment without it."
        )


def check_config(config: Mapping[str, Any], where: str = "config.json") -> None:
    """Refuses a configuration that names attention code, or more labels than memory has room for, at any depth.

    Raises:
        CheckpointError: If it does; the message names the key.
    """
    for key, value in config.items():
        if key == "num_labels" and value is not None and not (isinstance(value, int) and 0 <= value <= _MOST_LABELS):
            # transformers makes a name for each.
            raise CheckpointError(f"{where} sets num_labels to {excerpt(value)}, not a number up to {_MOST_LABELS}.")
        known = not isinstance(value, (dict, list)) and value in _ATTENTION_WORDS
        if key == "_attn_implementation_internal" or (key in _ATTENTION_KEYS and not known):
            raise CheckpointError(
                f"{where} sets {key} to {value!r}. A model's configuration must not choose the code that runs "
                "(CVE-2026-4372); remove the key if you trust the rest of the checkpoint."
            )
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping):
                check_config(inner, where)


def check_index(folder: Path, weights: tuple[str, ...]) -> None:
    """Refuses an index that sends transformers to other files than the checkpoint's safetensors.

    It may name a pickle, which would be loaded as one, or a file outside the checkpoint.

    Args:
        folder: The checkpoint.
        weights: What :func:`weight_files` returned.

    Raises:
        CheckpointError: If it does, or cannot be read.
    """
    if _INDEX not in weights:
        return
    try:
        index = parse(read_bounded(folder / _INDEX, 64 << 20))
    except (OSError, JSONFormatError) as error:
        raise CheckpointError(f"{folder / _INDEX} cannot be read: {error}.") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{folder / _INDEX} does not say where the weights are.")
    strange = sorted({excerpt(place) for place in places.values() if place not in weights[1:]})
    if strange:
        raise CheckpointError(
            f"{folder / _INDEX} names {', '.join(strange[:5])}, where only the safetensors beside it may stand."
        )


def weight_files(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Returns which of a checkpoint's top-level files hold its weights; shards are named by the index.

    Raises:
        CheckpointError: If there are no safetensors; the message says what is there instead.
    """
    found = set(names)
    if _WEIGHTS in found:
        return (_WEIGHTS,)
    if _INDEX in found:
        shards = sorted(name for name in found if name.startswith("model-") and name.endswith(".safetensors"))
        return (_INDEX, *shards)
    pickles = sorted(name for name in found if name.endswith(_PICKLES) and "/" not in name)
    if pickles:
        raise CheckpointError(
            f"{where} has no {_WEIGHTS}, only {', '.join(pickles)}. Loading pickled weights can run any code, so they "
            "are never loaded: use a revision with safetensors, or convert the weights in a throw-away environment."
        )
    raise CheckpointError(f"{where} has no {_WEIGHTS}, so there are no weights to export.")
