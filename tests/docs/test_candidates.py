"""The table of candidates: facts with sources, refreshed from a Hub on 127.0.0.1."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from docs.build.candidates import DATA, main, read, refresh, short, table

FIRST = "dima806/fairface_gender_image_detection"


class _Hub(BaseHTTPRequestHandler):
    """Knows every model but one, each with its own downloads."""

    gone = "NTQAI/pedestrian_gender_recognition"

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/api/models/")
        if name == self.gone:
            body, status = {"error": "Repository not found"}, 404
        else:
            body, status = {
                "_id": "0", "id": name, "modelId": name, "downloads": 1000 + len(name),
                "lastModified": "2026-02-01T08:30:00.000Z",
            }, 200  # fmt: skip
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    pytest.importorskip("huggingface_hub")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the facts."""
    return Path(shutil.copy(DATA, tmp_path / "candidates.json"))


def test_at_least_five_candidates_one_of_them_chosen() -> None:
    candidates = read()
    assert len(candidates) >= 5
    assert [each["id"] for each in candidates if each["chosen"]] == [FIRST]
    assert len({each["id"] for each in candidates}) == len(candidates)


def test_every_cell_says_how_sure_it_is_and_where_it_was_read() -> None:
    text = table(read())
    rows = [line for line in text.splitlines() if line.startswith("| ") and "huggingface.co" in line]
    assert len(rows) == len(read())
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert len(cells) == 8
        for cell in cells[1:]:
            sure = re.search(
                r"\((confirmé|confirmé en ligne|déduit|de mémoire, à vérifier|inconnu)\)( \[\d+\])?$", cell
            )
            assert sure, cell
            assert (sure.group(2) is None) == (sure.group(1) in ("inconnu", "de mémoire, à vérifier")), cell
    cited = {int(number) for number in re.findall(r"\[(\d+)\]", "\n".join(rows))}
    listed = {int(number) for number in re.findall(r"^(\d+)\. <https://", text, re.MULTILINE)}
    assert cited == listed


def test_the_narrow_table_has_at_least_five_complete_rows() -> None:
    rows = [line.strip("| ").split(" | ") for line in short(read()).splitlines() if "huggingface.co" in line]
    assert len(rows) >= 5
    for cells in rows:
        assert len(cells) == 6
        assert all(cells), cells
        assert "jamais vu" not in cells[1]
        assert max(map(len, cells[1:])) < 90


def test_the_hub_renews_downloads_and_dates(hub: str) -> None:
    before = read()
    after, complaints = refresh(before, today=date(2026, 3, 1), endpoint=hub)
    first = after[0]
    assert first["downloads"]["text"] == f"1\u00a00{len(FIRST)}"
    assert first["downloads"]["sureness"] == "live"
    assert first["downloads"]["seen"] == "le 1er mars 2026"
    assert first["updated"]["text"] == "1er février 2026"
    assert first["license"] == before[0]["license"]
    gone = next(each for each in after if each["id"] == _Hub.gone)
    assert gone == next(each for each in before if each["id"] == _Hub.gone)
    assert len(complaints) == 1
    assert _Hub.gone in complaints[0]
    assert "404" in complaints[0]


def test_the_command_renews_the_facts(
    hub: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    assert main(["--data", str(data)]) == 1  # one model is gone, and that is said
    assert capsys.readouterr().err.count("\n") == 1
    assert "(confirmé en ligne)" in table(read(data))
    monkeypatch.setattr(_Hub, "gone", "")
    assert main(["--data", str(data)]) == 0


def test_without_a_hub_one_sentence_and_the_recorded_facts(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("huggingface_hub")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")  # no server listens there
    before = data.read_bytes()
    assert main(["--data", str(data)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "cannot be reached" in captured.err
    assert data.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sureness": "certain"}, "'certain'"),
        ({"sureness": "confirmed", "source": ""}, "source or date"),
        ({"text": ""}, "no text"),
    ],
)
def test_a_fact_without_source_or_sureness_is_refused(tmp_path: Path, change: dict[str, str], says: str) -> None:
    content = json.loads(DATA.read_text(encoding="utf-8"))
    content["candidates"][0]["license"] |= change
    path = tmp_path / "candidates.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        read(path)
