"""A journal acts only in the folders that it was written for, or that the user names, and only if it is the user's."""

from __future__ import annotations

import hashlib
import json
import ntpath
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gender_classifier.gender_cli.sorting import places
from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from gender_classifier.gender_cli.sorting.files import missing_folders
from gender_classifier.runtime.errors import OptionError
from support.sorting import (
    JOURNAL,
    MODES,
    TREE,
    Tree,
    classified,
    grow,
    mounted,
    placed,
    posix,
    run_sort,
    snapshot,
    sort,
    yes,
)

A: Tree = {"a.jpg": ("female", b"1"), "b/c.jpg": ("male", b"2")}
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")


@posix
@pytest.mark.parametrize("mode", MODES)
def test_both_folders_lie_elsewhere_now(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "d/src", TREE)
    before = snapshot(tmp_path / "d")
    sort(tmp_path / "d", mode)
    (tmp_path / "d").rename(tmp_path / "e")
    assert sort(tmp_path / "e", mode).held == 8
    assert undo(str(tmp_path / "e/dst")).left == 0
    assert snapshot(tmp_path / "e") == before
    assert not (tmp_path / "d").exists()


@posix
@pytest.mark.parametrize("mode", MODES)
def test_undo_acts_in_the_folder_that_was_named_and_in_no_other(tmp_path: Path, mode: str) -> None:
    """The sorted folder was renamed, and another sort went into one of its old name: same names, same bytes."""
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path / "src")
    sort(tmp_path, mode)
    (tmp_path / "dst").rename(tmp_path / "dst-2023")
    grow(tmp_path / "more", A)
    run_sort(classified(tmp_path / "more"), SortOptions(str(tmp_path / "more"), str(tmp_path / "dst"), mode))
    others = snapshot(tmp_path / "dst"), snapshot(tmp_path / "more")
    assert undo(str(tmp_path / "dst-2023")).restored == 2
    assert (snapshot(tmp_path / "dst"), snapshot(tmp_path / "more")) == others
    assert snapshot(tmp_path / "src") == before
    assert not (tmp_path / "dst-2023").exists()
    assert undo(str(tmp_path / "dst")).restored == 2


@pytest.mark.parametrize("mode", ["copy", "move", "hardlink"])
def test_a_copy_of_the_sorted_folder_is_not_the_sorted_folder(tmp_path: Path, mode: str) -> None:
    grow(tmp_path / "src", A)
    sort(tmp_path, mode)
    shutil.copytree(tmp_path / "dst", tmp_path / "backup")
    before = snapshot(tmp_path)
    with pytest.raises(
        OptionError, match="backup is not the folder that it was written in, but may be a copy"
    ) as error:
        undo(str(tmp_path / "backup"))
    assert "delete" not in str(error.value)
    assert snapshot(tmp_path) == before
    # Whoever wants it can have it: then it acts on the copy alone.
    originals = snapshot(tmp_path / "dst")
    assert undo(str(tmp_path / "backup"), source=str(tmp_path / "src"), confirm=yes).restored == 2
    assert snapshot(tmp_path / "dst") == originals


def test_a_folder_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path / "src")
    sort(tmp_path, "move")
    (tmp_path / "src").rename(tmp_path / "old")
    grow(tmp_path / "src", {"other.jpg": ("female", b"3")})
    other = snapshot(tmp_path / "src")
    with pytest.raises(OptionError, match="src is not the folder that it was then"):
        undo(str(tmp_path / "dst"))
    assert undo(str(tmp_path / "dst"), source=str(tmp_path / "old")).restored == 2
    assert snapshot(tmp_path / "old") == before
    assert snapshot(tmp_path / "src") == other


def test_a_source_that_was_emptied_and_deleted_is_made_again(tmp_path: Path) -> None:
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path)
    sort(tmp_path, "move")
    shutil.rmtree(tmp_path / "src")
    assert undo(str(tmp_path / "dst")).restored == 2
    assert snapshot(tmp_path) == before


def test_the_sorted_folder_alone_lies_elsewhere_now(tmp_path: Path) -> None:
    """By itself, so that what lies beside it now is not what lay beside it then."""
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path / "src")
    sort(tmp_path, "move")
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "dst").rename(tmp_path / "x/y/dst")
    assert sort_again(tmp_path / "src", tmp_path / "x/y/dst") == 2
    assert undo(str(tmp_path / "x/y/dst")).restored == 2
    assert snapshot(tmp_path / "src") == before


def sort_again(source: Path, destination: Path) -> int:
    return run_sort(classified(source), SortOptions(str(source), str(destination), "move")).held


def test_a_folder_that_is_nowhere_is_asked_for(tmp_path: Path) -> None:
    grow(tmp_path / "d/src", A)
    before = snapshot(tmp_path / "d/src")
    sort(tmp_path / "d", "move", journal=str(tmp_path / "journal.jsonl"))
    (tmp_path / "d/dst").rename(tmp_path / "sorted")
    with pytest.raises(OptionError, match=r"d/dst, which .* is not there.*name it with --destination DIR") as error:
        undo(str(tmp_path / "journal.jsonl"), confirm=yes)
    assert "delete" not in str(error.value)
    with pytest.raises(OptionError, match="is not there") as error:
        sort(tmp_path / "d", "move", journal=str(tmp_path / "journal.jsonl"))
    assert "delete" not in str(error.value)
    named = {"destination": str(tmp_path / "sorted"), "confirm": yes}
    (tmp_path / "d").rename(tmp_path / "e")
    (tmp_path / "journal.jsonl").rename(tmp_path / "e/journal.jsonl")
    with pytest.raises(OptionError, match="name it with --source DIR"):
        undo(str(tmp_path / "e/journal.jsonl"), **named)
    assert undo(str(tmp_path / "e/journal.jsonl"), source=str(tmp_path / "e/src"), **named).restored == 2
    assert snapshot(tmp_path / "e/src") == before


def unpacked(folder: Path, source: Path | str, text: str, *, version: int = 3, mode: str = "move") -> Path:
    """Makes what an archive could hold: a picture and a journal that wants it somewhere else."""
    (folder / "woman").mkdir(parents=True)
    (folder / "woman/a.jpg").write_text(text)
    options = {"source": str(source), "destination": str(folder), "mode": mode, "names": {}}
    header: dict[str, Any] = {"start": "", "token": "", "made": []}
    if version == 3:
        header |= {"options": options, "folder": str(folder), "source_id": "12", "destination_id": "34"}
    else:
        header |= options | {"keep_tree": False, "mixed": False, "recursive": True, "settings": {}, "model": None}
    entry = {"op": "place", "id": 0, "src": "authorized_keys", "dst": "woman/a.jpg", "size": len(text), "mtime_ns": 1}
    entry |= {"outcome": "female", "sha256": hashlib.sha256(text.encode()).hexdigest()}
    lines = [{"journal": version, "of": "gender-classifier sort"}, header, entry, {"op": "done", "id": 0}]
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("there", [True, False])
def test_a_journal_out_of_an_archive_plants_nothing(tmp_path: Path, version: int, there: bool) -> None:
    secret = tmp_path / "home/.ssh"
    if there:
        secret.mkdir(parents=True)
    folder = unpacked(tmp_path / "download/sorted", secret, "a key", version=version)
    before = snapshot(tmp_path)
    for name in (folder, folder / JOURNAL):
        with pytest.raises(OptionError) as error:
            undo(str(name))
        sentence = str(error.value)
        assert "is not the folder that it was" in sentence or "not there" in sentence or "written in" in sentence
        if "not there" not in sentence:
            assert f"{folder}/woman/a.jpg -> {secret}/authorized_keys" in sentence, "what it would do is shown"
            assert "--yes" in sentence
    assert snapshot(tmp_path) == before
    # A person who names the folders sees to it that it acts there and nowhere else.
    (tmp_path / "mine").mkdir()
    undo(str(folder), source=str(tmp_path / "mine"), confirm=yes)
    assert (tmp_path / "mine/authorized_keys").read_text() == "a key"
    assert not (secret / "authorized_keys").exists()


def test_a_journal_out_of_an_archive_deletes_nothing_either(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/authorized_keys").write_text("a key")
    folder = unpacked(tmp_path / "download/sorted", tmp_path / "home", "a key", mode="copy")
    header = (folder / JOURNAL).read_text().replace(f'"{folder}"', f'"{tmp_path / "home"}"')
    (folder / JOURNAL).write_text(header.replace('"dst": "woman/a.jpg"', '"dst": "authorized_keys"'))
    before = snapshot(tmp_path)
    with pytest.raises(OptionError):
        undo(str(folder))
    assert snapshot(tmp_path) == before


def test_a_journal_given_as_a_file_is_shown_first(tmp_path: Path) -> None:
    grow(tmp_path / "src", {f"{number:02}.jpg": ("female", bytes([number])) for number in range(12)})
    sort(tmp_path, "move")
    after = snapshot(tmp_path)
    announcements: list[str] = []

    def no(announcement: str) -> bool:
        announcements.append(announcement)
        return False

    with pytest.raises(OptionError, match="Nothing was done"):
        undo(str(tmp_path / "dst" / JOURNAL), confirm=no)
    assert snapshot(tmp_path) == after
    [announcement] = announcements
    assert "it was given as a file" in announcement
    assert "It would undo 12 steps of a sort by move" in announcement
    assert announcement.count(" -> ") == 10
    assert "--dry-run shows all" in announcement
    assert undo(str(tmp_path / "dst" / JOURNAL), confirm=yes).restored == 12


@posix
@pytest.mark.parametrize(("what", "mode", "ends"), [
    ("journal", 0o666, False), ("journal", 0o622, False), ("journal", 0o644, True),
    ("folder", 0o777, False), ("folder", 0o1777, True), ("folder", 0o755, True),
])  # fmt: skip
def test_a_journal_that_others_may_write_is_in_doubt(tmp_path: Path, what: str, mode: int, ends: bool) -> None:
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path)
    sort(tmp_path, "move")
    after = snapshot(tmp_path)
    (tmp_path / "dst" / (JOURNAL if what == "journal" else "")).chmod(mode)
    if ends:
        assert undo(str(tmp_path / "dst")).restored == 2
        assert snapshot(tmp_path) == before
        return
    with pytest.raises(OptionError, match="other users may have changed it"):
        undo(str(tmp_path / "dst"))
    assert snapshot(tmp_path) == after


@posix
def test_a_group_of_one_is_not_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tmp_path / "src", A)
    sort(tmp_path, "move")
    (tmp_path / "dst").chmod(0o775)  # as a umask of 002 makes it
    monkeypatch.setattr(places, "_is_own_group", lambda group: False)
    with pytest.raises(OptionError, match="other users may have changed it"):
        undo(str(tmp_path / "dst"))
    monkeypatch.setattr(places, "_is_own_group", lambda group: True)
    assert undo(str(tmp_path / "dst")).restored == 2


@posix
def test_what_a_sort_makes_itself_is_not_in_doubt_whatever_the_umask(tmp_path: Path) -> None:
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path)
    umask = os.umask(0)
    try:
        sort(tmp_path, "move")
    finally:
        os.umask(umask)
    assert (tmp_path / "dst" / JOURNAL).stat().st_mode & 0o777 == 0o600
    assert undo(str(tmp_path / "dst")).restored == 2
    assert snapshot(tmp_path) == before


@root
@pytest.mark.parametrize("where", ["dst", "beside"])
def test_a_journal_of_another_user_is_not_obeyed(tmp_path: Path, where: str) -> None:
    grow(tmp_path / "src", A)
    journal = tmp_path / "dst" / JOURNAL if where == "dst" else tmp_path / "journal.jsonl"
    sort(tmp_path, "move", journal=str(journal))
    os.chown(journal, 12345, 12345)
    before = snapshot(tmp_path)
    for attempt in (lambda: undo(str(journal), confirm=yes), lambda: sort(tmp_path, "move", journal=str(journal))):
        with pytest.raises(OptionError, match="belongs to another user"):
            attempt()
    if where == "dst":
        with pytest.raises(OptionError, match="belongs to another user"):
            undo(str(tmp_path / "dst"), confirm=yes)
    assert snapshot(tmp_path) == before


@root
def test_a_journal_beside_the_folders_above_is_not_looked_for(tmp_path: Path) -> None:
    """Version 2 found waiting journals beside every folder above DEST, whoever had put them there."""
    (tmp_path / "open").mkdir(mode=0o777)
    digest = hashlib.sha256(os.fsencode(f"{tmp_path}/open/x/sorted/{JOURNAL}")).hexdigest()[:16]
    folder = unpacked(tmp_path / "open/elsewhere", tmp_path / "victim", "a key", version=2)
    (folder / JOURNAL).rename(tmp_path / f"open/.gender-classifier-{digest}.jsonl")
    (tmp_path / "open/x/sorted").mkdir(parents=True)
    with pytest.raises(OptionError, match="There is no journal"):
        undo(str(tmp_path / "open/x/sorted"), confirm=yes)


@posix
def test_a_journal_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    grow(tmp_path / "src", A)
    (tmp_path / "dst").mkdir()
    precious = tmp_path / "precious"
    precious.touch()
    (tmp_path / "dst" / JOURNAL).symlink_to(precious)
    with pytest.raises(OptionError, match="not a regular file"):
        sort(tmp_path)
    assert precious.read_bytes() == b""


@posix
def test_a_sorted_folder_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    grow(tmp_path / "src", A)
    (tmp_path / "dst").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dst/woman").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="not a folder of its own"):
        sort(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_journal_of_version_2_can_be_undone_and_no_more(tmp_path: Path) -> None:
    grow(tmp_path / "src", A)
    before = snapshot(tmp_path)
    sort(tmp_path, "move")
    lines = [json.loads(line) for line in (tmp_path / "dst" / JOURNAL).read_text().splitlines()]
    lines[0]["journal"] = 2
    for name in ("folder", "source_id", "destination_id"):
        del lines[1][name]
    lines[1] |= {**lines[1].pop("options"), "mixed": False, "made": [str(tmp_path / "dst")]}
    (tmp_path / "dst" / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(OptionError, match="older version: undo that sort with --undo, or keep"):
        sort(tmp_path, "move")
    with pytest.raises(OptionError, match="older version, which cannot tell its folders"):
        undo(str(tmp_path / "dst"))
    assert placed(tmp_path) == {"woman/a.jpg", "man/c.jpg"}
    assert undo(str(tmp_path / "dst"), confirm=yes).restored == 2
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("path", ["Q:\\sorted", "Q:\\a\\b", "\\\\nas\\share\\x", "Q:\\"])
def test_a_drive_that_is_not_there_is_a_sentence(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "path", ntpath)
    with pytest.raises(FileNotFoundError, match="the drive or share is not connected"):
        missing_folders(path)
    monkeypatch.setattr(ntpath, "realpath", lambda path: path)
    monkeypatch.setattr(ntpath, "isdir", lambda path: path == "C:\\photos")
    with pytest.raises(OptionError, match="the drive or share is not connected"):
        places.resolve(SortOptions("C:\\photos", path, "hardlink"))


def test_hard_links_between_two_mounts_of_one_disk_are_tried_first(tmp_path: Path) -> None:
    """Their device numbers are equal, so that only trying tells."""
    grow(tmp_path / "a/src", A)
    (tmp_path / "b").mkdir()
    with (
        mounted("--bind", str(tmp_path / "a"), at=tmp_path / "m1"),
        mounted("--bind", str(tmp_path / "b"), at=tmp_path / "m2"),
    ):
        assert os.lstat(tmp_path / "m1").st_dev == os.lstat(tmp_path / "m2").st_dev
        options = SortOptions(str(tmp_path / "m1/src"), str(tmp_path / "m2/out"), "hardlink")
        with pytest.raises(OptionError, match="Hard links need SRC and DEST on one file system"):
            places.resolve(options)
        assert list((tmp_path / "b").iterdir()) == []
        places.resolve(SortOptions(str(tmp_path / "m1/src"), str(tmp_path / "m1/out"), "hardlink"))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["src"], "what was tried is gone again"
