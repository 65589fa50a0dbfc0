"""Asks the Hub which files a repository holds, and brings some of them: checked, and bounded in bytes and in time.

``huggingface_hub`` gives the token and the HTTP session, with its proxies and certificates: ``requests`` up to 0.36,
``httpx`` since. It is imported when the network is really needed. The requests themselves are made here, because the
client's own downloads end neither at the size that the Hub described nor after any time.
"""

from __future__ import annotations

import errno
import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..errors import HubError
from ..installing import install_command
from ..version import __version__
from . import hub_cache
from .files import sha256_of
from .hub_errors import Refused, sentence
from .strict_json import JSONFormatError, parse

__all__ = ["RemoteFile", "Repository", "client", "download", "download_into_cache", "endpoint", "look_up", "sentences"]

_HASH: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

_LARGEST_ANSWER: Final = 32 << 20
"""Bytes of a repository's description; the largest ones list some ten thousand files."""
_SILENCE_S = 30.0
"""So long a server may say nothing."""
_PATIENCE_S = 120.0
_SLOWEST: Final = 10_000
"""Bytes a second. A download may take :data:`_PATIENCE_S`, and its described size at this rate."""
_ATTEMPTS: Final = 5
"""A download that breaks off goes on from where it was."""
_PAUSE_S = 1.0
_PIECE: Final = 1 << 13
"""Bytes; what had arrived of a piece is lost when ``requests`` finds the connection broken."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository.

    Attributes:
        path: Its path there.
        size: In bytes, or ``None`` where the Hub does not say.
        sha256: Of its content, for files in Git LFS.
        blob: The Hub's name of its content, for the others.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    blob: str | None = None


@dataclass(frozen=True)
class Repository:
    """One commit of a repository on the Hub.

    Attributes:
        name: ``ORG/NAME``.
        commit: 40 hex digits.
        files: What the commit holds, by path.
        license: The licence word of the model card, or ``None``.
        asked: The branch, tag or commit that was asked for.
    """

    name: str
    commit: str
    files: dict[str, RemoteFile]
    license: str | None
    asked: str = "main"

    def size(self, paths: Sequence[str]) -> int:
        """Returns the described size of some of the files, in bytes."""
        return sum(self.files[path].size or 0 for path in paths)


def look_up(name: str, revision: str | None = None) -> Repository:
    """Asks the Hub which commit a revision is, and what it holds.

    Args:
        name: ``ORG/NAME``.
        revision: 40 hex digits, a branch or a tag; ``None`` means ``main``.

    Raises:
        HubError: If the Hub cannot be reached, or does not have or not give the repository.
    """
    wanted = revision or "main"
    if not hub_cache.is_revision(wanted):
        raise HubError(f"{wanted!r} is not a revision: a commit, a branch or a tag.")
    with sentences(name, wanted):
        url = f"{endpoint()}/api/models/{name}/revision/{quote(wanted, safe='')}?blobs=true"
        answer = bytearray()
        for piece in _get(url, 0, time.monotonic() + _PATIENCE_S):
            answer += piece if isinstance(piece, bytes) else b""
            if len(answer) > _LARGEST_ANSWER:
                raise HubError(f"The Hub's description of {name} has no end; nothing was downloaded.")
    try:
        data = parse(bytes(answer), lone_surrogates=True)
    except JSONFormatError as error:
        raise HubError(f"{endpoint()} answered with something else than the Hub does: {error}.") from error
    data = data if isinstance(data, dict) else {}
    commit = str(data.get("sha"))
    if not hub_cache.COMMIT.fullmatch(commit) or (hub_cache.COMMIT.fullmatch(wanted) and commit != wanted):
        raise HubError(f"The Hub answered with the commit {commit!r} when asked for {name} at {wanted}.")
    siblings = data.get("siblings")
    files = [_remote_file(one) for one in siblings if isinstance(one, dict)] if isinstance(siblings, list) else []
    card = data.get("cardData")
    licence = card.get("license") if isinstance(card, dict) else None
    return Repository(
        name, commit, {file.path: file for file in files}, licence if isinstance(licence, str) else None, wanted
    )


def download(
    repository: Repository, paths: Sequence[str], folder: Path, *, advance: Callable[[int], object] = lambda _: None
) -> None:
    """Brings files of one commit into a folder, under their paths in the repository.

    Args:
        repository: What :func:`look_up` returned.
        paths: Which of its files; nothing else is requested.
        folder: Where to; it is there already.
        advance: Called with the number of bytes that have arrived since the last time.

    Raises:
        HubError: If the download fails, the disk is too small, or a file is not the one the Hub described.
    """
    with sentences(repository.name, repository.commit):
        _check_space(folder, repository, paths)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            _fetch(repository, repository.files[path], folder / path, advance)


def download_into_cache(
    repository: Repository, paths: Sequence[str], *, advance: Callable[[int], object] = lambda _: None
) -> Path:
    """Brings those files of one commit into the Hugging Face cache that are not there yet.

    Args:
        repository: What :func:`look_up` returned.
        paths: Which of its files; nothing else is requested.
        advance: As for :func:`download`.

    Returns:
        The folder with the commit's files.

    Raises:
        HubError: As for :func:`download`, or if this user has no home for the cache.
    """
    name, commit = repository.name, repository.commit
    folder = hub_cache.repository_folder(name)
    if folder is None:
        raise HubError("This user has no home folder for the Hub's cache. Set HF_HOME to a folder.")
    there = hub_cache.snapshot(name, commit)
    missing = [path for path in paths if there is None or not (there[0] / path).is_file()]
    with sentences(name, commit):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_space(folder.parent, repository, missing)
        for path in missing:
            remote, part = repository.files[path], hub_cache.partial(folder)
            try:
                _fetch(repository, remote, part, advance)
                hub_cache.keep(folder, commit, path, part, remote.sha256 or remote.blob)
            finally:
                part.unlink(missing_ok=True)
        hub_cache.keep_ref(folder, repository.asked, commit)
    found = hub_cache.snapshot(name, commit)
    if found is None:
        raise HubError(f"{name} at {commit} holds none of the files that were asked for.")
    return found[0]


def client() -> Any:
    """Imports huggingface_hub.

    Raises:
        HubError: If it is not installed, or cannot be imported.
    """
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError as error:
        raise HubError(
            f"Going online to the Hub needs the package huggingface_hub: {install_command('hub')}"
        ) from error
    except Exception as error:  # HF_HUB_DOWNLOAD_TIMEOUT=soon, say, is a ValueError while it is imported
        raise HubError(
            f"The package huggingface_hub cannot be used: {error}. Check the environment variables that begin with HF_."
        ) from error
    return huggingface_hub


@contextmanager
def sentences(name: str, revision: str, done: str = "downloaded") -> Iterator[None]:
    """Turns what the Hub's client and everything beneath it raise into sentences.

    Args:
        name: The repository that is asked for.
        revision: At which revision.
        done: What was to be done.

    Raises:
        HubError: Instead of any other exception.
    """
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise HubError(sentence(error, name, revision, _endpoint_as_set(), done)) from error


def _remote_file(sibling: Mapping[str, Any]) -> RemoteFile:
    size, blob, lfs = sibling.get("size"), sibling.get("blobId"), sibling.get("lfs")
    digest = lfs.get("sha256") if isinstance(lfs, dict) else None
    return RemoteFile(
        str(sibling.get("rfilename")),
        size if isinstance(size, int) and size >= 0 else None,
        digest if isinstance(digest, str) and _HASH.fullmatch(digest) else None,
        blob if isinstance(blob, str) and _HASH.fullmatch(blob) else None,
    )


def _check_space(folder: Path, repository: Repository, paths: Sequence[str]) -> None:
    needed, free = repository.size(paths), shutil.disk_usage(folder).free
    if needed > free:
        raise HubError(
            f"{repository.name} needs {needed / 1e6:.0f} MB, and the disk of {folder} has {free / 1e6:.0f} MB left."
        )


def _fetch(repository: Repository, remote: RemoteFile, file: Path, advance: Callable[[int], object]) -> None:
    """Downloads one file and compares it with its description."""
    where = f"{remote.path} of {repository.name}"
    if remote.size is None:
        raise HubError(f"The Hub does not say how large {where} is; it was not downloaded.")
    url = f"{endpoint()}/{repository.name}/resolve/{repository.commit}/{quote(remote.path)}"
    deadline = time.monotonic() + _PATIENCE_S + remote.size / _SLOWEST
    answered = False
    with file.open("wb") as out:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for piece in _get(url, out.tell(), deadline):
                    if isinstance(piece, int):
                        answered = True
                        out.seek(piece)
                        out.truncate()
                    elif out.tell() + len(piece) > remote.size:
                        raise HubError(f"{where} is longer than the Hub describes it; it was not kept.")
                    else:
                        out.write(piece)
                        advance(len(piece))
            except (HubError, Refused, TimeoutError):
                raise
            except Exception as error:
                full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
                if full or attempt == _ATTEMPTS or not answered:
                    raise
                time.sleep(_PAUSE_S * attempt)
            else:
                break
    if file.stat().st_size != remote.size or remote.sha256 not in (None, sha256_of(file)):
        raise HubError(f"{where} did not arrive as the Hub describes it. Try again.")


def _get(url: str, start: int, deadline: float) -> Iterator[int | bytes]:
    """Yields where the answer's bytes begin (``start``, or 0 where the server cannot do that), then the bytes.

    The request runs in a thread, so that the deadline holds whatever it waits for: a name server, a handshake, a server
    that sends a byte a minute.

    Raises:
        Refused: If the server answers with an error.
        TimeoutError: If the deadline is over.
        Exception: What the HTTP client raises.
    """
    utils: Any = client().utils
    headers = utils.build_hf_headers(library_name="gender-classifier", library_version=__version__)
    headers = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    pieces: queue.Queue[int | bytes | Exception | None] = queue.Queue(maxsize=8)
    abandoned = threading.Event()

    def put(piece: int | bytes | Exception | None) -> None:
        while not abandoned.is_set():
            with suppress(queue.Full):
                pieces.put(piece, timeout=0.2)
                return

    def run() -> None:
        try:
            with _answer(utils.get_session(), url, headers) as (status, told, body):
                if status >= 400:
                    raise Refused(status, told)
                put(start if status == 206 else 0)
                for piece in body:
                    put(piece)
                    if abandoned.is_set():
                        return
            put(None)
        except Exception as error:  # noqa: BLE001 - raised again where the pieces are taken
            put(error)

    threading.Thread(target=run, name="hub", daemon=True).start()
    try:
        while True:
            try:
                piece = pieces.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("it took too long") from None
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        abandoned.set()


_Answer = tuple[int, Mapping[str, str], Iterator[bytes]]


@contextmanager
def _answer(session: Any, url: str, headers: Mapping[str, str]) -> Iterator[_Answer]:
    """Yields the status, headers and body of an answer, from a session of ``httpx`` or of ``requests``."""
    if callable(getattr(session, "stream", None)):
        with session.stream("GET", url, headers=headers, timeout=_SILENCE_S, follow_redirects=True) as answer:
            yield answer.status_code, answer.headers, answer.iter_raw()
    else:
        with session.get(url, headers=headers, timeout=_SILENCE_S, stream=True) as answer:
            yield answer.status_code, answer.headers, answer.iter_content(_PIECE)


def endpoint() -> str:
    """Returns the Hub's address.

    Raises:
        HubError: If it, or where certificates are looked for, is set to what cannot be.
    """
    address = _endpoint_as_set()
    if not address.startswith(("https://", "http://")):
        raise HubError(f"HF_ENDPOINT is {address!r}, which is not an address that begins with https://.")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if (path := os.environ.get(variable)) and not Path(path).exists():
            raise HubError(f"{variable} names {path}, which is not there, so that no certificate could be checked.")
    return address


def _endpoint_as_set() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
