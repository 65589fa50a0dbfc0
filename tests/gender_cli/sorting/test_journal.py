"""The journal of a sort: what is written when, and which files are refused as one."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gender_classifier.gender_cli.sorting.command import SortOptions, undo
from gender_classifier.gender_cli.sorting.journal import Journal
from gender_classifier.gender_cli.sorting.places import open_journal
from gender_classifier.gender_cli.sorting.records import Equal, Header, State
from gender_classifier.runtime.errors import OptionError
from support.sorting import JOURNAL, MODES, TREE, grow, posix, snapshot, sort, within, yes


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


def test_another_sort_is_not_mixed_into_a_journal(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    sort(tmp_path, model="one")
    for options, sentence in (
        ({"mode": "move"}, "--mode was copy then and is move now"),
        ({"keep_tree": True}, "--keep-tree was off then and is on now"),
        ({"recursive": False}, "--recursive was on then and is off now"),
        ({"names": {"male": "men"}}, "--names was without these then and is male=men now"),
        ({"model": "two"}, "the model was one then and is two now"),
        ({"model": None}, "the model was one then and is not given now"),
        ({"settings": {"threshold": 0.5}}, "--threshold was not given then and is 0.5 now"),
    ):
        with pytest.raises(OptionError, match=f"another sort: {sentence}"):
            sort(tmp_path, **{"model": "one", **options})
    other = tmp_path / "other.jsonl"
    assert sort(tmp_path, "move", journal=str(other)).equal == 8
    assert undo(str(other), confirm=yes).left == 0
    assert not other.exists()
    assert sort(tmp_path, model="one").held == 8


def test_two_sorts_cannot_use_one_journal(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    grow(tmp_path / "src", TREE)
    sort(tmp_path)
    with Journal.open(str(tmp_path / "dst" / JOURNAL)):
        with pytest.raises(OptionError, match="still running"):
            sort(tmp_path)
        with pytest.raises(OptionError, match="still running"):
            undo(str(tmp_path / "dst"))


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
        expected = "There is no journal" if name == "folder" else "not a regular file"
        with within(10), pytest.raises(OptionError, match="not a regular file"):
            sort(tmp_path, journal=path, dry_run=dry_run)
        with within(10), pytest.raises(OptionError, match=expected):
            undo(path, dry_run=dry_run)
        with within(10), pytest.raises(OptionError, match=expected):
            open_journal(path, write=False)
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
        with within(10), pytest.raises(OptionError, match="not a regular file"):
            Journal.open(str(tmp_path / "fifo"), write=write)


SETTINGS = {"threshold": 0.5, "model": "x"}
OPTIONS = SortOptions("/src", "/dst", names={"female": "f"}, settings=SETTINGS)
HEADER = Header(OPTIONS, "", "/dst", "1", "2", token="0a1b")


def journal_lines(tmp_path: Path) -> tuple[Path, list[str]]:
    path = tmp_path / "journal.jsonl"
    with Journal.create(str(path), HEADER) as journal:
        entry = journal.intend(Equal("a", "woman/a", 1, 2, "female"), "0" * 64)
        journal.mark(entry, State.DONE)
    return path, path.read_text(encoding="ascii").splitlines(keepends=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"journal": 3', '"journal": 1'),
        ('"journal": 3', '"journal": 4'),
        ('{"journal"', "[" * 200_000 + '{"journal"'),
        ('{"options"', "[" * 200_000 + '{"options"'),
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
        ('"model": null', '"model": {}'),
        ('"token": "0a1b"', '"token": "/../../x"'),
        ('"made": []', '"made": [1]'),
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
        ('"id": 0, "sha256"', '"id": 1, "sha256"'),
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
    refusal = rf"{re.escape(str(path))} is (damaged|not a journal|a journal of version [14])"
    with pytest.raises(OptionError, match=refusal):
        undo(str(path), confirm=yes)
    with pytest.raises(OptionError, match=refusal):
        Journal.create(str(path), HEADER)
    assert path.read_bytes() == before


def test_a_journal_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"journal": 1, "source": "/src"}\n', encoding="ascii")
    with pytest.raises(OptionError, match=r"a journal of version 1, and this gender-classifier reads version 2 and 3"):
        undo(str(path))


def test_a_file_that_is_no_journal_is_never_touched(tmp_path: Path) -> None:
    grow(tmp_path / "src", TREE)
    like_the_first = b'{"journal": 3, "of": "gender-classifier sort"}'
    for content in (
        b"\xff\xd8\xff picture",
        b"text\n",
        b"{}\n",
        b'{"journal": 1}\n',
        b'{"journal": 1, "mine": "data"}',
        b'{"journal": 3, "mine": "data"}',
        b'{"journal": 3}',
        like_the_first + b" and my diary",
        like_the_first + b'\n{"mine": "data"}',
        like_the_first + b"\nmy diary",
        like_the_first + b'\n{"options": {"source": "/a"}}\nmy diary',
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
    if any(c in text for c in "\0/\\") or text in (".", ".."):
        text = "x"
    with tempfile.TemporaryDirectory() as name:
        path = str(Path(name, "journal"))
        with Journal.create(
            path, Header(SortOptions("/src", "/dst", names={"female": text}), "", "/dst", "1", "2")
        ) as journal:
            journal.intend(Equal(text, f"woman/{text}", 1, 2, text), "0" * 64)
        with Journal.open(path) as journal:
            [entry] = journal.entries(State.OPEN)
            assert (entry.src, entry.dst, entry.outcome) == (text, f"woman/{text}", text)
            assert journal.header.options.names == {"female": text}
        for line in Path(path).read_bytes().splitlines():
            json.loads(line)
