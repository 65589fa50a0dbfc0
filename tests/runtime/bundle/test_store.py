"""A folder appears whole or not at all, whatever kills the process and whenever."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.runtime.bundle import store
from gender_classifier.runtime.errors import StoreError

needs_fork = pytest.mark.skipif(os.name != "posix", reason="kills itself by signal")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, word: str) -> None:
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    (folder / "onnx" / "model.onnx").write_text(word * 1000)
    (folder / "config.json").write_text(word)
    (folder / "bundle.json").write_text(word)


def content(folder: Path) -> set[str]:
    """The words of a bundle's files; one word when it is whole."""
    files = ["onnx/model.onnx", "config.json", "bundle.json"]
    return {(folder / file).read_text()[:3] for file in files} if folder.is_dir() else {"none"}


def run_export(target: Path, word: str) -> None:
    with store.publishing(target) as stage:
        fill(stage, word)


def test_new_bundle(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "model"
    run_export(target, "new")
    assert content(target) == {"new"}
    assert names(target.parent) == ["model"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_replaced_bundle(tmp_path: Path) -> None:
    target = tmp_path / "model"
    fill(target, "old")
    (target / "onnx" / "model_q4.onnx").write_text("a file the new bundle has not")
    run_export(target, "new")
    assert content(target) == {"new"}
    assert not (target / "onnx" / "model_q4.onnx").exists()
    assert names(tmp_path) == ["model"]


def fail_after_filling(target: Path) -> None:
    with store.publishing(target) as stage:
        fill(stage, "new")
        raise ZeroDivisionError


def test_failed_export_leaves_the_old_bundle(tmp_path: Path) -> None:
    target = tmp_path / "model"
    fill(target, "old")
    with pytest.raises(ZeroDivisionError):
        fail_after_filling(target)
    assert content(target) == {"old"}
    assert names(tmp_path) == ["model"]


def test_manifest_is_needed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"bundle\.json"), store.publishing(tmp_path / "model") as stage:
        (stage / "config.json").write_text("{}")
    assert names(tmp_path) == []


def test_something_else_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("photos", "file"):
        with pytest.raises(StoreError, match="in the way"), store.publishing(tmp_path / name):
            pass
    run_export(tmp_path / "empty", "new")
    assert content(tmp_path / "empty") == {"new"}
    assert (tmp_path / "photos" / "me.jpg").read_text() == "x"


def test_two_exports_to_one_name(tmp_path: Path) -> None:
    with suppress(StoreError), store.publishing(tmp_path / "model") as stage:
        with pytest.raises(StoreError, match="Another process"), store.publishing(tmp_path / "model"):
            pass
        run_export(tmp_path / "other", "new")  # another name is free
        assert stage.is_dir()


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "may not be written"), (errno.EIO, "could not be written")],
)
@pytest.mark.parametrize("place", ["fill", "fsync", "swap"])
def test_disk_failures_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, place: str
) -> None:
    def fail(*_: Any) -> Any:
        raise OSError(code, os.strerror(code))

    target = tmp_path / "model"
    fill(target, "old")
    if place == "fill":
        monkeypatch.setitem(globals(), "fill", fail)
    elif place == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        rename = Path.rename
        monkeypatch.setattr(Path, "rename", lambda one, to: fail() if ".new-" in one.name else rename(one, to))
    with pytest.raises(StoreError, match=words):
        run_export(target, "new")
    monkeypatch.undo()
    assert content(target) == {"old"}
    assert names(tmp_path) == ["model"]


def _die_at(step: int, target: Path, count: Any) -> None:
    """Publishes in this process, killing it by SIGKILL just before its ``step``-th change of the disk."""
    taken = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            nonlocal taken
            taken += 1
            count.value = taken
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return run

    for name in ("rename", "unlink", "rmdir", "mkdir", "write_text", "chmod"):
        setattr(Path, name, counted(getattr(Path, name)))
    for name in ("unlink", "rmdir", "fsync"):  # the first two are what shutil.rmtree calls
        setattr(os, name, counted(getattr(os, name)))
    run_export(target, "new")


@needs_fork
def test_killed_at_every_step(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    count = context.Value("i", 0)
    seen = []
    for step in range(1, 200):
        target = tmp_path / str(step) / "model"
        fill(target, "old")
        process = context.Process(target=_die_at, args=(step, target, count))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        left = content(target)
        if left == {"none"}:  # between the two renames; the next attempt mends it
            with suppress(StoreError), store.publishing(target):
                assert content(target) == {"old"}
            left = {"gap"}
        assert left in ({"old"}, {"new"}, {"gap"})
        seen.append(next(iter(left)))
        run_export(target, "end")  # whatever was left does not hinder the next attempt, and is gone afterwards
        assert content(target) == {"end"}
        assert names(target.parent) == ["model"]
    else:
        pytest.fail("the export never came to its end")
    assert len(seen) > 10
    assert {"old", "new"} <= set(seen)
    assert seen == sorted(seen, key=["old", "gap", "new"].index)  # old first, then new, never back
    assert seen.count("gap") == 1, "one step of all: the second rename"


def test_a_folder_that_may_not_be_replaced_stays(tmp_path: Path) -> None:
    target = tmp_path / "model"
    fill(target, "old")
    with pytest.raises(StoreError, match="there already"), store.publishing(target, replace=False) as stage:
        fill(stage, "new")
    assert content(target) == {"old"}
    assert names(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_swept_away_a_day_later(tmp_path: Path) -> None:
    for name, age in ((".a.new-1", 25 * 3600), (".b.gone-1", 25 * 3600), (".c.new-1", 60), (".model.new-1", 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    run_export(tmp_path / "model", "new")
    assert names(tmp_path) == [".c.new-1", "model"]


class TestRemove:
    def test_nothing_is_left(self, tmp_path: Path) -> None:
        fill(tmp_path / "model", "old")
        store.remove(tmp_path / "model")
        assert names(tmp_path) == []

    def test_of_a_link_only_the_link_goes(self, tmp_path: Path) -> None:
        fill(tmp_path / "elsewhere/model", "old")
        (tmp_path / "linked").symlink_to(tmp_path / "elsewhere/model")
        store.remove(tmp_path / "linked")
        assert names(tmp_path) == ["elsewhere"]
        assert content(tmp_path / "elsewhere/model") == {"old"}

    def test_it_is_gone_even_where_its_files_cannot_be_deleted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        fill(tmp_path / "model", "old")
        monkeypatch.setattr("shutil.rmtree", refuse)
        with pytest.raises(StoreError, match="Permission denied"):
            store.remove(tmp_path / "model")
        assert not (tmp_path / "model").exists()

    def test_what_cannot_be_moved_stays_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path / "model", "old")
        monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EBUSY, "in use")))
        with pytest.raises(StoreError, match="in use"):
            store.remove(tmp_path / "model")
        assert content(tmp_path / "model") == {"old"}
        assert names(tmp_path) == ["model"]
