"""What a copy takes with it; who may read it meanwhile; what is reported when it cannot be cleaned up."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.gender_cli.sorting import transfer
from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from gender_classifier.runtime.prediction import Person, Prediction
from support.sorting import (
    JOURNAL,
    MODES,
    Tree,
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

ONE: Tree = {"a.jpg": ("female", b"1")}
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
pytestmark = posix


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o1644, 0o7777])
def test_a_copy_takes_no_privileges_with_it(tmp_path: Path, bits: int) -> None:
    """A copy belongs to whoever makes it: one by root of a set-user-ID file would run as root."""
    grow(tmp_path / "src", ONE)
    (tmp_path / "src/a.jpg").chmod(bits)
    if not mode_of(tmp_path / "src/a.jpg") & 0o7000:
        pytest.skip("this file system has no such bits")
    sort(tmp_path)
    assert mode_of(tmp_path / "dst/woman/a.jpg") == bits & 0o777
    assert undo(str(tmp_path / "dst")).left == 0


@root
@pytest.mark.parametrize("kept", [True, False])
def test_a_move_keeps_them_only_with_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    grow(tmp_path / "src", ONE)
    os.chown(tmp_path / "src/a.jpg", 12345, 54321)
    (tmp_path / "src/a.jpg").chmod(0o4755)
    before = snapshot(tmp_path / "src")
    across(monkeypatch)
    if not kept:

        def refuse(*_: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "fchown", refuse)
    sort(tmp_path, "move")
    moved = (tmp_path / "dst/woman/a.jpg").stat()
    assert (moved.st_uid, stat.S_IMODE(moved.st_mode)) == ((12345, 0o4755) if kept else (0, 0o755))
    if kept:
        assert undo(str(tmp_path / "dst")).left == 0
        assert snapshot(tmp_path / "src") == before


@root
def test_file_capabilities_are_not_copied_and_the_users_own_attributes_are(tmp_path: Path) -> None:
    grow(tmp_path / "src", ONE)
    picture = tmp_path / "src/a.jpg"
    # VFS_CAP_REVISION_2, effective, cap_setuid permitted: see capabilities(7)
    capability = b"\x01\x00\x00\x02\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    try:
        os.setxattr(picture, "security.capability", capability)
        os.setxattr(picture, "user.rating", b"5")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    sort(tmp_path)
    assert os.listxattr(tmp_path / "dst/woman/a.jpg") == ["user.rating"]
    assert os.getxattr(tmp_path / "dst/woman/a.jpg", "user.rating") == b"5"


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_only_the_owner_reads_a_copy_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1" * 300_000)})
    (tmp_path / "src/a.jpg").chmod(0o644)
    across(monkeypatch)
    write, seen = os.write, []

    def looked_at(descriptor: int, data: bytes) -> int:
        info = os.fstat(descriptor)
        if len(data) > 4096:
            seen.append((stat.S_IMODE(info.st_mode), info.st_uid))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", looked_at)
    umask = os.umask(0)
    try:
        sort(tmp_path, mode)
    finally:
        os.umask(umask)
    assert len(seen) > 3
    assert set(seen) == {(0o600, os.geteuid())}
    assert mode_of(tmp_path / "dst/woman/a.jpg") == 0o644


def test_a_killed_copy_of_a_private_picture_stays_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    grow(tmp_path / "src", ONE)
    (tmp_path / "src/a.jpg").chmod(0o600)
    monkeypatch.setattr(transfer, "_copy_content", killed)
    monkeypatch.setattr(transfer, "_unlink", killed)
    umask = os.umask(0)
    try:
        with pytest.raises(Killed):
            sort(tmp_path)
    finally:
        os.umask(umask)
    [part] = (tmp_path / "dst/woman").iterdir()
    assert (part.suffix, mode_of(part)) == (".part", 0o600)


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("size", [64 << 20, pytest.param(1 << 30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_sparse_file_stays_sparse(tmp_path: Path, mode: str, size: int) -> None:
    here, there = two_places(tmp_path)
    try:
        (here / "src").mkdir()
        picture = here / "src/a.jpg"
        with picture.open("wb") as file:
            file.write(b"female ")
            file.seek(30 << 20)
            file.write(b"middle")
            file.truncate(size)
        if blocks(picture) > 1 << 20:
            pytest.skip("this file system has no sparse files")
        answer = Prediction.from_people(str(picture), (Person(None, None, "female", 0.75, {"female": 1.0}, "F"),))
        options = SortOptions(str(here / "src"), str(there / "dst"), mode)
        assert run_sort([(str(picture), answer)], options).placed == {"woman": 1}
        copied = there / "dst/woman/a.jpg"
        assert copied.stat().st_size == size
        assert blocks(copied) <= 1 << 20
        with copied.open("rb") as file:
            assert file.read(8) == b"female \0"
            file.seek(30 << 20)
            assert file.read(7) == b"middle\0"
        if mode == "move":
            assert not picture.exists()
        assert undo(str(there / "dst")).restored == 1
        assert blocks(picture) <= 1 << 20
    finally:
        shutil.rmtree(there)


def test_zeros_in_the_middle_and_at_the_end_are_copied(tmp_path: Path) -> None:
    block = transfer._BLOCK
    tree = {
        f"{number}.jpg": ("female", content)
        for number, content in enumerate(
            [bytes(block * 3), b"1" * block + bytes(block) + b"2", b"1" + bytes(block - 8)]
        )
    }
    grow(tmp_path / "src", tree)
    sort(tmp_path)
    for name in tree:
        assert (tmp_path / "dst/woman" / name).read_bytes() == (tmp_path / "src" / name).read_bytes()


@contextmanager
def append_only(*folders: Path) -> Iterator[None]:
    """Folders in which names can be made and never deleted, as on a write-once share."""
    chattr = shutil.which("chattr")
    for folder in folders:
        folder.mkdir(parents=True)
        if chattr is None or subprocess.run([chattr, "+a", str(folder)], capture_output=True, check=False).returncode:
            pytest.skip("cannot make append-only folders here")
    try:
        yield
    finally:
        for folder in folders:
            subprocess.run([str(chattr), "-a", str(folder)], check=True)


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_clean_up_that_fails_is_told_and_can_be_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("male", b"2")})
    before = snapshot(tmp_path / "src")
    if mode == "move":
        across(monkeypatch)
    sentences: list[str] = []
    options = SortOptions(str(tmp_path / "src"), str(tmp_path / "dst"), mode)
    with append_only(tmp_path / "dst/man", tmp_path / "dst/woman"):
        tally = run_sort(classified(tmp_path / "src"), options, report=sentences.append)
        assert (tally.left, tally.exit_code) == ({"not_placed": 2}, 1)
        for sentence, folder in zip(sentences, ("woman", "man"), strict=True):
            assert f"dst/{folder}/.gender-classifier-" in sentence
            assert "could not be deleted" in sentence
        result = undo(str(tmp_path / "dst"), report=sentences.append)
        assert (result.restored, result.left) == (0, 2)
        assert (tmp_path / "dst" / JOURNAL).exists()
        assert snapshot(tmp_path / "src") == before
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path / "src") == before
    assert placed(tmp_path) == set(), "no copy and no part of one is left"


def test_a_way_back_that_cannot_be_cleaned_up_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(tmp_path / "src", {"x/a.jpg": ("female", b"1")})
    before = snapshot(tmp_path)
    across(monkeypatch)
    sort(tmp_path, "move")
    (tmp_path / "src/x").rmdir()
    sentences: list[str] = []
    with append_only(tmp_path / "src/x"):
        assert undo(str(tmp_path / "dst"), report=sentences.append).left == 1
        assert "src/x/.gender-classifier-" in sentences[0]
        assert {path.read_bytes() for path in (tmp_path / "dst/woman").iterdir()} == {b"female 1"}
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("two_systems", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_read_only_pictures_where_those_cannot_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, two_systems: bool
) -> None:
    """Windows' rule, simulated: a file with the read-only attribute (a photograph from a CD) cannot be deleted."""
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b/c.jpg": ("male", b"2")})
    for path in (tmp_path / "src").rglob("*.jpg"):
        path.chmod(0o444)
    before = snapshot(tmp_path)
    if two_systems and mode != "hardlink":
        across(monkeypatch)
    unlink = os.unlink

    def refuse(path: str, **options: Any) -> None:
        info = os.lstat(path)
        if stat.S_ISREG(info.st_mode) and not info.st_mode & stat.S_IWUSR:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    tally = sort(tmp_path, mode)
    assert (tally.placed, tally.left) == ({"woman": 1, "man": 1}, {})
    assert placed(tmp_path) == {"woman/a.jpg", "man/c.jpg"}
    assert mode_of(tmp_path / "dst/woman/a.jpg") == 0o444
    assert undo(str(tmp_path / "dst")).left == 0
    monkeypatch.undo()
    assert snapshot(tmp_path) == before


def test_a_folder_that_refuses_leaves_permissions_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", ONE)
    (tmp_path / "src/a.jpg").chmod(0o444)
    before = snapshot(tmp_path)
    unlink = os.unlink

    def refuse(path: str, **options: Any) -> None:
        if str(path).endswith("src/a.jpg"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    assert sort(tmp_path, "move").left == {"not_placed": 1}
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before


def test_an_interrupt_stays_an_interrupt_whatever_the_clean_up_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(tmp_path / "src", ONE)
    before = snapshot(tmp_path)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    def refuse(path: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(transfer, "_copy_content", interrupted)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(KeyboardInterrupt):
        sort(tmp_path)
    monkeypatch.undo()
    assert undo(str(tmp_path / "dst")).left == 0
    assert snapshot(tmp_path) == before
