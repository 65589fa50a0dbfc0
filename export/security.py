"""What is never loaded: pickled weights, remote code, attention code named by a configuration."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import CheckpointError, ExportError

__all__ = ["check_config", "check_environment", "weight_files"]

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_ATTENTION_KEYS = frozenset({"attn_implementation", "_attn_implementation"})
_ATTENTION_WORDS = frozenset({None, "eager", "sdpa", "flash_attention_2", "flex_attention"})


def check_environment() -> None:
    """Refuses to run where the optional package ``kernels`` can be imported.

    With it, transformers 4.56 to 5.2 fetches and runs code that a ``config.json`` names (CVE-2026-4372), whatever
    ``trust_remote_code`` says.

    Raises:
        ExportError: If it can be imported.
    """
    if importlib.util.find_spec("kernels") is not None:
        raise ExportError(
            "The package `kernels` is installed here. With this version of transformers it lets a model's config.json "
            "run code from the network (CVE-2026-4372). Uninstall it, or export in an environment without it."
        )


def check_config(config: Mapping[str, Any], where: str = "config.json") -> None:
    """Refuses a configuration that names attention code, at any depth.

    Raises:
        CheckpointError: If it does; the message names the key.
    """
    for key, value in config.items():
        known = not isinstance(value, (dict, list)) and value in _ATTENTION_WORDS
        if key == "_attn_implementation_internal" or (key in _ATTENTION_KEYS and not known):
            raise CheckpointError(
                f"{where} sets {key} to {value!r}. A model's configuration must not choose the code that runs "
                "(CVE-2026-4372); remove the key if you trust the rest of the checkpoint."
            )
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping):
                check_config(inner, where)


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
