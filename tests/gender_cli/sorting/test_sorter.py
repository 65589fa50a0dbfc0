"""Sorting: where pictures go, that nothing is ever overwritten, and that a second run goes on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.gender_cli.jsonl import WriteError
from gender_classifier.gender_cli.sorting import sorter, transfer
from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from gender_classifier.runtime.errors import OptionError
from gender_classifier.runtime.prediction import Prediction, Status
from support.sorting import (
    MODES,
    TREE,
    Tree,
    classified,
    grow,
    mounted,
    placed,
    posix,
    predict,
    random_trees,
    run_sort,
    snapshot,
    sort,
    two_places,
)

# ruff: noqa: PTH211


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


def test_hard_links_across_file_systems_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    here, there = two_places(tmp_path)
    try:
        grow(here / "src", TREE)
        with pytest.raises(OptionError, match="one file system"):
            run_sort(classified(here / "src"), SortOptions(str(here / "src"), str(there / "x/y"), "hardlink"))
        assert not (there / "x").exists()
    finally:
        shutil.rmtree(there)


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


def test_a_full_disk_ends_the_sort_and_it_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", TREE)
    before = snapshot(tmp_path)
    copy = transfer._copy_content
    room = [3]

    def full(source: Any, target: Any) -> None:
        if not room[0]:
            target.write(b"part")
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        copy(source, target)

    monkeypatch.setattr(transfer, "_copy_content", full)
    with pytest.raises(WriteError, match="No space left"):
        sort(tmp_path)
    assert len(placed(tmp_path)) == 3
    monkeypatch.undo()
    assert sort(tmp_path).placed.total() == 7
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_real_full_disk_ends_the_sort_at_once(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {f"{number:02}.jpg": ("female", b"%03d" % number * 30_000) for number in range(30)})
    before = snapshot(tmp_path / "src")
    sentences: list[str] = []
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", at=tmp_path / "tiny") as tiny:
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


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_a_read_only_part_of_the_source_costs_its_pictures_and_not_the_run(tmp_path: Path, mode: str) -> None:
    tree: Tree = {f"{folder}/{folder}.jpg": ("female", folder.encode()) for folder in "abc"}
    grow(tmp_path / "src", tree)
    (tmp_path / "card").mkdir()
    (tmp_path / "src/b/b.jpg").rename(tmp_path / "card/b.jpg")
    before = snapshot(tmp_path / "card")
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), mode)
    with mounted("--bind", str(tmp_path / "card"), at=tmp_path / "src/b") as card:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(card)], check=True)
        for _ in range(2):
            tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
            assert tally.placed["woman"] == (3 if mode == "copy" else 2)
            assert tally.left == ({} if mode == "copy" else {"not_placed": 1})
            assert placed(tmp_path) == {"woman/a.jpg", "woman/c.jpg", *(["woman/b.jpg"] if mode == "copy" else [])}
        if mode == "move":
            assert f"{card}/b.jpg cannot be put into woman: it may not be deleted" in sentences[0]
            assert os.strerror(errno.EROFS) in sentences[0]
        assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path / "card") == before


def test_a_read_only_destination_ends_the_run(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("female", b"2")})
    (tmp_path / "dst/woman").mkdir(parents=True)
    (tmp_path / "shelf").mkdir()
    before = snapshot(tmp_path / "src")
    with mounted("--bind", str(tmp_path / "shelf"), at=tmp_path / "dst/woman") as shelf:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(shelf)], check=True)
        for mode in ("copy", "move", "symlink"):
            sentences: list[str] = []
            journal = str(tmp_path / f"{mode}.jsonl")
            options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), mode, journal=journal)
            with pytest.raises(WriteError, match="Read-only file system"):
                run_sort(classified(tmp_path / "src"), options, report=sentences.append)
            assert sentences == []
            assert snapshot(tmp_path / "src") == before


@posix
@pytest.mark.parametrize(("whose", "ends"), [("src/b/b.jpg", False), ("dst/woman/b.jpg", True)])
def test_a_folder_that_refuses_ends_the_run_only_if_it_is_the_destinations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str, ends: bool
) -> None:
    grow(tmp_path / "src", {f"{folder}/{folder}.jpg": ("female", folder.encode()) for folder in "abc"})
    before = snapshot(tmp_path / "src")
    link = os.link

    def refused(src: str, dst: str, **options: Any) -> None:
        if whose == "src/b/b.jpg" and str(src).endswith(whose):
            raise PermissionError(errno.EACCES, "Permission denied", src)
        if str(dst).endswith(whose):
            raise PermissionError(errno.EACCES, "Permission denied", src, None, dst)
        link(src, dst, **options)

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(transfer, "_NO_LINKS", frozenset())
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), "move")
    if ends:
        with pytest.raises(WriteError, match="Permission denied"):
            run_sort(classified(tmp_path / "src"), options)
    else:
        assert run_sort(classified(tmp_path / "src"), options).placed == {"woman": 2}
    monkeypatch.undo()
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path / "src") == before


def test_a_plan_that_cannot_be_shown_is_not_a_picture_that_cannot_be_put_anywhere(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    left: list[str] = []

    def closed(line: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), dry_run=True)
    with pytest.raises(BrokenPipeError):
        run_sort(classified(tmp_path / "src"), options, plan=closed, report=left.append)
    assert left == []
