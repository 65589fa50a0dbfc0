"""Sorting: where pictures go, that nothing is ever overwritten, and that undo puts everything back."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli.jsonl import WriteError
from gender_classifier.gender_cli.sorting import sorter, transfer
from gender_classifier.gender_cli.sorting.command import SortOptions, SortTally, run_sort, undo
from gender_classifier.gender_cli.sorting.journal import Journal
from gender_classifier.gender_cli.sorting.journal_format import Header, State
from gender_classifier.gender_cli.sorting.naming import numbered
from gender_classifier.runtime.errors import OptionError
from gender_classifier.runtime.prediction import Prediction, Status
from support.sorting import JOURNAL, Tree, classified, grow, predict, random_trees, snapshot

MODES = ("copy", "move", "hardlink", "symlink")

# ruff: noqa: PTH116, PTH211
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        yield


def sort(root: Path, mode: str = "copy", **options: Any) -> SortTally:
    return run_sort(classified(root / "src"), SortOptions(str(root / "src"), str(root / "dst"), mode, **options))


def placed(root: Path) -> set[str]:
    return {name for name, what in snapshot(root / "dst").items() if what != "folder"}


TREE: Tree = {
    "a.jpg": ("female", b"1"),
    "b/a.jpg": ("female", b"2"),
    "b/same.jpg": ("male", b"3"),
    "c/same.jpg": ("male", b"3"),
    "d.jpg": ("uncertain", b""),
    "e.jpg": ("unreadable", b""),
    "f.jpg": ("no_face", b""),
    "g.jpg": ("mixed", b""),
}


@pytest.mark.parametrize("mode", MODES)
def test_pictures_go_where_their_answers_say(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", TREE)
    tally = sort(tmp_path, mode)
    assert placed(tmp_path) == {
        "woman/a.jpg",
        "woman/a (2).jpg",
        "man/same.jpg",
        "uncertain/d.jpg",
        "failed/e.jpg",
        "no-face/f.jpg",
        "mixed/g.jpg",
    }
    assert tally.placed == {"woman": 2, "man": 1, "mixed": 1, "uncertain": 1, "no-face": 1, "failed": 1}
    assert (tally.equal, tally.failed, tally.total, tally.exit_code) == (1, 1, 8, 1)
    remaining = {str(path.relative_to(tmp_path / "src")) for path in (tmp_path / "src").rglob("*.jpg")}
    assert remaining == ({"c/same.jpg"} if mode == "move" else set(TREE))


def test_names_and_tree(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    names = {"female": "femmes", "failed": "rest", "no_face": "landscapes"}
    sort(tmp_path, keep_tree=True, names=names)
    assert placed(tmp_path) == {
        "femmes/a.jpg",
        "femmes/b/a.jpg",
        "mixed/g.jpg",
        "man/b/same.jpg",
        "man/c/same.jpg",
        "uncertain/d.jpg",
        "rest/e.jpg",
        "landscapes/f.jpg",
    }


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/a", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="cannot be the name"):
        SortOptions("src", "dst", names={"female": name})


def test_a_mode_that_is_none() -> None:
    with pytest.raises(OptionError, match="teleport"):
        SortOptions("src", "dst", "teleport")


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_times_and_permissions_are_kept(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b""), "ab.jpg": ("female", b"2")})
    before = {path.name: path.stat() for path in (tmp_path / "src").iterdir()}
    sort(tmp_path, mode)
    for name, info in before.items():
        now = (tmp_path / "dst/woman" / name).stat()
        assert (now.st_mtime_ns, now.st_mode) == (info.st_mtime_ns, info.st_mode)


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


@given(tree=random_trees(), mode=st.sampled_from(MODES), keep_tree=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_dry_run_writes_nothing_and_tells_what_will_happen(tree: Tree, mode: str, keep_tree: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        grow(root / "src", tree)
        before = snapshot(root)
        options = SortOptions(str(root / "src"), str(root / "dst"), mode, keep_tree=keep_tree, dry_run=True)
        plan: list[str] = []
        tally = run_sort(classified(root / "src"), options, plan=plan.append)
        assert snapshot(root) == before
        assert not (root / "dst").exists()
        done: list[str] = []
        options = SortOptions(str(root / "src"), str(root / "dst"), mode, keep_tree=keep_tree)
        assert run_sort(classified(root / "src"), options, plan=done.append) == tally
        assert plan == done
        assert all("\n" not in line for line in plan)


@given(tree=random_trees(), there=random_trees(), mode=st.sampled_from(MODES))
@settings(max_examples=60, deadline=None)
def test_nothing_that_was_there_is_ever_overwritten(tree: Tree, there: Tree, mode: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        grow(root / "src", tree)
        grow(root / "dst", {f"woman/{path}": answer for path, answer in there.items()})
        grow(root / "dst/man", {path.replace("/", "-"): answer for path, answer in there.items()})
        before = snapshot(root / "dst")
        sources = snapshot(root / "src")
        sort(root, mode)
        after = snapshot(root / "dst")
        assert {path: what for path, what in after.items() if path in before} == before
        contents = {what[0] for what in sources.values() if what != "folder"}
        if mode in ("copy", "move"):
            left = {what[0] for what in snapshot(root / "src").values() if what != "folder"}
            there_now = {what[0] for what in after.values() if what != "folder"}
            assert contents <= left | there_now, "no content is ever lost"
        assert undo(str(root / "dst")).left == 0
        assert snapshot(root / "dst") == before
        assert snapshot(root / "src") == sources


@pytest.mark.parametrize("mode", MODES)
def test_an_intent_is_on_the_disk_before_the_first_step(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    journal = tmp_path / "dst" / JOURNAL
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        if journal.exists() and os.fstat(descriptor).st_ino == journal.stat().st_ino:
            synced[:] = [journal.stat().st_size]

    def checked(name: str) -> Any:
        call = getattr(os, name)

        def step(*paths: str, **options: Any) -> None:
            for path in paths:
                if path.endswith(".jpg"):
                    on_disk = journal.read_bytes()[: synced[0]].decode()
                    assert f'"src": "{Path(path).name}"' in on_disk
                    steps.append(name)
            call(*paths, **options)

        return step

    steps: list[str] = []
    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("link", "symlink", "unlink", "replace"):
        monkeypatch.setattr(os, name, checked(name))
    sort(tmp_path, mode)
    assert {"copy": "link", "move": "unlink", "hardlink": "link", "symlink": "symlink"}[mode] in steps


@pytest.mark.parametrize("mode", MODES)
def test_a_link_to_nothing_and_a_folder_keep_their_names(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("female", b"2")})
    (tmp_path / "dst/woman/b.jpg").mkdir(parents=True)
    (tmp_path / "dst/woman/a.jpg").symlink_to("nowhere")
    before = snapshot(tmp_path)
    assert sort(tmp_path, mode).placed == {"woman": 2}
    assert placed(tmp_path) == {"woman/a.jpg", "woman/a (2).jpg", "woman/b (2).jpg"}
    assert not (tmp_path / "dst/woman/nowhere").exists()
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


def test_a_name_that_is_always_taken_ends_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})

    def never(src: str, dst: str) -> None:
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", never)
    assert sort(tmp_path, "move").left == {"not_placed": 1}
    assert (tmp_path / "src/a.jpg").exists()


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_name_taken_by_somebody_else_in_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, links: bool
) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"mine")})
    link = os.link
    rival = tmp_path / "dst/woman/a.jpg"

    def slow_link(src: str, dst: str, **options: Any) -> None:
        if not rival.exists():
            rival.write_bytes(b"theirs")
        if not links:
            raise OSError(errno.EPERM, "Operation not permitted")
        link(src, dst, **options)

    monkeypatch.setattr(os, "link", slow_link)
    tally = sort(tmp_path, mode)
    assert rival.read_bytes() == b"theirs"
    assert (tmp_path / "dst/woman/a (2).jpg").read_bytes() == b"female mine"
    assert tally.placed == {"woman": 1}
    assert placed(tmp_path) == {"woman/a.jpg", "woman/a (2).jpg"}
    assert undo(str(tmp_path / "dst")).left == 0
    assert rival.read_bytes() == b"theirs"
    assert (tmp_path / "src/a.jpg").read_bytes() == b"female mine"


def two_places(tmp_path: Path) -> tuple[Path, Path]:
    memory = Path("/dev/shm")
    if not memory.is_dir() or os.stat(memory).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    return tmp_path, Path(tempfile.mkdtemp(dir=memory))


@pytest.mark.parametrize("mode", ["copy", "move", "symlink"])
@pytest.mark.parametrize("back", [False, True])
def test_between_two_real_file_systems(tmp_path: Path, mode: str, back: bool) -> None:
    here, there = two_places(tmp_path)
    try:
        if back:
            here, there = there, here
        grow(here / "src", TREE)
        before, empty = snapshot(here), snapshot(there)
        options = SortOptions(str(here / "src"), str(there / "dst"), mode)
        tally = run_sort(classified(here / "src"), options)
        assert tally.placed == {"woman": 2, "man": 1, "mixed": 1, "uncertain": 1, "no-face": 1, "failed": 1}
        if mode == "move":
            moved = (there / "dst/woman/a.jpg").stat()
            assert (moved.st_mtime_ns, stat.S_IMODE(moved.st_mode)) == before["src/a.jpg"][2:0:-1]
            assert {path.name for path in (here / "src").rglob("*.jpg")} == {"same.jpg"}
        assert undo(str(there / "dst")).left == 0
        assert snapshot(here) == before
        assert snapshot(there) == empty
    finally:
        for place in (here, there):
            if place.parent == Path("/dev/shm"):
                shutil.rmtree(place)


def test_hard_links_across_file_systems_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    here, there = two_places(tmp_path)
    try:
        grow(here / "src", TREE)
        with pytest.raises(OptionError, match="one file system"):
            run_sort(classified(here / "src"), SortOptions(str(here / "src"), str(there / "x/y"), "hardlink"))
        assert not (there / "x").exists()
    finally:
        shutil.rmtree(there)


def across(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_device(src: str, dst: str, **options: Any) -> None:
        if ("/src/" in str(src)) != ("/src/" in str(dst)):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        original[0](src, dst, **options)

    original = [os.link]
    monkeypatch.setattr(os, "link", other_device)
    monkeypatch.setattr(os, "replace", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EXDEV, "cross-device")))


def test_a_copy_that_does_not_read_back_equal_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    before = snapshot(tmp_path / "src")
    across(monkeypatch)
    copy = shutil.copyfileobj

    def damaged(source: Any, target: Any, *rest: Any) -> None:
        copy(source, target, *rest)
        if "a.jpg" in source.name:
            target.write(b"!")

    monkeypatch.setattr(shutil, "copyfileobj", damaged)
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), "move")
    tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
    assert tally.left == {"not_placed": 1}
    assert "a.jpg" in sentences[0]
    assert "changed" in sentences[0]
    assert snapshot(tmp_path / "src") == {"a.jpg": before["a.jpg"]}
    assert placed(tmp_path) == {"man/b.jpg"}, "no part of the copy is left"
    assert sort(tmp_path, "move").exit_code == 1  # the damage goes on; once it ends, the picture is taken
    monkeypatch.setattr(shutil, "copyfileobj", copy)
    assert sort(tmp_path, "move").placed == {"man": 1, "woman": 1}


@pytest.mark.skipif(not hasattr(os, "chown"), reason="needs POSIX owners")
def test_the_owner_is_kept_where_that_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    try:
        os.chown(tmp_path / "src/a.jpg", 12345, 54321)
    except OSError:
        pytest.skip("only root may give files away")
    across(monkeypatch)
    sort(tmp_path, "move")
    moved = (tmp_path / "dst/woman/a.jpg").stat()
    assert (moved.st_uid, moved.st_gid) == (12345, 54321)


def test_a_file_system_without_permissions_keeps_the_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    before = (tmp_path / "src/a.jpg").stat()

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    assert sort(tmp_path).placed == {"woman": 1}
    assert (tmp_path / "dst/woman/a.jpg").stat().st_mtime_ns == before.st_mtime_ns


def test_a_bad_sector_under_one_picture_does_not_end_the_sort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    read = sorter.digest

    def bad(path: str) -> str:
        if path.endswith("src/a.jpg"):
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(sorter, "digest", bad)
    tally = sort(tmp_path, "move")
    assert tally.placed == {"man": 1}
    assert tally.left == {"not_placed": 1}
    assert (tmp_path / "src/a.jpg").exists()


def test_a_source_that_cannot_be_deleted_is_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    before = snapshot(tmp_path / "src")
    unlink = os.unlink

    def refuse(path: str, **options: Any) -> None:
        if str(path).endswith("src/a.jpg"):
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    tally = sort(tmp_path, "move")
    assert (tally.left, tally.exit_code) == ({"not_placed": 1}, 1)
    assert snapshot(tmp_path / "src") == before
    assert placed(tmp_path) == set()


def test_a_full_disk_ends_the_sort_and_it_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", TREE)
    before = snapshot(tmp_path)
    copy = shutil.copyfileobj
    room = [3]

    def full(source: Any, target: Any, *rest: Any) -> None:
        if not room[0]:
            target.write(b"part")
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        copy(source, target, *rest)

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(WriteError, match="No space left"):
        sort(tmp_path)
    assert len(placed(tmp_path)) == 3
    monkeypatch.undo()
    assert sort(tmp_path).placed.total() == 7
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


@posix
def test_a_write_that_takes_only_a_part_is_gone_on_with(tmp_path: Path) -> None:
    import resource

    grow(tmp_path / "src", {"a.jpg": ("female", b"1" * 200_000), "b.jpg": ("male", b"2")})
    sentences: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the first write is cut short, the next one fails
    try:
        options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"))
        tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tally.placed, tally.left) == ({"man": 1}, {"not_placed": 1})
    assert os.strerror(errno.EFBIG) in sentences[0]
    assert placed(tmp_path) == {"man/b.jpg"}
    assert sort(tmp_path).placed == {"woman": 1, "man": 1}


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_real_full_disk_ends_the_sort_at_once(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {f"{number:02}.jpg": ("female", b"%03d" % number * 30_000) for number in range(30)})
    before = snapshot(tmp_path / "src")
    sentences: list[str] = []
    with tiny_disk(tmp_path / "tiny") as tiny:
        options = SortOptions(str(tmp_path / "src"), str(tiny / "dst"), mode)
        with pytest.raises(WriteError, match="No space left"):
            run_sort(classified(tmp_path / "src"), options, report=sentences.append)
        assert sentences == [], "the disk is to blame, not a picture"
        there = sorted(path.name for path in (tiny / "dst/woman").iterdir())
        assert there == [f"{number:02}.jpg" for number in range(len(there))], "whole pictures, without a gap"
        assert 5 < len(there) < 12
        with pytest.raises(WriteError, match="No space left"):
            run_sort(classified(tmp_path / "src"), options)
        assert undo(str(tiny / "dst")).left == 0
        assert snapshot(tmp_path / "src") == before
        assert list(tiny.iterdir()) == []


@pytest.mark.parametrize("change", ["written to", "replaced"])
@pytest.mark.parametrize("two_systems", [False, True])
def test_a_source_that_changes_before_it_would_be_deleted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_systems: bool, change: str
) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    picture = tmp_path / "src/a.jpg"
    if two_systems:
        across(monkeypatch)
    delete = transfer._delete_or_withdraw

    def edited(src: str, dst: str, *rest: Any, **options: Any) -> None:
        if src == str(picture):
            if change == "replaced":
                (tmp_path / "src/new").write_bytes(b"female new")
                (tmp_path / "src/new").rename(picture)
            else:
                picture.chmod(0o600)
                picture.write_bytes(b"female new")
        delete(src, dst, *rest, **options)

    monkeypatch.setattr(transfer, "_delete_or_withdraw", edited)
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), "move")
    tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
    assert picture.read_bytes() == b"female new"
    assert (tally.placed, tally.left) == ({"man": 1}, {"not_placed": 1})
    assert "a.jpg cannot be put into woman: it changed while it was being moved" in sentences[0]
    assert placed(tmp_path) == {"man/b.jpg"}, "the copy of what it was is gone"


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
    assert undo(str(tmp_path / "dst" / JOURNAL)).left == 0
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


def test_a_destination_inside_the_source_is_not_sorted_again(tmp_path: Path) -> None:
    from gender_classifier.gender_cli.inputs import expand

    grow(tmp_path / "src", TREE)
    inner = tmp_path / "src/sorted"
    for _ in range(2):
        inner.mkdir(exist_ok=True)
        items = expand([str(tmp_path / "src")], recursive=True, exclude=[str(inner)])
        pairs = [(item.path, predict(item.path)) for item in items]
        tally = run_sort(pairs, SortOptions(str(tmp_path / "src"), str(inner), "copy"))
        assert tally.total == 8


def test_source_and_destination_must_be_two_folders(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    (tmp_path / "link").symlink_to(tmp_path / "src")
    (tmp_path / "file").touch()
    for source, destination in [("src", "src"), ("src", "link"), ("nowhere", "dst"), ("src", "file")]:
        with pytest.raises(OptionError):
            run_sort([], SortOptions(str(tmp_path / source), str(tmp_path / destination)))
    with pytest.raises(OptionError, match="not in"):
        run_sort(
            [(str(tmp_path / "file"), Prediction.failed("x", Status.UNREADABLE, ""))],
            SortOptions(str(tmp_path / "src"), str(tmp_path / "dst")),
        )


def test_a_folder_name_that_a_file_has(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"")})
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst/woman").touch()
    with pytest.raises(WriteError, match="--names"):
        sort(tmp_path)


@posix
def test_what_is_no_file_stays_and_links_are_not_moved(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    os.mkfifo(tmp_path / "src/fifo")
    os.symlink("a.jpg", tmp_path / "src/z.jpg")
    predictions = [
        (str(tmp_path / "src/fifo"), Prediction.failed("fifo", Status.NOT_A_FILE, "It is a FIFO.")),
        (str(tmp_path / "src/gone.jpg"), Prediction.failed("gone", Status.NOT_FOUND, "It is gone.")),
        (str(tmp_path / "src/z.jpg"), predict(str(tmp_path / "src/z.jpg"))),
    ]
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), "move")
    tally = run_sort(predictions, options, report=sentences.append)
    assert tally.left == {"not_a_file": 1, "not_found": 1, "symbolic_link": 1}
    assert len(sentences) == 3
    assert placed(tmp_path) == set()
    for mode in ("copy", "hardlink", "symlink"):
        target = tmp_path / mode
        run_sort(predictions[2:], SortOptions(str(tmp_path / "src"), str(target), mode))
        assert (target / "woman/z.jpg").read_bytes() == b"female 1"
        assert (target / "woman/z.jpg").is_symlink() == (mode == "symlink")
        assert undo(str(target)).left == 0


def test_changed_sources_are_sorted_again_and_others_are_not(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    sort(tmp_path)
    (tmp_path / "src/b.jpg").chmod(0o600)
    (tmp_path / "src/b.jpg").write_bytes(b"female now")
    asked: list[str] = []

    def predictions() -> Any:
        for path, prediction in classified(tmp_path / "src"):
            asked.append(path)
            yield path, prediction

    tally = run_sort(predictions(), SortOptions(str(tmp_path / "src"), str(tmp_path / "dst")))
    assert tally.held == 2
    assert placed(tmp_path) == {"woman/a.jpg", "man/b.jpg", "woman/b.jpg"}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_what_was_deleted_from_the_sorted_folders_is_sorted_again(tmp_path: Path, mode: str, dry_run: bool) -> None:
    grow(tmp_path / "src", TREE)
    before = snapshot(tmp_path)
    first = sort(tmp_path, mode)
    after = snapshot(tmp_path)
    assert sort(tmp_path, mode).held == 8
    (tmp_path / "dst/man/same.jpg").unlink()  # stands for b/same.jpg and, as its equal, for c/same.jpg
    again = sort(tmp_path, mode, dry_run=dry_run)
    # A moved picture is gone for good, and its equal takes its place.
    assert again.placed == {**first.placed, "man": 2 if mode == "move" else 1}
    assert (again.held, again.total) == ((7, 8) if mode == "move" else (6, 8))
    if dry_run:
        return
    if mode == "move":
        assert (tmp_path / "dst/man/same.jpg").exists()
        return
    assert snapshot(tmp_path) == after
    assert sort(tmp_path, mode).held == 8
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


def test_a_picture_that_was_brought_back_by_hand_is_moved_again(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    sort(tmp_path, "move")
    (tmp_path / "dst/woman/a.jpg").rename(tmp_path / "src/a.jpg")
    tally = sort(tmp_path, "move")
    assert (tally.placed, tally.held) == ({"woman": 1}, 0)
    result = undo(str(tmp_path / "dst"))
    assert (result.restored, result.left) == (1, 0)


def test_a_sorted_folder_that_is_away_is_not_filled_anew(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    journal = str(tmp_path / "journal.jsonl")
    sort(tmp_path, journal=journal)
    (tmp_path / "dst").rename(tmp_path / "away")
    for dry_run in (False, True):
        with pytest.raises(OptionError, match="is not there"):
            sort(tmp_path, journal=journal, dry_run=dry_run)
    assert not (tmp_path / "dst").exists()
    (tmp_path / "away").rename(tmp_path / "dst")
    assert sort(tmp_path, journal=journal).held == 8


def test_one_file_is_sorted_alone(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    path = str(tmp_path / "src/a.jpg")
    options = SortOptions(path, str(tmp_path / "dst"), "move")
    run_sort([(path, predict(path))], options)
    assert run_sort([], options).held == 1, "the same command again, though the file is not there any more"
    with pytest.raises(OptionError, match=r"SRC was .*a\.jpg then and is .*src now"):
        sort(tmp_path, "move")
    with pytest.raises(OptionError, match="no folder"):
        run_sort([], SortOptions(str(tmp_path / "src/c.jpg"), str(tmp_path / "dst"), "move"))
    assert (tmp_path / "src/b.jpg").exists()


def test_another_sort_is_not_mixed_into_a_journal(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    sort(tmp_path, model={"name": "one"})
    for options, sentence in (
        ({"mode": "move"}, "--mode was copy then and is move now"),
        ({"keep_tree": True}, "--keep-tree was off then and is on now"),
        ({"recursive": False}, "--recursive was on then and is off now"),
        ({"names": {"male": "men"}}, "--names was without these then and is male=men now"),
        ({"model": {"name": "two"}}, "the model was name=one then and is name=two now"),
        ({"model": None}, "the model was name=one then and is not given now"),
        ({"settings": {"threshold": 0.5}}, "--threshold was not given then and is 0.5 now"),
    ):
        with pytest.raises(OptionError, match=f"another sort: {sentence}"):
            sort(tmp_path, **{"model": {"name": "one"}, **options})
    other = tmp_path / "other.jsonl"
    assert sort(tmp_path, "move", journal=str(other)).equal == 8
    assert undo(str(other)).left == 0
    assert not other.exists()
    assert sort(tmp_path, model={"name": "one"}).held == 8


def test_two_sorts_cannot_use_one_journal(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    grow(tmp_path / "src", TREE)
    sort(tmp_path)
    with Journal.open(str(tmp_path / "dst" / JOURNAL)):
        with pytest.raises(OptionError, match="still running"):
            sort(tmp_path)
        with pytest.raises(OptionError, match="still running"):
            undo(str(tmp_path / "dst"))


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError("it hangs")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@posix
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_journal_that_is_no_file_is_refused_at_once(tmp_path: Path, dry_run: bool) -> None:
    grow(tmp_path / "src", TREE)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "folder").mkdir()
    before = snapshot(tmp_path / "src")
    for name in ("fifo", "link", "folder", "/dev/zero"):
        path = str(tmp_path / name)
        with within(10), pytest.raises(OptionError, match="no regular file"):
            sort(tmp_path, journal=path, dry_run=dry_run)
        with within(10), pytest.raises(OptionError, match="no journal"):
            undo(path, dry_run=dry_run)
        with within(10), pytest.raises(OptionError, match="no journal"):
            sorter.open_journal(path, write=False)
    assert not (tmp_path / "dst").exists()
    assert snapshot(tmp_path / "src") == before


@posix
def test_a_fifo_that_takes_the_journals_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    looked = os.stat

    def like_a_file(path: Any, **options: Any) -> os.stat_result:
        return looked(__file__ if str(path).endswith("fifo") else path, **options)

    monkeypatch.setattr(os, "stat", like_a_file)
    for write in (True, False):
        with within(10), pytest.raises(OptionError, match="no regular file"):
            Journal.open(str(tmp_path / "fifo"), write=write)


HEADER = Header("/src", "/dst", "copy", {"female": "f"}, settings={"threshold": 0.5, "model": "x"}, token="0a1b")


def journal_lines(tmp_path: Path) -> tuple[Path, list[str]]:
    path = tmp_path / "journal.jsonl"
    with Journal.create(str(path), HEADER) as journal:
        entry = journal.intend("a", "woman/a", sha256="0" * 64, size=1, mtime_ns=2, outcome="female")
        journal.mark(entry, State.DONE)
    return path, path.read_text(encoding="ascii").splitlines(keepends=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"journal": 2', '"journal": 1'),
        ('"journal": 2', '"journal": 3'),
        ('{"journal"', "[" * 200_000 + '{"journal"'),
        ('{"source"', "[" * 200_000 + '{"source"'),
        ('{"op": "place"', "[" * 200_000 + '{"op": "place"'),
        ('"source"', '"sauce"'),
        ('"source": "/src"', '"source": 1'),
        ('"source": "/src"', '"source": "/\\u0000"'),
        ('"source": "/src"', '"source": "/\\ud800"'),
        ('"mode": "copy"', '"mode": ["copy"]'),
        ('"names": {"female": "f"}', '"names": []'),
        ('"names": {"female": "f"}', '"names": {"female": 1}'),
        ('"start": ""', '"start": ".."'),
        ('"start": ""', '"start": "a/b"'),
        ('"recursive": true', '"recursive": 1'),
        ('"threshold": 0.5', '"threshold": "0.5"'),
        ('"threshold": 0.5', '"threshold": NaN'),
        ('"threshold": 0.5', '"threshold": 1e999'),
        ('"threshold": 0.5', '"treshold": 0.5'),
        ('"model": "x"', '"model": "\\u0000"'),
        ('"model": null', '"model": "x"'),
        ('"token": "0a1b"', '"token": "/../../x"'),
        ('"made": []', '"made": ["/etc"]'),
        ('"made": []', '"made": 1'),
        ('"size": 1', '"size": 1e999'),
        ('"size": 1', '"size": true'),
        ('"size": 1', '"size": ' + "9" * 30),
        ('"size": 1', '"size": ' + "9" * 9_999),
        ('"mtime_ns": 2', '"mtime_ns": Infinity'),
        ('"sha256": "0', '"sha256": "'),
        ('"outcome": "female"', '"outcome": []'),
        ('"src": "a"', '"src": "\\ud800"'),
        ('"src": "a"', '"src": {}'),
        ('"op": "done", "id": 0', '"op": "done", "id": -1'),
        ('"op": "done", "id": 0', '"op": "done", "id": 1e999'),
        ('"op": "done", "id": 0', '"op": {}, "id": 0'),
        ('{"op": "done", "id": 0}', "[]"),
        ('{"op": "done", "id": 0}', '{"op": "mkdir", "path": "../x"}'),
        ('{"op": "done", "id": 0}', '{"op": "mkdir", "path": 1}'),
        ('{"op": "done", "id": 0}', '{"op": "equal", "src": "a", "dst": "b"}'),
        ('{"op": "done", "id": 0}\n', '{"op": "done", "id": 0}\nmy diary'),
        ('"mode": "copy"', '"mode": "shred"'),
        ('"source": "/src"', '"source": "src"'),
        ('"src": "a"', '"src": "../a"'),
        ('"src": "a"', '"src": "/etc/passwd"'),
        ('"dst": "woman/a"', '"dst": "woman/../../a"'),
        ('"op": "place"', '"op": "format"'),
        ('"op": "done", "id": 0', '"op": "done", "id": 7'),
        ('"id": 0, "src"', '"id": 1, "src"'),
        ('"size"', '"extent"'),
        ('{"op": "done"', '{"op": done'),
    ],
)
def test_a_journal_that_is_not_ours_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path, lines = journal_lines(tmp_path)
    text = "".join(lines)
    assert old in text
    path.write_text(text.replace(old, new), encoding="ascii")
    before = path.read_bytes()
    with pytest.raises(OptionError, match=re.escape(str(path))):
        undo(str(path))
    with pytest.raises(OptionError, match=re.escape(str(path))):
        Journal.create(str(path), HEADER)
    assert path.read_bytes() == before


def test_a_journal_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"journal": 1, "source": "/src"}\n', encoding="ascii")
    with pytest.raises(OptionError, match=r"a journal of version 1, and this gender-classifier reads version 2 only"):
        undo(str(path))


def test_a_file_that_is_no_journal_is_never_touched(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    like_the_first = b'{"journal": 2, "of": "gender-classifier sort"}'
    for content in (
        b"\xff\xd8\xff picture",
        b"text\n",
        b"{}\n",
        b'{"journal": 1}\n',
        b'{"journal": 1, "mine": "data"}',
        b'{"journal": 2, "mine": "data"}',
        b'{"journal": 2}',
        like_the_first + b" and my diary",
        like_the_first + b'\n{"mine": "data"}',
        like_the_first + b"\nmy diary",
        like_the_first + b'\n{"source": "/a"}\nmy diary',
        b"\0" * 2_000_000,
        b"\0" * 2_000_000 + b"data",
        b"[" * 2_000_000,
    ):
        path = tmp_path / "precious"
        path.write_bytes(content)
        with pytest.raises(OptionError):
            sort(tmp_path, journal=str(path))
        with pytest.raises(OptionError):
            undo(str(path))
        assert path.read_bytes() == content


def test_a_first_line_that_was_never_finished_is_written_again(tmp_path: Path) -> None:
    path, lines = journal_lines(tmp_path)
    start = "".join(lines[:2]).encode()
    for length in (0, 1, 20, len(lines[0]) - 1, len(lines[0]), len(lines[0]) + 1, len(lines[0]) + 40, len(start) - 1):
        for zeros in (b"", b"\0" * 50):
            path.write_bytes(start[:length] + zeros)
            with pytest.raises(FileNotFoundError):
                Journal.open(str(path))
            with Journal.create(str(path), HEADER) as journal:
                assert journal.path == str(path)
            assert path.read_bytes() == start


def test_a_torn_journal_line_is_cut_off(tmp_path: Path) -> None:
    path, lines = journal_lines(tmp_path)
    for tail in ('{"op": "pla', "\0" * 100):
        path.write_text("".join(lines) + tail, encoding="ascii")
        with Journal.open(str(path)) as journal:
            assert [entry.src for entry in journal.entries(State.DONE)] == ["a"]
        assert path.read_text(encoding="ascii") == "".join(lines)


@given(text=st.text(min_size=1) | st.binary(min_size=1).map(os.fsdecode))
def test_any_name_survives_the_journal(text: str) -> None:
    if "\0" in text or "/" in text or text in (".", ".."):
        text = "x"
    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name, "journal"))
        with Journal.create(path, Header("/src", "/dst", "copy", {"female": text})) as journal:
            journal.intend(text, f"woman/{text}", sha256="0" * 64, size=1, mtime_ns=2, outcome=text)
        with Journal.open(path) as journal:
            [entry] = journal.entries(State.OPEN)
            assert (entry.src, entry.dst, entry.outcome) == (text, f"woman/{text}", text)
            assert journal.header.names == {"female": text}
        for line in Path(path).read_bytes().splitlines():
            json.loads(line)


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


def test_numbers_in_names() -> None:
    assert numbered("a.jpg", 1) == "a.jpg"
    assert numbered("a.jpg", 2) == "a (2).jpg"
    assert numbered("archive.tar.gz", 3) == "archive.tar (3).gz"
    assert numbered(".hidden", 2) == ".hidden (2)"
    long = numbered("é" * 125 + ".jpg", 12)
    assert len(long.encode()) <= 255
    assert long.endswith(" (12).jpg")


def test_a_thousand_pictures_of_one_name_stay_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {f"{number}/1.jpg": ("female", b"%05d" % number) for number in range(1000)})
    looks = [0]
    lexists = os.path.lexists

    def counted(path: Any) -> bool:
        looks[0] += 1
        return lexists(path)

    monkeypatch.setattr(os.path, "lexists", counted)
    start = time.perf_counter()
    sort(tmp_path, "hardlink")
    assert looks[0] < 10_000, "asking for every number up to the free one would be half a million questions"
    assert len(placed(tmp_path)) == 1000
    assert time.perf_counter() - start < 60
