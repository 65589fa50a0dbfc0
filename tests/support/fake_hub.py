"""A small Hugging Face Hub on 127.0.0.1, for tests of what downloads and uploads.

It speaks the part of the Hub's HTTP interface that ``huggingface_hub`` uses: model info, ``resolve`` (HEAD, GET,
ranges), tree, gated and missing repositories with the Hub's own error headers, and commits with LFS uploads.

>>> with FakeHub() as hub:
...     sha = hub.add("org/name", {"config.json": b"{}"})
...     # HF_ENDPOINT=hub.endpoint
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["FakeHub", "Repository"]

_HEX = re.compile(r"[0-9a-f]{40}")


@dataclass
class Repository:
    """One repository: its commits, newest last, each a mapping of path to content."""

    name: str
    gated: bool = False
    private: bool = False
    card: dict[str, Any] = field(default_factory=dict)
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes]) -> str:
        digest = hashlib.sha1(f"{self.name} {len(self.commits)}".encode())
        for path in sorted(files):
            digest.update(path.encode() + b"\0" + files[path])
        self.commits.append((digest.hexdigest(), dict(files)))
        return self.commits[-1][0]

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[-1] if self.commits else None
        return next((commit for commit in self.commits if commit[0] == revision), None)


class FakeHub:
    """The server. ``requests`` records every request line as ``METHOD path``."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.uploads: dict[str, bytes] = {}
        self.cut_after: int | None = None
        """When set, every file is cut off after that many bytes, as a network that fails does."""
        self.behave: Callable[[BaseHTTPRequestHandler], bool] | None = None
        """When set, is asked first about each request; ``True`` says that it has answered."""
        self.public_url: str | None = None
        """Where commits are said to be. In a process whose ``huggingface_hub`` was imported without ``HF_ENDPOINT``
        this has to be the real Hub's address: the client parses it."""
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(
        self,
        name: str,
        files: dict[str, bytes] | Path,
        *,
        gated: bool = False,
        private: bool = False,
        card: dict[str, Any] | None = None,
    ) -> str:
        """Adds a commit to a repository, made when it is not there; returns its 40-hex revision."""
        if isinstance(files, Path):
            files = {
                path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()
            }
        repository = self.repositories.setdefault(name, Repository(name))
        repository.gated, repository.private = gated, private
        if card is not None:
            repository.card = card
        return repository.commit(files)

    def environment(self, cache: Path) -> dict[str, str]:
        """Environment variables that point ``huggingface_hub`` of a child process here, without a token."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(cache),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": "",
        }

    def __enter__(self) -> FakeHub:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        self.hub.requests.append(f"{self.command} {self.path}")

    # -- answers ------------------------------------------------------------------------------------------------

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, data: Any, status: int = 200) -> None:
        self._send(status, json.dumps(data).encode())

    def _error(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self._send(status, body, {"X-Error-Code": code, "X-Error-Message": message})

    def _repository(self, name: str) -> Repository | None:
        """Finds a repository the caller may see; answers for the others as the Hub does."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.headers.get("Authorization")):
            # The Hub does not tell the anonymous caller whether a repository exists.
            self._error(401, "RepoNotFound", "Invalid username or password.")
            return None
        return repository

    # -- requests -----------------------------------------------------------------------------------------------

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.hub.behave is not None and self.hub.behave(self):
            return
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/.*)?", path):
            self._tree(match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        elif path == "/api/whoami-v2":
            self._json({"type": "user", "name": "tester", "fullname": "tester", "orgs": []})
        else:
            self._error(404, "NotFound", f"nothing at {path}")

    def _found(self, repository: Repository, revision: str) -> tuple[str, dict[str, bytes]] | None:
        found = repository.find(revision)
        if found is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _info(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        found = self._found(repository, revision)
        if found is None:
            return
        sha, files = found
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [
            {"rfilename": path, **(_described(path, content) if blobs else {})}
            for path, content in sorted(files.items())
        ]
        self._json(
            {
                "_id": "0" * 24,
                "id": name,
                "modelId": name,
                "sha": sha,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "tags": [f"license:{repository.card['license']}"] if "license" in repository.card else [],
                "cardData": repository.card,
                "siblings": siblings,
                "downloads": 0,
                "likes": 0,
            }
        )

    def _tree(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        found = self._found(repository, revision)
        if found is None:
            return
        self._json(
            [
                {"type": "file", "path": path, "size": len(content), "oid": _sha1(content)}
                for path, content in sorted(found[1].items())
            ]
        )

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        if repository.gated and not self.headers.get("Authorization"):
            self._error(401, "GatedRepo", f"Access to model {name} is restricted. You must have access to it.")
            return
        if repository.gated and self.headers.get("Authorization") != "Bearer hf_granted":
            self._error(403, "GatedRepo", f"Access to model {name} is restricted and you are not in the list.")
            return
        found = self._found(repository, revision)
        if found is None:
            return
        sha, files = found
        if file not in files:
            self._error(404, "EntryNotFound", f"{file} is not in {name}")
            return
        content = files[file]
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Repo-Commit": sha,
            "ETag": f'"{_sha1(content)}"',
            "Accept-Ranges": "bytes",
        }
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match:
            start = int(match[1])
            stop = int(match[2]) + 1 if match[2] else len(content)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._send(206, content[start:stop], headers)
        elif self.hub.cut_after is not None and self.command == "GET":
            self.send_response(200)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: self.hub.cut_after])
            self.close_connection = True
        else:
            self._send(200, content, headers)

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.headers.get("Authorization"):
            self._error(401, "Unauthorized", "Invalid username or password.")
        elif path == "/api/repos/create":
            data = json.loads(body)
            name = f"{data.get('organization') or 'tester'}/{data['name']}"
            if name in self.hub.repositories:
                self._json({"error": "You already created this model repo", "url": f"{self.hub.endpoint}/{name}"}, 409)
                return
            private = bool(data.get("private")) or data.get("visibility") == "private"  # the client of version 2
            self.hub.repositories[name] = Repository(name, private=private)
            self._json({"url": f"{self.hub.endpoint}/{name}", "name": name, "id": "0" * 24})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", path):
            files = json.loads(body)["files"]
            self._json(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith(".onnx") else "regular",
                            "shouldIgnore": False,
                        }
                        for file in files
                    ]
                }
            )
        elif match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            data = json.loads(body)
            self._json(
                {
                    "transfer": "basic",
                    "objects": [
                        {
                            **item,
                            "authenticated": True,
                            "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{item['oid']}", "header": {}}},
                        }
                        for item in data["objects"]
                    ],
                }
            )
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", path):
            self._commit(match[1], body)
        else:
            self._error(404, "NotFound", f"nothing at {path}")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.uploads[self.path.rsplit("/", 1)[-1]] = body
        self._send(200, b"")

    def _commit(self, name: str, body: bytes) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._error(404, "RepoNotFound", f"no repository {name}")
            return
        files = dict(repository.commits[-1][1]) if repository.commits else {}
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif entry["key"] == "deletedFile":
                files.pop(value["path"], None)
        sha = repository.commit(files)
        self._json(
            {
                "success": True,
                "commitOid": sha,
                "commitUrl": f"{self.hub.public_url or self.hub.endpoint}/{name}/commit/{sha}",
            }
        )


def _described(path: str, content: bytes) -> dict[str, Any]:
    """What the Hub tells of a file; weights lie in Git LFS, under their sha256."""
    told: dict[str, Any] = {"size": len(content), "blobId": _sha1(content)}
    if path.endswith((".onnx", ".safetensors", ".bin")):
        told["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return told


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
