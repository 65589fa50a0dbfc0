"""What is on the disk when the power goes: the order of the system calls, compared with docs/sorting.md.

A power cut keeps what was synced, and of the rest any part. So each promise is an order: this call, that sync, the next
call.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.gender_cli.inputs import Item
from gender_classifier.gender_cli.resume import ResultsFile
from gender_classifier.gender_cli.sorting.command import undo
from support.sorting import JOURNAL, across, grow, posix, predict, sort

# ruff: noqa: PTH115
pytestmark = posix


class Recorder:
    """Records system calls by the names of what they act on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self._root = str(root)
        for name in ("write", "fsync", "link", "symlink", "unlink", "replace", "rename", "mkdir", "rmdir"):
            monkeypatch.setattr(os, name, self._recorded(name, REAL[name]))

    def _recorded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(first: Any, *rest: Any, **options: Any) -> Any:
            what = [self._name(first), *(self._name(each) for each in rest if name in ("link", "replace", "rename"))]
            if name == "write" and what[0] == "journal":
                what.append(re.sub(rb'.*"(?:op|journal)": "?(\w+).*', rb"\1", bytes(rest[0]), flags=re.DOTALL).decode())
            self.calls.append(" ".join([name, *what]))
            return call(first, *rest, **options)

        return wrapper

    def _name(self, what: Any) -> str:
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
        name = path.removeprefix(self._root).removesuffix(" (deleted)").lstrip("/") or "root"
        if name.endswith((JOURNAL, "journal.jsonl")):
            return "journal"
        return re.sub(r"\.gender-classifier-[\w-]+\.part", "part", name)


REAL = {name: getattr(os, name) for name in ("write", "fsync", "link", "symlink", "unlink", "replace", "rename")}
REAL |= {"mkdir": os.mkdir, "rmdir": os.rmdir}


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> None:
    """Takes the place of the one in conftest.py: here the real calls are looked at."""
    if not os.path.exists("/proc/self/fd"):  # noqa: PTH110
        pytest.skip("needs /proc")
    return


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    grow(tmp_path / "src", {"b/a.jpg": ("female", b"1")})
    return Recorder(monkeypatch, tmp_path)


BEGIN = [
    "mkdir dst",
    "fsync root",
    "write journal 3",
    "fsync journal",
    "fsync dst",
    "write journal mkdir",
    "fsync journal",
    "mkdir dst/woman",
    "fsync dst",
    "write journal place",
    "fsync journal",
]
"""The journal is safe before the first folder in DEST, each folder before what goes into it, each intent before its
step."""

COPY = ["write dst/woman/part", "fsync dst/woman/part", "link dst/woman/part dst/woman/a.jpg", "unlink dst/woman/part"]
"""A copy has its content on the disk before it has its name."""

STEPS: dict[str, list[str]] = {
    "copy": COPY,
    "move": ["link src/b/a.jpg dst/woman/a.jpg", "fsync dst/woman", "unlink src/b/a.jpg"],
    "move across": [*COPY, "fsync dst/woman", "unlink src/b/a.jpg"],
    "hardlink": ["link src/b/a.jpg dst/woman/a.jpg"],
    "symlink": ["symlink src/b/a.jpg"],
}
"""The new name is on the disk before the old one goes."""

BACK: dict[str, list[str]] = {
    "copy": ["unlink dst/woman/a.jpg"],
    "move": [
        "write journal undoing",
        "fsync journal",
        "link dst/woman/a.jpg src/b/a.jpg",
        "fsync src/b",
        "unlink dst/woman/a.jpg",
    ],
    "move across": [
        "write journal undoing",
        "fsync journal",
        "write src/b/part",
        "fsync src/b/part",
        "link src/b/part src/b/a.jpg",
        "unlink src/b/part",
        "fsync src/b",
        "unlink dst/woman/a.jpg",
    ],
    "hardlink": ["unlink dst/woman/a.jpg"],
    "symlink": ["unlink dst/woman/a.jpg"],
}


@pytest.mark.parametrize("how", STEPS)
def test_the_order_of_writing_syncing_and_naming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder, how: str
) -> None:
    mode = how.split()[0]
    if how == "move across":
        across(monkeypatch)
    sort(tmp_path, mode)
    end = ["write journal done", "fsync journal"]  # the sync when it is closed; else the next intent's carries it
    tried = ["link src/b/a.jpg part", "unlink part"] if mode == "hardlink" else []
    assert recorder.calls == [*tried, *BEGIN, *STEPS[how], *end]
    recorder.calls.clear()
    undo(str(tmp_path / "dst"))
    end = ["write journal undone", "rmdir dst/woman", "unlink journal", "fsync journal", "rmdir dst"]
    assert recorder.calls == ["write journal forget", *BACK[how], *end]


def test_a_second_picture_carries_the_first_ones_done(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "src/c.jpg").write_bytes(b"female 2")
    sort(tmp_path, "move")
    calls = recorder.calls
    done = calls.index("write journal done")
    assert calls[done + 1 : done + 3] == ["write journal place", "fsync journal"]
    assert calls[done + 3] == "link src/c.jpg dst/woman/c.jpg"


def test_a_killed_move_that_is_recovered_syncs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    class Killed(BaseException):
        pass

    def killed(path: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", killed)
        with pytest.raises(Killed):
            sort(tmp_path, "move")
    recorder.calls.clear()
    sort(tmp_path, "move")
    end = ["fsync dst/woman", "unlink src/b/a.jpg", "write journal done", "fsync journal"]
    assert recorder.calls == ["unlink dst/woman/part", *end]


def test_a_folder_that_undo_makes_again_is_synced(tmp_path: Path, recorder: Recorder) -> None:
    sort(tmp_path, "move")
    (tmp_path / "src/b").rmdir()
    recorder.calls.clear()
    undo(str(tmp_path / "dst"))
    start = recorder.calls.index("mkdir src/b")
    assert recorder.calls[start + 1 : start + 3] == ["fsync src", "link dst/woman/a.jpg src/b/a.jpg"]


def test_results_are_synced_at_the_end(tmp_path: Path, recorder: Recorder) -> None:
    path = str(tmp_path / "src/b/a.jpg")
    recorder.calls.clear()
    with ResultsFile(tmp_path / "results.jsonl", resume=False) as results:
        for _ in results.missing([Item(path), Item(path)]):
            results.append(predict(path))
    assert recorder.calls == ["write results.jsonl", "write results.jsonl", "fsync results.jsonl"]
