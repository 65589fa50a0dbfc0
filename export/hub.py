"""Brings a checkpoint from the Hub, and uploads a finished bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..runtime.bundle import hub
from ..runtime.bundle.hub_cache import snapshot
from ..runtime.bundle.locate import is_hub_id
from .errors import ExportError
from .security import weight_files

__all__ = ["bring", "cached", "push"]

_TEXTS = ("config.json", "preprocessor_config.json", "processor_config.json", "README.md")


def cached(repository: str, commit: str) -> Path | None:
    """Returns the folder of a commit that was downloaded before, so that a second export needs no network.

    Args:
        repository: ``ORG/NAME``.
        commit: 40 hex digits.
    """
    found = snapshot(repository, commit)
    if found is None:
        return None
    names = {path.name for path in found[0].iterdir()}
    processors = {"preprocessor_config.json", "processor_config.json"} & names
    return found[0] if {"config.json", "model.safetensors"} <= names and processors else None


def bring(repository: hub.Repository) -> Path:
    """Brings configuration, card and safetensors of one commit into the Hugging Face cache.

    Args:
        repository: What the Hub says the commit holds; nothing but known texts and safetensors is downloaded.

    Returns:
        The folder with the files.

    Raises:
        CheckpointError: If the commit has no safetensors.
        HubError: If the download fails.
    """
    from tqdm import tqdm

    top = [name for name in repository.files if "/" not in name]
    wanted = [name for name in _TEXTS if name in top]
    wanted += weight_files(top, f"{repository.name} at {repository.commit}")
    with tqdm(total=repository.size(wanted), unit="B", unit_scale=True, file=sys.stderr, leave=False) as bar:
        return hub.download_into_cache(repository, wanted, advance=bar.update)


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Uploads a bundle with its model card; makes the repository when it is not there.

    Args:
        folder: A finished bundle.
        repository: ``ORG/NAME``.
        private: Whether a repository that is made now is private.

    Returns:
        The commit's address.

    Raises:
        ExportError: If the name is not ``ORG/NAME``, or this machine is not logged in.
        HubError: If the Hub refuses, or cannot be reached.
    """
    if not is_hub_id(repository):
        raise ExportError(f"{repository!r} cannot be the name of a repository on the Hub, which is ORG/NAME.")
    client = hub.client()
    if not client.get_token():
        raise ExportError(
            "This machine is not logged in to the Hub. Run `hf auth login`, or set HF_TOKEN, and push again."
        )
    with hub.sentences(repository, "main", "uploaded"):
        api: Any = client.HfApi(endpoint=hub.endpoint())
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"Upload the ONNX bundle {folder.name}",
        )
    return str(commit.commit_url)
