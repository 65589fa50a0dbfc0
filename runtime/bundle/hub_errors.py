"""Says in one sentence why the Hub could not be asked, whichever HTTP client ``huggingface_hub`` brings."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["Refused", "sentence"]

_LOGIN: Final = "run `hf auth login`, or set HF_TOKEN"


class Refused(Exception):  # noqa: N818 - it is the server's answer
    """The server answered with an HTTP status of 400 or more."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers


def sentence(error: BaseException, name: str, revision: str, endpoint: str, done: str = "downloaded") -> str:
    """Returns what a person should know of an exception.

    Args:
        error: From this package, ``huggingface_hub``, its HTTP client, or the operating system.
        name: The repository that was asked for.
        revision: At which revision.
        endpoint: The Hub's address.
        done: What was to be done.
    """
    refused = _refused(error)
    if refused is not None:
        return _refusal(refused, name, revision)
    chain = list(_chain(error))
    kinds = " ".join(type(one).__name__ for one in chain)
    if "OfflineMode" in kinds:
        return f"{name} cannot be {done}: HF_HUB_OFFLINE is set."
    if any(isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT) for one in chain):
        return f"The disk is full: {name} could not be {done}. Make room and try again."
    why = _network(chain, kinds, endpoint)
    if why is None and isinstance(error, (ImportError, ValueError)):  # HF_HUB_DOWNLOAD_TIMEOUT=soon, say
        why = f"{_line(error)} Check the environment variables that begin with HF_ or end with _PROXY."
    return f"{name} could not be {done}: {why or _line(error)}"


def _refused(error: BaseException) -> Refused | None:
    if isinstance(error, Refused):
        return error
    response: Any = getattr(error, "response", None)  # HfHubHTTPError, from an upload
    status = getattr(response, "status_code", None)
    return Refused(status, response.headers) if isinstance(status, int) else None


def _refusal(refused: Refused, name: str, revision: str) -> str:
    status, headers = refused.status, refused.headers
    code, message = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")
    if code == "GatedRepo":
        return f"{name} is gated: accept its terms on the Hub with your account, then {_LOGIN}, and try again."
    if "credentials" in message or (status == 401 and code not in ("RepoNotFound", "")):
        return f"The Hub refuses the token of this machine: it is mistyped or has ended. To use another: {_LOGIN}."
    if code == "RevisionNotFound":
        return f"{name} has no revision {revision} on the Hub."
    if code == "EntryNotFound":
        return f"{name} at {revision} lacks a file: {message or 'the Hub does not say which'}."
    if code == "RepoNotFound" or status in (401, 404):
        return f"The Hub has no model {name}, or it is private and you are not logged in. Check the name, or {_LOGIN}."
    if status == 403:
        return f"The Hub does not let this account read {name}. To use another: {_LOGIN}. {message}".rstrip()
    if status == 429:
        wait = headers.get("Retry-After", "")
        return (
            f"The Hub has had too many requests from this address or account; try {name} again "
            f"{f'in {wait} seconds' if wait.isdigit() else 'later'}."
        )
    if status >= 500:
        return f"The Hub is out of order at the moment (HTTP {status}); try {name} again later."
    return f"The Hub answered with HTTP {status} when asked for {name}{f': {message}' if message else ''}."


def _network(chain: list[BaseException], kinds: str, endpoint: str) -> str | None:
    """Returns why a server could not be talked to, or ``None`` where it is something else."""
    untrusted = next((one for one in chain if isinstance(one, ssl.SSLCertVerificationError)), None)
    if untrusted is not None or "CERTIFICATE_VERIFY_FAILED" in str(chain[0]):
        why = untrusted.verify_message if untrusted is not None else "it cannot be verified"
        return (
            f"the certificate of {endpoint} is not trusted ({why}). Behind a proxy that looks into encrypted traffic, "
            "name the file with the proxy's certificate in REQUESTS_CA_BUNDLE and SSL_CERT_FILE."
        )
    if "Proxy" in kinds:
        return f"the proxy does not let it through. {_check()}"
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return f"no encrypted connection to {endpoint} came about ({_line(chain[-1]).rstrip('.')})."
    if any(isinstance(one, socket.gaierror) for one in chain):
        return f"the address of {endpoint} cannot be found. {_check()}"
    if any(isinstance(one, TimeoutError) for one in chain) or "Timeout" in kinds:
        return f"{endpoint} did not answer in time. {_check()}"
    if "Connect" in kinds or any(isinstance(one, ConnectionError) for one in chain) or "LocalEntryNotFound" in kinds:
        return f"{endpoint} cannot be reached. {_check()}"
    if any(word in kinds for word in ("Protocol", "IncompleteRead", "ChunkedEncoding", "ReadError")):
        return "the connection broke off. Try again."
    return None


def _check() -> str:
    variables = ("HF_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    named = [name for name in variables if os.environ.get(name) or os.environ.get(name.lower())]
    return f"Check the network{', and ' if named else ''}{', '.join(named)}."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and what caused it; clients wrap the operating system's errors three or four times."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and not any(one is other for other in seen) and len(seen) < 32:
            seen.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
            yield one


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = text if len(text) <= 200 else text[:197] + "..."
    return text if text.endswith((".", "!", "?")) else text + "."
