"""Undo puts everything back, and leaves alone what changed since."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli.sorting.command import undo
from gender_classifier.gender_cli.sorting.journal import Journal
from gender_classifier.gender_cli.sorting.records import Equal, State
from support.sorting import JOURNAL, MODES, TREE, Tree, grow, posix, random_trees, snapshot, sort, within


@given(tree=random_trees(), mode=st.sampled_from(MODES), keep_tree=st.booleans())
@settings(max_examples=60, deadline=None)
def test_undo_restores_the_exact_tree(tree: Tree, mode: str, keep_tree: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        grow(root / "src", tree)
        before = snapshot(root)
        tally = sort(root, mode, keep_tree=keep_tree)
        assert tally.total == len(tree), "every picture is somewhere"
        result = undo(str(root / "dst"))
        assert (result.restored, result.left) == (tally.placed.total(), 0)
        assert snapshot(root) == before


@pytest.mark.parametrize("mode", MODES)
def test_undo_leaves_alone_what_changed_since(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {name: ("female", name.encode()) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")})
    sort(tmp_path, mode)
    woman = tmp_path / "dst/woman"
    for name in ("a.jpg", "b.jpg"):
        (woman / name).unlink()
    (woman / "a.jpg").write_bytes(b"edited")
    (woman / "mine.txt").write_text("mine")
    if mode == "move":
        (tmp_path / "src/c.jpg").write_bytes(b"new")
    else:
        (tmp_path / "src/c.jpg").unlink()
    sentences: list[str] = []
    result = undo(str(tmp_path / "dst"), report=sentences.append)
    assert (woman / "a.jpg").read_bytes() == b"edited"
    assert (woman / "mine.txt").exists()
    assert not (woman / "d.jpg").exists()
    assert (tmp_path / "src/d.jpg").read_bytes() == b"female d.jpg"
    expected = {"copy": 2, "move": 3, "hardlink": 2, "symlink": 1}[mode]
    # A symbolic link whose target is gone holds nothing. A moved file that is gone cannot be put back.
    assert result.left == len(sentences) == expected
    assert sum("a.jpg" in sentence for sentence in sentences) == 1
    if mode in ("copy", "hardlink"):
        assert (woman / "c.jpg").read_bytes() == b"female c.jpg", "the only copy left is never deleted"
    if mode == "move":
        assert (tmp_path / "src/c.jpg").read_bytes() == b"new"
        (tmp_path / "src/c.jpg").unlink()
        assert undo(str(tmp_path / "dst")).restored == 1, "the journal is kept for another try"
        assert (tmp_path / "src/c.jpg").read_bytes() == b"female c.jpg"
    assert (tmp_path / "dst" / JOURNAL).exists()


def test_undo_makes_folders_again_that_were_deleted_since(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"x/y/a.jpg": ("female", b"1")})
    before = snapshot(tmp_path)
    sort(tmp_path, "move")
    shutil.rmtree(tmp_path / "src/x")
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


def test_undo_as_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    sort(tmp_path, "move")
    after = snapshot(tmp_path)
    journal = (tmp_path / "dst" / JOURNAL).read_bytes()
    plan: list[str] = []
    assert undo(str(tmp_path / "dst"), dry_run=True, plan=plan.append).restored == len(plan) == 7
    assert snapshot(tmp_path) == after
    assert (tmp_path / "dst" / JOURNAL).read_bytes() == journal


@posix
def test_names_of_any_bytes_are_sorted_and_put_back(tmp_path: Path) -> None:
    names = [b"\xff.jpg", b"new\nline.jpg", "\U0001f600.jpg".encode(), b"=cmd.jpg", b"-rf.jpg", b"a" * 251 + b".jpg"]
    grow(tmp_path / "src", {os.fsdecode(name): ("female", name) for name in names})
    grow(tmp_path / "dst/woman", {os.fsdecode(names[-1]): ("female", b"other")})
    before = snapshot(tmp_path)
    sort(tmp_path, "move")
    there = {os.fsencode(path.name) for path in (tmp_path / "dst/woman").iterdir()}
    assert there == {*names, b"a" * 247 + b" (2).jpg"}
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


@posix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ["src", "dst"])
def test_a_fifo_in_a_pictures_place_is_never_opened(tmp_path: Path, mode: str, end: str) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("female", b"2")})
    sort(tmp_path, mode)
    place = tmp_path / ("src" if end == "src" else "dst/woman") / "a.jpg"
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    sentences: list[str] = []
    with within(10):
        result = undo(str(tmp_path / "dst"), report=sentences.append)
    if (mode, end) == ("symlink", "src"):  # a link holds nothing
        assert result.left == 0
        return
    assert (result.restored, result.left) == (1, 1)
    assert "woman/a.jpg" in sentences[0]
    assert stat.S_ISFIFO(place.lstat().st_mode)


@posix
@pytest.mark.parametrize("state", [State.OPEN, State.UNDOING])
@pytest.mark.parametrize("end", ["src", "dst"])
def test_nor_is_one_that_is_met_when_a_kill_is_recovered(tmp_path: Path, state: State, end: str) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    sort(tmp_path, "move")
    with Journal.open(str(tmp_path / "dst" / JOURNAL)) as journal:
        [entry] = journal.entries(State.DONE)
        journal.mark(entry, State.UNDOING)
        if state is State.OPEN:
            journal.mark(entry, State.UNDONE)
            journal.intend(Equal(entry.src, entry.dst, entry.size, entry.mtime_ns, "female"), entry.sha256)
    content = (tmp_path / "dst/woman/a.jpg").read_bytes()
    if end == "dst":
        (tmp_path / "dst/woman/a.jpg").rename(tmp_path / "src/a.jpg")
    os.mkfifo(tmp_path / "src/a.jpg" if end == "src" else tmp_path / "dst/woman/a.jpg")
    with within(10):
        undo(str(tmp_path / "dst"))
        sort(tmp_path, "move")
    assert content in {path.read_bytes() for path in tmp_path.rglob("a*.jpg") if path.is_file()}


@posix
def test_a_device_in_a_pictures_place_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some devices act when they are opened: a tape rewinds."""
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    sort(tmp_path)
    (tmp_path / "dst/woman/a.jpg").unlink()
    try:
        os.mknod(tmp_path / "dst/woman/a.jpg", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError:
        pytest.skip("only root may make a device")
    opened = os.open

    def watched(path: Any, *rest: Any, **options: Any) -> int:
        assert "woman/a.jpg" not in str(path)
        return opened(path, *rest, **options)

    monkeypatch.setattr(os, "open", watched)
    assert undo(str(tmp_path / "dst")).left == 1


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_file_that_was_changed_before_a_kill_was_recovered_is_not_ours_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "mark", killed)
        with pytest.raises(Killed):
            sort(tmp_path, mode)
    placed = tmp_path / "dst/woman/a.jpg"
    placed.unlink()
    placed.write_bytes(b"edited")
    assert undo(str(tmp_path / "dst")).left == 0
    assert placed.read_bytes() == b"edited"
