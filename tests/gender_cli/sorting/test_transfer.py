"""One file copied, moved or linked: what is kept, what is cleaned up, what is never touched."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.gender_cli.sorting import transfer
from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from support.sorting import (
    MODES,
    TREE,
    across,
    classified,
    grow,
    placed,
    posix,
    run_sort,
    snapshot,
    sort,
    two_places,
)


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_times_and_permissions_are_kept(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b""), "ab.jpg": ("female", b"2")})
    before = {path.name: path.stat() for path in (tmp_path / "src").iterdir()}
    sort(tmp_path, mode)
    for name, info in before.items():
        now = (tmp_path / "dst/woman" / name).stat()
        assert (now.st_mtime_ns, now.st_mode) == (info.st_mtime_ns, info.st_mode)


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


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_name_taken_by_another_program_in_the_last_moment(
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


def test_a_copy_that_does_not_read_back_equal_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    before = snapshot(tmp_path / "src")
    across(monkeypatch)
    copy, picture = transfer._copy_content, (tmp_path / "src/a.jpg").stat().st_ino

    def damaged(source: Any, target: Any) -> None:
        copy(source, target)
        if os.fstat(source.fileno()).st_ino == picture:
            target.write(b"!")

    monkeypatch.setattr(transfer, "_copy_content", damaged)
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), "move")
    tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
    assert tally.left == {"not_placed": 1}
    assert "a.jpg" in sentences[0]
    assert "changed" in sentences[0]
    assert snapshot(tmp_path / "src") == {"a.jpg": before["a.jpg"]}
    assert placed(tmp_path) == {"man/b.jpg"}, "no part of the copy is left"
    assert sort(tmp_path, "move").exit_code == 1  # the damage goes on; once it ends, the picture is taken
    monkeypatch.setattr(transfer, "_copy_content", copy)
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


@pytest.mark.parametrize("change", ["written to", "replaced"])
@pytest.mark.parametrize("two_systems", [False, True])
def test_a_source_that_changes_before_it_would_be_deleted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_systems: bool, change: str
) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    picture = tmp_path / "src/a.jpg"
    if two_systems:
        across(monkeypatch)
    delete = transfer._delete_source

    def edited(src: str, dst: str, *rest: Any, **options: Any) -> None:
        if src == str(picture):
            if change == "replaced":
                (tmp_path / "src/new").write_bytes(b"female new")
                (tmp_path / "src/new").rename(picture)
            else:
                picture.chmod(0o600)
                picture.write_bytes(b"female new")
        delete(src, dst, *rest, **options)

    monkeypatch.setattr(transfer, "_delete_source", edited)
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), "move")
    tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
    assert picture.read_bytes() == b"female new"
    assert (tally.placed, tally.left) == ({"man": 1}, {"not_placed": 1})
    assert "a.jpg cannot be put into woman: it changed while it was being moved" in sentences[0]
    assert placed(tmp_path) == {"man/b.jpg"}, "the copy of what it was is gone"
