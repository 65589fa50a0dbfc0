"""The Hub's client: bounded in bytes and time, and one sentence for each failure, whatever HTTP client is beneath."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from gender_classifier.runtime.bundle import hub as client
from gender_classifier.runtime.bundle import hub_cache
from gender_classifier.runtime.errors import HubError
from support import ROOT
from support.fake_hub import FakeHub

pytest.importorskip("huggingface_hub")

FILES = {"config.json": b"{}", "onnx/model.onnx": bytes(range(256)) * 1000}
NAME = "org/name"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "_PAUSE_S", 0.0)


def refuse(status: int, **headers: str):
    def behave(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        return True

    return behave


def answers(*pieces: bytes, length: int | None = None, pause: float = 0.0, forever: bool = False):
    """A server that sends these pieces for each file, whatever was asked."""

    def behave(request: BaseHTTPRequestHandler) -> bool:
        if "/resolve/" not in request.path:
            return False
        request.send_response(200)
        if length is not None:
            request.send_header("Content-Length", str(length))
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        try:
            while True:
                for piece in pieces:
                    request.wfile.write(piece)
                    request.wfile.flush()
                    time.sleep(pause)
                if not forever:
                    return True
        except OSError:
            return True

    return behave


class TestDownload:
    def test_files_arrive_under_their_paths(self, hub, tmp_path):
        commit = hub.add(NAME, FILES, card={"license": "mit"})
        found = client.look_up(NAME)
        arrived = []
        client.download(found, list(FILES), tmp_path, advance=arrived.append)
        assert (found.commit, found.license, found.asked) == (commit, "mit", "main")
        assert {path: (tmp_path / path).read_bytes() for path in FILES} == FILES
        assert sum(arrived) == found.size(list(FILES)) == sum(map(len, FILES.values()))

    def test_one_that_breaks_off_goes_on_from_there(self, hub, tmp_path):
        hub.add(NAME, FILES)
        hub.cut_after = 100_000
        client.download(client.look_up(NAME), ["onnx/model.onnx"], tmp_path)
        assert (tmp_path / "onnx/model.onnx").read_bytes() == FILES["onnx/model.onnx"]

    def test_one_that_breaks_off_again_and_again_ends(self, hub, tmp_path):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        hub.behave = answers(b"x" * 1000, length=256_000)
        with pytest.raises(HubError, match=r"broke off|did not arrive"):
            client.download(found, ["onnx/model.onnx"], tmp_path)

    @pytest.mark.parametrize("length", [None, 10**9])
    def test_one_that_is_longer_than_described_ends_there(self, hub, tmp_path, length):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        hub.behave = answers(b"x" * 65536, length=length, forever=True)
        with pytest.raises(HubError, match="longer than the Hub describes"):
            client.download(found, ["onnx/model.onnx"], tmp_path)
        assert (tmp_path / "onnx/model.onnx").stat().st_size <= len(FILES["onnx/model.onnx"])

    def test_one_that_takes_for_ever_ends_in_time(self, hub, tmp_path, monkeypatch):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        hub.behave = answers(b"x", pause=0.05, length=256_000, forever=True)
        monkeypatch.setattr(client, "_PATIENCE_S", 0.5)
        monkeypatch.setattr(client, "_SLOWEST", 10**6)
        started = time.monotonic()
        with pytest.raises(HubError, match="did not answer in time"):
            client.download(found, ["onnx/model.onnx"], tmp_path)
        assert time.monotonic() - started < 5

    def test_a_description_that_has_no_end(self, hub, monkeypatch):
        monkeypatch.setattr(client, "_LARGEST_ANSWER", 1000)
        hub.add(NAME, {f"file-{number}": b"" for number in range(100)})
        with pytest.raises(HubError, match="no end"):
            client.look_up(NAME)

    @pytest.mark.parametrize("content", [b"<html>", b'{"sha": 3}', b"[]", b"[" * 10_000, b'{"sha": "' + b"1" * 39])
    def test_a_description_that_is_none(self, hub, content):
        def behave(request: BaseHTTPRequestHandler) -> bool:
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)
            return True

        hub.behave = behave
        with pytest.raises(HubError, match="answered"):
            client.look_up(NAME)

    def test_another_content_of_the_same_length(self, hub, tmp_path):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        hub.repositories[NAME].commits[-1][1]["onnx/model.onnx"] = bytes(256_000)
        with pytest.raises(HubError, match="did not arrive as the Hub describes it"):
            client.download(found, ["onnx/model.onnx"], tmp_path)

    def test_a_file_of_no_stated_size(self, hub, tmp_path):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        unsized = dataclasses.replace(found, files={"config.json": client.RemoteFile("config.json")})
        with pytest.raises(HubError, match="how large"):
            client.download(unsized, ["config.json"], tmp_path)

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk(self, hub, tmp_path, monkeypatch, code):
        hub.add(NAME, FILES)

        def full(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(client, "_check_space", full)
        with pytest.raises(HubError, match="disk is full"):
            client.download(client.look_up(NAME), ["config.json"], tmp_path)

    @pytest.mark.parametrize("revision", ["", "v1", "refs/pr/1", "../../etc", "a b", "x\n"])
    def test_revisions(self, hub, revision):
        hub.add(NAME, FILES)
        if not revision:
            assert client.look_up(NAME, revision).asked == "main"
            return
        with pytest.raises(HubError, match=r"no revision|is not a revision"):
            client.look_up(NAME, revision)


class TestRefusals:
    @pytest.mark.parametrize(
        ("behave", "sentence"),
        [
            (refuse(429, Retry_After="30"), "too many requests.*in 30 seconds"),
            (refuse(429), "too many requests.*later"),
            (refuse(503), r"out of order at the moment \(HTTP 503\)"),
            (refuse(401, X_Error_Message="Invalid credentials in Authorization header"), "refuses the token"),
            (refuse(401, X_Error_Code="RepoNotFound"), "no model org/name, or it is private"),
            (refuse(401), "no model org/name, or it is private"),
            (refuse(403, X_Error_Message="Forbidden"), "does not let this account read org/name"),
            (refuse(403, X_Error_Code="GatedRepo"), "is gated"),
            (refuse(404), "no model org/name"),
            (refuse(451, X_Error_Message="Access to this resource is disabled."), "HTTP 451.*disabled"),
        ],
    )
    def test_each_has_its_sentence(self, hub, behave, sentence):
        hub.behave = behave
        with pytest.raises(HubError, match=sentence) as caught:
            client.look_up(NAME)
        assert "\n" not in str(caught.value)

    def test_a_file_that_is_gone(self, hub, tmp_path):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        del hub.repositories[NAME].commits[-1][1]["config.json"]
        with pytest.raises(HubError, match="lacks a file"):
            client.download(found, ["config.json"], tmp_path)


class TestNetwork:
    def test_nothing_listens(self, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            client.look_up(NAME)

    def test_no_such_address(self, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "http://no-such-host.invalid")
        with pytest.raises(HubError, match=r"the address of http://no-such-host\.invalid cannot be found"):
            client.look_up(NAME)

    def test_a_server_that_accepts_and_says_nothing(self, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
            monkeypatch.setattr(client, "_PATIENCE_S", 0.5)
            with pytest.raises(HubError, match="did not answer in time"):
                client.look_up(NAME)

    def test_silence_is_noticed_before_patience_ends(self, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
            monkeypatch.setattr(client, "_SILENCE_S", 0.3)
            started = time.monotonic()
            with pytest.raises(HubError, match="did not answer in time"):
                client.look_up(NAME)
            assert time.monotonic() - started < 30

    def test_a_proxy_that_refuses(self, monkeypatch):
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
        monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@127.0.0.1:9")
        fresh_client(monkeypatch)
        with pytest.raises(HubError, match="Check the network, and HF_ENDPOINT, HTTPS_PROXY") as caught:
            client.look_up(NAME)
        assert "secret" not in str(caught.value)

    def test_a_certificate_that_is_not_trusted(self, monkeypatch, tmp_path):
        with tls_server(tmp_path) as endpoint:
            monkeypatch.setenv("HF_ENDPOINT", endpoint)
            fresh_client(monkeypatch)
            with pytest.raises(
                HubError, match=r"the certificate of https://localhost:\d+ is not trusted \(self"
            ) as caught:
                client.look_up(NAME)
        assert "REQUESTS_CA_BUNDLE" in str(caught.value)

    @pytest.mark.parametrize(
        ("variable", "value", "sentence"),
        [
            ("HF_ENDPOINT", "hub.example.org", "HF_ENDPOINT is 'hub.example.org'"),
            ("REQUESTS_CA_BUNDLE", "/no/such/file.pem", "REQUESTS_CA_BUNDLE names /no/such/file.pem"),
            ("SSL_CERT_FILE", "/no/such/file.pem", "SSL_CERT_FILE names /no/such/file.pem"),
        ],
    )
    def test_a_setting_that_cannot_be(self, monkeypatch, variable, value, sentence):
        monkeypatch.setenv(variable, value)
        with pytest.raises(HubError, match=sentence):
            client.look_up(NAME)

    @pytest.mark.parametrize(
        ("settings", "code", "words"),
        [
            ({"HF_HUB_ENABLE_HF_TRANSFER": "1"}, 0, "arrived"),
            ({"HF_HUB_OFFLINE": "1"}, 1, "HF_HUB_OFFLINE is set"),
            ({"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, 1, "begin with HF_"),
            ({"HTTP_PROXY": "nonsense://x"}, 1, "org/name could not be downloaded"),
        ],
    )
    def test_settings_left_over_in_the_environment(self, hub, tmp_path, settings, code, words):
        hub.add(NAME, FILES)
        script = (
            "import sys, pathlib\n"
            "from gender_classifier.runtime.bundle import hub\n"
            "from gender_classifier.runtime.errors import HubError\n"
            "try:\n"
            "    found = hub.look_up('org/name')\n"
            "    hub.download(found, list(found.files), pathlib.Path(sys.argv[1]))\n"
            "except HubError as error:\n"
            "    print(error); sys.exit(1)\n"
            "print('arrived')\n"
        )
        environment = {**os.environ, **hub.environment(tmp_path / "home"), "PYTHONPATH": str(ROOT), **settings}
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr
        assert len(done.stdout.splitlines()) == 1

    def test_without_the_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(HubError, match=r'pip install "\.\[hub\]"'):
            client.look_up(NAME)


class TestCache:
    @pytest.fixture(autouse=True)
    def cache(self, hub, monkeypatch, tmp_path):
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def test_other_programs_find_what_was_brought(self, hub, tmp_path):
        from huggingface_hub import try_to_load_from_cache

        commit = hub.add(NAME, FILES)
        folder = client.download_into_cache(client.look_up(NAME), list(FILES))
        for path, content in FILES.items():
            found = try_to_load_from_cache(NAME, path, cache_dir=tmp_path, revision="main")
            assert isinstance(found, str)
            assert Path(found).read_bytes() == content
            assert Path(found) == folder / path
        assert hub_cache.snapshot(NAME) == (folder, commit)
        assert not list(tmp_path.rglob("*.incomplete"))

    def test_what_is_there_is_not_asked_for_again(self, hub, tmp_path):
        hub.add(NAME, FILES)
        client.download_into_cache(client.look_up(NAME), ["config.json"])
        hub.requests.clear()
        client.download_into_cache(client.look_up(NAME), list(FILES))
        assert [line for line in hub.requests if "config.json" in line] == []

    def test_what_other_programs_brought_is_found(self, hub, tmp_path):
        from huggingface_hub import hf_hub_download

        commit = hub.add(NAME, FILES)
        file = hf_hub_download(NAME, "config.json", cache_dir=tmp_path, endpoint=hub.endpoint)
        assert hub_cache.snapshot(NAME, "main") == (Path(file).parent, commit)
        assert hub_cache.snapshot(NAME, commit) == (Path(file).parent, commit)
        assert hub_cache.snapshot(NAME, "v2") is None

    def test_a_file_that_fails_leaves_nothing(self, hub, tmp_path):
        hub.add(NAME, FILES)
        found = client.look_up(NAME)
        hub.behave = answers(b"x" * 65536, forever=True)
        with pytest.raises(HubError):
            client.download_into_cache(found, ["onnx/model.onnx"])
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize(
        ("settings", "place"),
        [
            ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
            ({"HUGGINGFACE_HUB_CACHE": "/c"}, "/c"),
            ({"HF_HOME": "$SOME/b"}, "/some/b/hub"),
            ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
            ({"HOME": "/home/me"}, "/home/me/.cache/huggingface/hub"),
        ],
    )
    def test_its_place_is_the_standard_one(self, monkeypatch, settings, place):
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"SOME": "/some", **settings}.items():
            monkeypatch.setenv(name, value)
        assert hub_cache.root() == Path(place)

    @pytest.mark.parametrize("ref", ["../../../etc", "zz", "", "\xff", "A" * 40])
    def test_a_hostile_ref_leads_nowhere(self, tmp_path, ref):
        refs = tmp_path / "models--org--name" / "refs"
        refs.mkdir(parents=True)
        (refs / "main").write_text(ref, encoding="latin-1")
        assert hub_cache.snapshot(NAME) is None
        assert hub_cache.snapshot(NAME, "../refs/main") is None


def fresh_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes huggingface_hub read certificates and proxies again: its session keeps what it has once read."""
    from huggingface_hub.utils import _http

    for name in ("_GLOBAL_CLIENT",):
        if hasattr(_http, name):
            monkeypatch.setattr(_http, name, None)


class tls_server:  # noqa: N801 - a context manager
    """An HTTPS server whose certificate is its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        key, certificate = self._folder / "key.pem", self._folder / "certificate.pem"
        made = subprocess.run(
            f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate} "
            "-addext subjectAltName=DNS:localhost".split(),
            capture_output=True,
            check=False,
        )
        if made.returncode:
            pytest.skip("openssl cannot make a certificate here")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._hub = FakeHub()
        self._hub._server.socket = context.wrap_socket(self._hub._server.socket, server_side=True)
        self._hub.__enter__()
        return self._hub.endpoint.replace("http://127.0.0.1", "https://localhost")

    def __exit__(self, *_: object) -> None:
        self._hub.__exit__(None, None, None)


def test_threads_end_with_the_download(hub, tmp_path):
    hub.add(NAME, FILES)
    found = client.look_up(NAME)
    hub.behave = answers(b"x" * 65536, forever=True)
    before = set(threading.enumerate())
    with pytest.raises(HubError):
        client.download(found, ["onnx/model.onnx"], tmp_path)
    for _ in range(100):
        if not any(thread.name == "hub" for thread in set(threading.enumerate()) - before):
            return
        time.sleep(0.05)
    pytest.fail("the thread that reads goes on although nobody listens")
