"""No name is deleted on the word of another end that is the same entry: not by undo, not when a kill is recovered."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.gender_cli.sorting import files, transfer
from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from gender_classifier.gender_cli.sorting.files import is_spare
from gender_classifier.gender_cli.sorting.journal import Journal
from gender_classifier.gender_cli.sorting.records import Equal, Header, State, identity
from gender_classifier.gender_cli.sorting.transfer import Ends, settle, take_back
from support.sorting import JOURNAL, MODES, Tree, across, grow, mounted, posix, snapshot, sort, yes

BYTES = b"the only copy"
SHA = hashlib.sha256(BYTES).hexdigest()
TWO: Tree = {"a.jpg": ("female", b"1"), "b/c.jpg": ("female", b"2")}


def contents(root: Path) -> set[bytes]:
    """Returns every content of a regular file, wherever it is."""
    return {path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != JOURNAL}


@posix
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("agreed", ["no", "yes", "named"])
def test_the_source_became_a_link_to_the_sorted_pictures(tmp_path: Path, mode: str, agreed: str) -> None:
    grow(tmp_path / "src", {"a.jpg": ("female", b"1"), "b.jpg": ("female", b"2")})
    every = contents(tmp_path)
    sort(tmp_path, mode)
    shutil.rmtree(tmp_path / "src")
    (tmp_path / "src").symlink_to("dst/woman")
    there = snapshot(tmp_path / "dst")
    named = {"source": str(tmp_path / "src")} if agreed == "named" else {}
    sentences: list[str] = []
    if agreed == "no":
        with pytest.raises(Exception, match="is not the folder that it was then"):
            undo(str(tmp_path / "dst"))
    else:
        tally = undo(str(tmp_path / "dst"), confirm=yes, report=sentences.append, **named)
        if mode == "symlink":  # a link holds nothing, and what it pointed to is gone
            return
        assert (tally.restored, tally.left, len(sentences)) == (0, 2, 2)
        assert "a.jpg" in sentences[1]
    assert snapshot(tmp_path / "dst") == there
    if mode != "symlink":
        assert contents(tmp_path) == every


@posix
@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_a_folder_in_the_source_became_a_link(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", TWO)
    every = contents(tmp_path)
    sort(tmp_path, mode)
    shutil.rmtree(tmp_path / "src/b")
    (tmp_path / "src/b").symlink_to(tmp_path / "dst/woman")
    (tmp_path / "src/a.jpg").unlink(missing_ok=True)
    (tmp_path / "src/a.jpg").symlink_to(tmp_path / "dst/woman/a.jpg")
    sentences: list[str] = []
    tally = undo(str(tmp_path / "dst"), report=sentences.append)
    assert (tally.restored, tally.left) == (0, 2)
    assert contents(tmp_path) == every
    assert (tmp_path / "dst" / JOURNAL).exists()


@posix
@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_a_sorted_folder_became_a_link(tmp_path: Path, mode: str) -> None:
    """dst/woman is a link to the source: what is deleted through it would be the original."""
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    every = contents(tmp_path)
    sort(tmp_path, mode)
    if mode == "move":
        (tmp_path / "dst/woman/a.jpg").rename(tmp_path / "src/a.jpg")
    shutil.rmtree(tmp_path / "dst/woman")
    (tmp_path / "dst/woman").symlink_to(tmp_path / "src")
    tally = undo(str(tmp_path / "dst"))
    assert (tally.restored, tally.left) == (0, 1)
    assert contents(tmp_path) == every


@posix
def test_the_destination_became_a_link_to_the_source(tmp_path: Path) -> None:
    grow(tmp_path / "src", {"woman/a.jpg": ("female", b"1")})
    every = contents(tmp_path)
    sort(tmp_path, journal=str(tmp_path / "journal.jsonl"))
    shutil.rmtree(tmp_path / "dst")
    (tmp_path / "dst").symlink_to("src")
    with pytest.raises(Exception, match="is not the folder that it was then"):
        undo(str(tmp_path / "journal.jsonl"))
    assert undo(str(tmp_path / "journal.jsonl"), confirm=yes).left == 1
    named = {"source": str(tmp_path / "src"), "destination": str(tmp_path / "dst")}
    assert undo(str(tmp_path / "journal.jsonl"), confirm=yes, **named).left == 1
    assert contents(tmp_path / "src") == every


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_a_line_whose_two_ends_are_one_path(tmp_path: Path, mode: str) -> None:
    """DEST inside SRC, so that one path can be written in both ways."""
    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    picture = tmp_path / "src/dst/woman/a.jpg"
    picture.parent.mkdir(parents=True)
    shutil.copy2(tmp_path / "src/a.jpg", picture)
    content = picture.read_bytes()
    told = header(tmp_path / "src", tmp_path / "src/dst", mode)
    with Journal.create(str(tmp_path / "src/dst" / JOURNAL), told) as journal:
        sha256 = hashlib.sha256(content).hexdigest()
        entry = journal.intend(Equal("dst/woman/a.jpg", "woman/a.jpg", 9, 1, "female"), sha256)
        journal.mark(entry, State.DONE)
    assert undo(str(tmp_path / "src/dst")).left == 1
    assert picture.read_bytes() == content


def header(source: Path, destination: Path, mode: str) -> Header:
    options = SortOptions(str(source), str(destination), mode)  # type: ignore[arg-type]
    return Header(options, "", str(destination), identity(str(source)), identity(str(destination)), token="0a")


@pytest.mark.parametrize("state", [State.OPEN, State.UNDOING])
@posix
def test_a_killed_move_whose_source_became_a_link_meanwhile(tmp_path: Path, state: State) -> None:
    """The same rule where a kill is recovered: the content was at both ends, and now only seems to be."""
    grow(tmp_path / "src", {"b/a.jpg": ("female", b"1")})
    content = (tmp_path / "src/b/a.jpg").read_bytes()
    sort(tmp_path, "move")
    with Journal.open(str(tmp_path / "dst" / JOURNAL)) as journal:
        [entry] = journal.entries(State.DONE)
        if state is State.OPEN:
            journal._file.append({"op": "undoing", "id": entry.id}, {"op": "undone", "id": entry.id})
            journal._states[entry.id] = State.UNDONE
            journal.intend(Equal(entry.src, entry.dst, entry.size, entry.mtime_ns, "female"), entry.sha256)
        else:
            journal.mark(entry, State.UNDOING)
    shutil.rmtree(tmp_path / "src/b")
    (tmp_path / "src/b").symlink_to(tmp_path / "dst/woman")
    sentences: list[str] = []
    assert undo(str(tmp_path / "dst"), report=sentences.append).left == 1
    assert "symbolic link" in sentences[0]
    assert (tmp_path / "dst/woman/a.jpg").read_bytes() == content
    sort(tmp_path, "move")
    assert (tmp_path / "dst/woman/a.jpg").read_bytes() == content


def one_file(root: Path) -> tuple[Path, Path]:
    (root / "a").mkdir()
    (root / "b").mkdir()
    path = root / "a/x.jpg"
    path.write_bytes(BYTES)
    return path, root / "b/x.jpg"


def as_two_files(root: Path) -> tuple[Path, Path]:
    path, other = one_file(root)
    other.write_bytes(BYTES)
    return path, other


def as_two_links(root: Path) -> tuple[Path, Path]:
    path, other = one_file(root)
    other.hardlink_to(path)
    return path, other


def as_two_links_of_one_folder(root: Path) -> tuple[Path, Path]:
    path, _ = one_file(root)
    (root / "a/X (2).jpg").hardlink_to(path)
    return path, root / "a/X (2).jpg"


def as_a_link_to_a_third_file(root: Path) -> tuple[Path, Path]:
    path, other = as_two_files(root)
    (root / "link.jpg").symlink_to(other)
    return path, root / "link.jpg"


@pytest.mark.parametrize("make", [as_two_files, as_two_links, as_two_links_of_one_folder, as_a_link_to_a_third_file])
def test_what_is_spare(tmp_path: Path, make: Callable[[Path], tuple[Path, Path]]) -> None:
    path, other = make(tmp_path)
    assert is_spare(str(path), str(other), SHA)
    path.unlink()
    assert other.read_bytes() == BYTES


def the_same_path(root: Path) -> tuple[Path, Path]:
    path, _ = one_file(root)
    return path, path


def a_dot_in_the_path(root: Path) -> tuple[str, str]:
    path, _ = one_file(root)
    return str(path), f"{root}/b/../a/./x.jpg"


def a_link_to_it(root: Path) -> tuple[Path, Path]:
    path, other = one_file(root)
    other.symlink_to(path)
    return path, other


def a_link_to_a_link_to_it(root: Path) -> tuple[Path, Path]:
    path, other = a_link_to_it(root)
    (root / "second").symlink_to(other)
    return path, root / "second"


def a_folder_that_is_a_link(root: Path) -> tuple[Path, Path]:
    path, _ = one_file(root)
    (root / "c").symlink_to("a")
    return path, root / "c/x.jpg"


def its_own_folder_is_a_link(root: Path) -> tuple[Path, Path]:
    path, other = a_folder_that_is_a_link(root)
    return other, path


def a_second_link_elsewhere(root: Path) -> tuple[Path, Path]:
    """Two links, but not of these two names."""
    path, other = a_folder_that_is_a_link(root)
    (root / "b/y.jpg").hardlink_to(path)
    return path, other


def another_content(root: Path) -> tuple[Path, Path]:
    path, other = one_file(root)
    other.write_bytes(BYTES + b"!")
    return path, other


def nothing(root: Path) -> tuple[Path, Path]:
    return one_file(root)


def a_folder(root: Path) -> tuple[Path, Path]:
    path, other = one_file(root)
    other.mkdir()
    return path, other


@posix
@pytest.mark.parametrize(
    "make",
    [
        the_same_path,
        a_dot_in_the_path,
        a_link_to_it,
        a_link_to_a_link_to_it,
        a_folder_that_is_a_link,
        its_own_folder_is_a_link,
        a_second_link_elsewhere,
        another_content,
        nothing,
        a_folder,
    ],
)
def test_what_is_not_spare(tmp_path: Path, make: Callable[[Path], tuple[Any, Any]]) -> None:
    path, other = map(str, make(tmp_path))
    assert not is_spare(path, other, SHA)
    for mode in ("copy", "hardlink", "move"):
        reason = take_back(mode, Ends(other, path, "", str(tmp_path / "part")), SHA)
        assert BYTES in contents(tmp_path)
        if reason is None:
            assert (mode, make) == ("move", nothing), "it was moved to the free name"
            return
    settle("move", Ends(path, other, str(tmp_path / "part"), ""), SHA, len(BYTES))
    assert BYTES in contents(tmp_path)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_bind_mount_is_not_a_second_place(tmp_path: Path, what: str) -> None:
    path, other = one_file(tmp_path)
    if what == "folder":
        with mounted("--bind", str(tmp_path / "a"), at=tmp_path / "b"):
            assert other.read_bytes() == BYTES
            assert not is_spare(str(path), str(other), SHA)
            assert not is_spare(str(other), str(path), SHA)
        (tmp_path / "a/y.jpg").hardlink_to(path)  # two links, but not of these two names
        with mounted("--bind", str(tmp_path / "a"), at=tmp_path / "b"):
            assert not is_spare(str(path), str(other), SHA)
            assert is_spare(str(path), str(tmp_path / "b/y.jpg"), SHA)
    else:
        other.touch()
        if os.system(f"mount --bind '{path}' '{other}' 2>/dev/null"):
            pytest.skip("only root may mount a file system")
        try:
            assert not is_spare(str(path), str(other), SHA)
            assert not is_spare(str(other), str(path), SHA)
        finally:
            os.system(f"umount '{other}'")


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_undo_over_a_bind_mount(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", {"b/a.jpg": ("female", b"1")})
    every = contents(tmp_path)
    sort(tmp_path, mode)
    (tmp_path / "src/b/a.jpg").unlink(missing_ok=True)
    with mounted("--bind", str(tmp_path / "dst/woman"), at=tmp_path / "src/b"):
        assert undo(str(tmp_path / "dst")).left == 1
        assert contents(tmp_path / "dst") == every


def test_names_that_differ_by_case_only_are_one_where_the_file_system_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that takes no notice of case, simulated: ``X.JPG`` leads to ``x.jpg``."""
    path, _ = one_file(tmp_path)
    other = tmp_path / "a/X.JPG"
    (tmp_path / "b/third.jpg").hardlink_to(path)  # so that the number of links says nothing
    opened = files.open_regular

    def regardless_of_case(name: str, **options: Any) -> Any:
        return opened(str(path) if name == str(other) else name, **options)

    monkeypatch.setattr(files, "open_regular", regardless_of_case)
    assert not is_spare(str(path), str(other), SHA)
    assert not is_spare(str(other), str(path), SHA)
    assert take_back("hardlink", Ends(str(other), str(path), "", ""), SHA) is not None
    other.hardlink_to(path)  # now it is a name of its own: this file system does take notice
    assert is_spare(str(path), str(other), SHA)


def test_a_real_file_system_that_takes_no_notice_of_case(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    mkfs, chattr = shutil.which("mkfs.ext4"), shutil.which("chattr")
    if mkfs is None or chattr is None:
        pytest.skip("needs mkfs.ext4")
    with image.open("wb") as file:
        file.truncate(40 << 20)
    os.system(f"{mkfs} -q -O casefold '{image}'")
    with mounted("-o", "loop", str(image), at=tmp_path / "disk") as disk:  # skips where the kernel cannot
        (disk / "d").mkdir()
        if os.system(f"{chattr} +F '{disk}/d'"):
            pytest.skip("needs a file system that can take no notice of case")
        path, other = disk / "d/x.jpg", disk / "d/X.JPG"
        path.write_bytes(BYTES)
        assert other.read_bytes() == BYTES
        (disk / "d/third").hardlink_to(path)
        assert not is_spare(str(path), str(other), SHA)


@pytest.mark.parametrize("two_systems", [False, True])
def test_a_killed_move_whose_source_was_changed_since_keeps_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_systems: bool
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    grow(tmp_path / "src", {"a.jpg": ("female", b"1")})
    with monkeypatch.context() as patch:
        if two_systems:
            across(patch)
        patch.setattr(transfer, "_delete_source", killed)
        with pytest.raises(Killed):
            sort(tmp_path, "move")
    picture, moved = tmp_path / "src/a.jpg", tmp_path / "dst/woman/a.jpg"
    assert picture.read_bytes() == moved.read_bytes() == b"female 1"
    picture.unlink()
    picture.write_bytes(b"female new")
    assert undo(str(tmp_path / "dst")).left == 1
    assert (picture.read_bytes(), moved.read_bytes()) == (b"female new", b"female 1")
    sort(tmp_path, "move")
    assert {b"female 1", b"female new"} <= contents(tmp_path)
