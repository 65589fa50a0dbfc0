"""The Hub: from ``ORG/NAME`` and a revision to a folder of checked files, and back up with a finished bundle."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DownloadError, ExportError
from .security import weight_files

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cached", "download", "is_hub_id", "is_revision", "push", "resolve"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[0-9a-f]{40}")
_TEXTS = ("config.json", "preprocessor_config.json", "processor_config.json", "README.md")
TIMEOUT = 30.0


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``ORG/NAME``."""
    return bool(_HUB_ID.fullmatch(text)) and ".." not in text


def is_revision(text: str) -> bool:
    """Whether a text is a full commit hash: 40 hex digits, lower case."""
    return bool(_REVISION.fullmatch(text))


def resolve(repository: str, revision: str | None) -> tuple[str, tuple[str, ...], str | None]:
    """Asks the Hub for a repository's commit and files.

    Args:
        repository: ``ORG/NAME``.
        revision: 40 hex digits, a branch or a tag; ``None`` means ``main``.

    Returns:
        The commit (40 hex digits), the paths of its files, and the licence word of the model card or ``None``.

    Raises:
        DownloadError: If the Hub cannot be reached, or does not have or not give the model.
    """
    with _sentences(repository, revision or "main"):
        info = _api().model_info(repository, revision=revision or "main", timeout=TIMEOUT)
    commit = str(info.sha)
    if not is_revision(commit):
        raise DownloadError(f"The Hub answered with a revision of {repository} that is no commit hash: {commit!r}.")
    files = tuple(sibling.rfilename for sibling in info.siblings or ())
    card = info.card_data.to_dict() if info.card_data is not None else {}
    licence = card.get("license")
    return commit, files, licence if isinstance(licence, str) else None


def cached(repository: str, commit: str, *, cache_dir: Path | None = None) -> Path | None:
    """Returns the folder of a commit that was downloaded before, so that a second export needs no network.

    Args:
        repository: ``ORG/NAME``.
        commit: 40 hex digits.
        cache_dir: The Hub's own cache unless given.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "config.json", cache_dir=cache_dir, revision=commit)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    names = {path.name for path in folder.iterdir()}
    whole = "model.safetensors" in names and ({"preprocessor_config.json", "processor_config.json"} & names)
    return folder if whole else None


def download(repository: str, commit: str, files: tuple[str, ...], *, cache_dir: Path | None = None) -> Path:
    """Brings configuration, card and safetensors of one commit into the Hub's cache.

    Args:
        repository: ``ORG/NAME``.
        commit: 40 hex digits.
        files: What the commit holds; nothing but known texts and safetensors is downloaded.
        cache_dir: Where; the Hub's own cache unless given.

    Returns:
        The folder with the files.

    Raises:
        CheckpointError: If the commit has no safetensors.
        DownloadError: If the download fails.
    """
    top = [name for name in files if "/" not in name]
    wanted = [name for name in _TEXTS if name in top]
    wanted += weight_files(top, f"{repository} at {commit}")
    from huggingface_hub import hf_hub_download

    folder: Path | None = None
    with _sentences(repository, commit):
        for index, name in enumerate(wanted, 1):
            print(f"  [{index}/{len(wanted)}] {name}", file=sys.stderr)
            path = hf_hub_download(repository, name, revision=commit, cache_dir=cache_dir, endpoint=_endpoint())
            folder = Path(path).parent
    if folder is None:
        raise DownloadError(f"{repository} at {commit} holds no file that could be exported.")
    return folder


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Uploads a bundle with its model card; makes the repository when it is not there.

    Args:
        folder: A finished bundle.
        repository: ``ORG/NAME``.
        private: Whether a repository that is made now is private.

    Returns:
        The commit's address.

    Raises:
        ExportError: If the name is not ``ORG/NAME``, nobody is logged in, or the Hub refuses.
    """
    if not is_hub_id(repository):
        raise ExportError(f"--push takes ORG/NAME, not {repository!r}.")
    from huggingface_hub import get_token

    if not get_token():
        raise ExportError("Nobody is logged in to the Hub. Run `hf auth login`, or set HF_TOKEN, and push again.")
    with _sentences(repository, "main"):
        api = _api()
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"Upload the ONNX bundle {folder.name}",
        )
    return str(commit.commit_url)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint())


@contextmanager
def _sentences(repository: str, revision: str) -> Iterator[None]:
    """Turns what huggingface_hub and its HTTP client raise into sentences."""
    import requests
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise DownloadError(
            f"{repository} is gated: accept its terms on the Hub with your account, then run `hf auth login` "
            "(or set HF_TOKEN) and try again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(
            f"The Hub has no model {repository}, or it is private and you are not logged in. Check the name; for a "
            "folder on this machine, check the path."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DownloadError(f"{repository} has no revision {revision} on the Hub.") from error
    except errors.LocalEntryNotFoundError as error:  # the network failed; also an EntryNotFoundError
        raise DownloadError(_unreachable(repository, "")) from error
    except errors.EntryNotFoundError as error:
        raise DownloadError(f"{repository} at {revision} lacks a file: {_line(error)}") from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled) as error:
        raise DownloadError(_unreachable(repository, f": {_line(error)}")) from error
    except (requests.RequestException, ConnectionError, TimeoutError) as error:
        raise DownloadError(_unreachable(repository, "")) from error


def _unreachable(repository: str, why: str) -> str:
    return (
        f"The Hub could not be asked for {repository}{why.rstrip('.') or ': there is no connection to it'}. "
        "Check the network (or HF_ENDPOINT), or export a checkpoint folder on this machine instead."
    )


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
