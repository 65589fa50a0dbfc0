"""The Hub as a place to take ready ONNX files from.

Needs the extra ``[hub]``. Nothing else of the command line opens a socket.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.bundle.bundle import sha256_of
from ...runtime.errors import ClassifierError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["HubError", "RemoteFile", "Repository", "download", "is_hub_id", "look_up"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = 30.0
_CLIENTS = frozenset({"hf_xet", "httpcore", "httpcore2", "httpx", "httpx2", "huggingface_hub", "requests", "urllib3"})
"""What huggingface_hub has downloaded with, from 0.34 to 2.4; its errors share no base that could be named."""


class HubError(ClassifierError, OSError):
    """The Hub could not be asked, does not have the files, or does not give them to this user."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository: its path, and its size and sha256 where the Hub tells them."""

    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Repository:
    """One commit of a repository on the Hub.

    Attributes:
        name: ``ORG/NAME``.
        commit: 40 hex digits.
        files: What the commit holds, by path.
        license: The licence word of the model card, or ``None``.
    """

    name: str
    commit: str
    files: dict[str, RemoteFile]
    license: str | None


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``ORG/NAME``."""
    return bool(_HUB_ID.fullmatch(text)) and ".." not in text


def look_up(name: str, revision: str | None) -> Repository:
    """Asks the Hub which commit a revision is, and what it holds.

    Args:
        name: ``ORG/NAME``.
        revision: 40 hex digits, a branch or a tag; ``None`` means ``main``.

    Raises:
        HubError: If the Hub cannot be reached, or does not have or not give the repository.
    """
    wanted = revision or "main"
    hub = _huggingface_hub()
    with _sentences(name, wanted):
        info = hub.HfApi(endpoint=_endpoint()).model_info(name, revision=wanted, files_metadata=True, timeout=_TIMEOUT)
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit) or (_COMMIT.fullmatch(wanted) and commit != wanted):
        raise HubError(f"The Hub answered with the commit {commit!r} when asked for {name} at {wanted}.")
    files = {one.rfilename: _remote_file(one) for one in info.siblings or ()}
    card = info.card_data.to_dict() if info.card_data is not None else {}
    licence = card.get("license")
    return Repository(name, commit, files, licence if isinstance(licence, str) else None)


def download(repository: Repository, paths: Sequence[str], folder: Path) -> None:
    """Downloads files of one commit into a folder, under their paths in the repository.

    Args:
        repository: What :func:`look_up` returned.
        paths: Which of its files; nothing else is requested.
        folder: Where to; it is there already.

    Raises:
        HubError: If the download fails, the disk is too small, or a file is not the one the Hub described.
    """
    total = sum(repository.files[path].size or 0 for path in paths)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise HubError(
            f"{repository.name} needs {total / 1e6:.0f} MB, and the disk of {folder.parent} has {free / 1e6:.0f} MB "
            "left. Make room, or set GENDER_CLASSIFIER_MODELS to a folder on another disk."
        )
    hub = _huggingface_hub()
    try:
        for path in paths:
            with _sentences(repository.name, repository.commit):
                hub.hf_hub_download(
                    repository.name, path, revision=repository.commit, local_dir=folder, endpoint=_endpoint()
                )
            _check(repository, path, folder / path)
    finally:
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes about the download


def _remote_file(sibling: Any) -> RemoteFile:
    lfs = getattr(sibling, "lfs", None)
    # A mapping in some releases of huggingface_hub, an object in others.
    digest = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    return RemoteFile(sibling.rfilename, sibling.size, digest)


def _check(repository: Repository, path: str, file: Path) -> None:
    described = repository.files[path]
    wrong_size = described.size is not None and file.stat().st_size != described.size
    if wrong_size or (described.sha256 is not None and sha256_of(file) != described.sha256):
        raise HubError(f"{path} of {repository.name} did not arrive as the Hub describes it. Try again.")


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _huggingface_hub() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise HubError(
            "Downloading from the Hub needs the package huggingface_hub: pip install 'gender-classifier[hub]'"
        ) from error
    return huggingface_hub


@contextmanager
def _sentences(name: str, revision: str) -> Iterator[None]:
    """Turns what huggingface_hub and the HTTP client beneath it raise into sentences."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{name} is gated: accept its terms on the Hub with your account, run `hf auth login` (or set HF_TOKEN), "
            "and try again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"The Hub has no model {name}, or it is private and you are not logged in. Check the name."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{name} has no revision {revision} on the Hub.") from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError(f"{name} cannot be downloaded: HF_HUB_OFFLINE is set.") from error
    except (
        errors.LocalEntryNotFoundError
    ) as error:  # how the client says that the network failed; an EntryNotFoundError
        raise HubError(_unreachable(name, error)) from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"{name} at {revision} lacks a file: {_line(error)}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HubError(f"The disk is full: {name} could not be downloaded. Make room and try again.") from error
        raise HubError(_unreachable(name, error)) from error
    except Exception as error:
        if isinstance(error, RuntimeError) or type(error).__module__.partition(".")[0] in _CLIENTS:
            raise HubError(_unreachable(name, error)) from error
        raise


def _unreachable(name: str, error: Exception) -> str:
    if re.search("Connect|Timeout|Proxy|SSL|LocalEntryNotFound", type(error).__name__):
        # What these say of themselves is a chain of the HTTP client's inner classes.
        where = _endpoint() or "https://huggingface.co"
        return f"{name} could not be downloaded: {where} cannot be reached. Check the network (or HF_ENDPOINT)."
    return f"{name} could not be downloaded: {_line(error)} Check the network (or HF_ENDPOINT) and try again."


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = text if len(text) <= 200 else text[:197] + "..."
    return text if text.endswith((".", "!", "?")) else text + "."
