"""``gender-classifier sort`` as people call it. The tiny model says woman for red, man for green."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import gender_classifier
from gender_classifier.gender_cli.sorting import sorter
from support import ROOT, TinyModel, heed_interrupts, tiny_bundle
from support.sorting import JOURNAL, snapshot

COLOURS = {"woman": (255, 0, 0), "man": (0, 255, 0)}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model"), TinyModel(thresholds={"female": 0.7, "male": 0.7}))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    (tmp_path / "src/deeper").mkdir(parents=True)
    Image.new("RGB", (10, 10), (255, 0, 0)).save(tmp_path / "src/a.png")
    Image.new("RGB", (10, 10), (0, 255, 0)).save(tmp_path / "src/b.png")
    Image.new("RGB", (12, 12), (0, 255, 0)).save(tmp_path / "src/deeper/a.png")
    Image.new("RGB", (12, 12), (255, 255, 0)).save(tmp_path / "src/deeper/c.png")
    (tmp_path / "src/notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(model, capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = gender_classifier.main(["sort", *map(str, arguments), "--model", str(model)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def names(folder: Path) -> set[str]:
    return {name for name, what in snapshot(folder).items() if what != "folder"}


def test_sort_and_undo(run, here):
    before = snapshot(here)
    code, out, err = run("src", "dst", "--mode", "move")
    assert code == 0
    assert out == ""
    assert names(here / "dst") == {"woman/a.png", "man/b.png", "man/a.png", "uncertain/c.png"}
    assert names(here / "src") == {"notes.txt"}
    assert "4 pictures: 2 in man/, 1 in uncertain/, 1 in woman/." in err
    assert f"sort --undo {here / 'dst'}\n" in err
    code, out, err = run("--undo", "dst")
    assert code == 0
    assert "4 pictures put back" in err
    assert snapshot(here) == before


def test_a_second_run_has_nothing_to_do(run, here):
    for mode in ("copy", "move"):
        assert run("src", mode, "--mode", mode)[0] == 0
        after = snapshot(here)
        code, _, err = run("src", mode, "--mode", mode)
        assert code == 0
        assert "4 of them by an earlier run" in err
        assert snapshot(here) == after
        assert run("--undo", mode)[0] == 0


def test_dry_run_prints_the_plan_and_writes_nothing(run, here):
    before = snapshot(here)
    code, out, err = run("src", "dst", "--dry-run", "--mode", "move")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert f"{here}/src/a.png -> {here}/dst/woman/a.png" in out
    assert "nothing was changed" in err
    assert snapshot(here) == before
    run("src", "dst", "--mode", "move", "--quiet")
    code, out, _ = run("--undo", "dst", "--dry-run")
    assert code == 0
    assert f"{here}/dst/woman/a.png -> {here}/src/a.png" in out
    assert names(here / "src") == {"notes.txt"}


def test_names_tree_and_recursion(run, here):
    code, *_ = run("src", "dst", "--names", "female=femmes,male=hommes", "--keep-tree")
    assert code == 0
    assert names(here / "dst") == {"femmes/a.png", "hommes/b.png", "hommes/deeper/a.png", "uncertain/deeper/c.png"}
    assert run("src", "flat", "--no-recursive")[0] == 0
    assert names(here / "flat") == {"woman/a.png", "man/b.png"}


def test_failures_are_exit_1(run, here):
    (here / "src/broken.jpg").write_bytes(b"\xff\xd8\xff")
    if os.name == "posix":
        os.mkfifo(here / "src/fifo")
    code, _, err = run("src", "dst")
    assert code == 1
    assert "failed/broken.jpg" in names(here / "dst")
    if os.name == "posix":
        assert "fifo is a device, a FIFO or a socket" in err
        assert "1 left where they are (1 not a file)" in err


def test_an_empty_folder_is_a_sentence(run, here):
    (here / "empty").mkdir()
    code, _, err = run("empty", "dst")
    assert code == 1
    assert "no picture" in err


def test_a_destination_inside_the_source(run, here):
    for _ in range(2):
        assert run("src", "src/sorted")[0] == 0
        assert names(here / "src/sorted") == {"woman/a.png", "man/b.png", "man/a.png", "uncertain/c.png"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("src",), "SRC and DEST"),
        (("src", "src"), "same folder"),
        (("nowhere", "dst"), "no folder"),
        (("src", "dst", "--names", "women=x"), "ANSWER=NAME"),
        (("src", "dst", "--names", "female=a/b"), "cannot be the name"),
        (("src", "dst", "--mode", "teleport"), "teleport"),
        (("--undo", "nowhere"), "no journal"),
        (("--undo", "src/notes.txt"), "not a journal"),
        (("src", "dst", "--undo", "x"), "stands alone"),
        (("--resume", "nowhere"), "no journal"),
        (("--resume", "nowhere", "--journal", "x"), "already"),
    ],
)
def test_wrong_use_is_exit_2(run, here, arguments, word):
    before = snapshot(here)
    code, _, err = run(*arguments)
    assert code == 2
    assert word in err
    assert "Traceback" not in err
    assert snapshot(here) == before


def test_resume_takes_the_settings_from_the_journal(run, here):
    assert run("src", "dst", "--mode", "symlink", "--keep-tree", "--names", "male=men")[0] == 0
    Image.new("RGB", (14, 14), (0, 255, 0)).save(here / "src/deeper/new.png")
    for journal in ("dst", here / "dst" / JOURNAL):
        code, _, err = run("--resume", journal, *(["--yes"] if journal != "dst" else []))
        assert code == 0
        assert "5 pictures" in err
    assert (here / "dst/men/deeper/new.png").is_symlink()
    assert run("--resume", "dst", "--mode", "copy")[0] == 2


SETTINGS = (
    ("--threshold", "0.9", "0.8"),
    ("--min-face", "20", "30"),
    ("--max-faces", "2", "3"),
    ("--main", "central", "largest"),
    ("--detector-threshold", "0.9", "0.7"),
    ("--detect-size", "800", "640"),
    ("--max-pixels", "130", "140"),
    ("--max-bytes", "9000", "8000"),
)


def test_resume_takes_every_option_that_decides_from_the_journal(run, here):
    """All of them at once: what is left out is restored, and what is given in another way is refused."""
    options = [part for option, first, _ in SETTINGS for part in (option, first)]
    given = ("--no-recursive", "--no-exact", "--no-faces", "--variant", "fp32", *options)
    assert run("src", "dst", "--mode", "move", *given)[0] == 0
    assert names(here / "dst") == {"woman/a.png", "man/b.png"}
    Image.new("RGB", (12, 12), (0, 255, 0)).save(here / "src/large.png")
    code, _, err = run("--resume", "dst")
    assert (code, "1 in failed/" in err) == (1, True), "by --max-pixels 130"
    assert names(here / "dst") == {"woman/a.png", "man/b.png", "failed/large.png"}, "and not what is in src/deeper"
    assert run("--resume", "dst", *given)[0] == 1
    after = snapshot(here)
    others = [(option, first, other, other) for option, first, other in SETTINGS]
    others += [("--recursive", "off", "on", None), ("--exact", "off", "on", None)]
    for option, first, other, value in others:
        code, _, err = run("--resume", "dst", option, *([] if value is None else [value]))
        assert code == 2
        assert f"belongs to another sort: {option} was {first} then and is {other} now. Go on" in err
        if option not in ("--recursive", "--exact"):  # the same without --resume, where this is their default
            code, _, err = run("src", "dst", "--mode", "move", *given, option, value)
            assert code == 2
            assert "another sort" in err
    code, _, err = run("src", "dst", "--mode", "move")
    assert code == 2
    assert "another sort: --recursive was off then and is on now" in err
    assert snapshot(here) == after


def test_resume_finds_the_model_again_and_refuses_another_one(here, model, tmp_path_factory, capsys, monkeypatch):
    def call(*arguments: object) -> tuple[int, str]:
        code = gender_classifier.main(["sort", *map(str, arguments)])
        return code, capsys.readouterr().err

    monkeypatch.chdir(model.parent)
    assert call(here / "src", here / "dst", "--model", model.name)[0] == 0  # a path from here
    monkeypatch.chdir(here)
    code, err = call("--resume", "dst")
    assert code == 0
    assert "4 of them by an earlier run" in err
    other = tiny_bundle(tmp_path_factory.mktemp("other"), TinyModel(thresholds={"female": 0.6, "male": 0.7}))
    code, err = call("--resume", "dst", "--model", other)
    assert code == 2
    assert "another sort: the model was " in err
    assert "{" not in err


def test_resume_keeps_to_faces_or_whole_pictures(run, here, monkeypatch):
    """A face detector that is installed meanwhile does not change what the rest is sorted by."""
    assert run("src", "dst")[0] == 0
    monkeypatch.setenv("GENDER_CLASSIFIER_DETECTOR", str(here / "detector.onnx"))
    code, _, err = run("--resume", "dst")
    assert code == 0
    assert "4 of them by an earlier run" in err
    assert run("--resume", "dst", "--faces")[0] == 2


def test_resume_of_one_file_leaves_the_others(run, here):
    assert run("src/a.png", "dst", "--mode", "move")[0] == 0
    for arguments in (("--resume", "dst"), ("src/a.png", "dst", "--mode", "move")):
        code, _, err = run(*arguments)
        assert code == 0
        assert "1 picture: 1 in woman/; 1 of them by an earlier run." in err
    assert names(here / "src") == {"b.png", "deeper/a.png", "deeper/c.png", "notes.txt"}
    code, _, err = run("--resume", "dst", "src", "dst")
    assert code == 2
    assert f"SRC was {here}/src/a.png then and is {here}/src now" in err
    assert run("--undo", "dst")[0] == 0
    assert names(here / "src") == {"a.png", "b.png", "deeper/a.png", "deeper/c.png", "notes.txt"}


def test_what_was_deleted_is_put_back(run, here):
    assert run("src", "dst")[0] == 0
    after = snapshot(here)
    (here / "dst/man/b.png").unlink()
    code, _, err = run("src", "dst")
    assert code == 0
    assert "4 pictures: 2 in man/, 1 in uncertain/, 1 in woman/; 3 of them by an earlier run." in err
    assert snapshot(here) == after


def test_a_full_disk_prints_the_tally(run, here, monkeypatch):
    place, left = sorter.place, [1]

    def full(*arguments: Any, **options: Any) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        place(*arguments, **options)

    monkeypatch.setattr(sorter, "place", full)
    code, _, err = run("src", "dst")
    assert code == 2
    assert "No space left on device. The same command goes on from here." in err
    assert "1 picture: 1 in woman/." in err
    assert "sort --undo" in err


def test_help_and_wrong_use_import_neither_numpy_nor_onnxruntime(here):
    code = (
        "import sys, gender_classifier as g\n"
        "for a in (['sort', '--help'], ['sort', '--bad']):\n"
        "    try: g.main(a)\n"
        "    except SystemExit: pass\n"
        "assert g.main(['sort', 'nowhere', 'dst']) == 2\n"
        "sys.exit(bool({'numpy', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("which", "expected"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_sort_goes_on_and_can_be_undone(model, here, which, expected):
    for number in range(120):
        colour = (255, number % 125 * 2, 0) if number % 2 else (number % 125 * 2, 255, 0)
        Image.new("RGB", (300, 300), colour).save(here / f"src/{number}.png")
    before = snapshot(here)
    command = [sys.executable, str(ROOT / "gender_classifier.py"), "sort", "src", "dst", "--mode", "move"]
    command += ["--model", str(model), "--threads", "1", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heed_interrupts)
    journal = here / "dst" / JOURNAL
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 4000):
        time.sleep(0.002)
    process.send_signal(which)
    _, err = process.communicate()
    assert process.returncode == expected
    assert b"Traceback" not in err
    if which == signal.SIGINT:
        assert re.search(rb"\d+ pictures?: \d+ \w+", err), "the tally"
        assert b"to put everything back: gender-classifier sort --undo" in err
    moved = len(names(here / "dst"))
    assert 0 < moved < 124
    subprocess.run(command, check=True, capture_output=True)
    assert names(here / "src") == {"notes.txt"}
    assert len(names(here / "dst")) == 124
    subprocess.run([*command[:3], "--undo", str(journal), "--yes"], check=True, capture_output=True)
    assert snapshot(here) == before


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX names")
def test_names_that_are_not_utf8(run, here):
    name = os.fsdecode(b"\xff\n\xf0\x9f\x98\x80.png")
    (here / "src/a.png").rename(here / "src" / name)
    before = snapshot(here)
    code, out, _ = run("src", "dst", "--dry-run")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert "\\xff\\n\U0001f600.png" in out
    assert run("src", "dst", "--mode", "move")[0] == 0
    assert f"woman/{name}" in names(here / "dst")
    assert run("--undo", "dst")[0] == 0
    assert snapshot(here) == before


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_a_reader_that_has_seen_enough_ends_a_dry_run_quietly(model, here):
    for number in range(40):
        Image.new("RGB", (10, 10), (255, number, 0)).save(here / f"src/{number}.png")
    before = snapshot(here)
    sort = f"'{sys.executable}' '{ROOT / 'gender_classifier.py'}' sort"
    for arguments in (f"src dst --dry-run --model '{model}' --batch-size 1", "--undo dst --dry-run"):
        command = f"{{ {sort} {arguments}; echo code $? >&2; }} | head -1"
        result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert len(result.stdout.splitlines()) == 1
        assert "roken pipe" not in result.stderr
        assert "Traceback" not in result.stderr
        assert "left where" not in result.stderr
        assert result.stderr.splitlines()[-1] == "code 0"
        if "--undo" not in arguments:
            assert snapshot(here) == before
            subprocess.run(["sh", "-c", f"{sort} src dst --model '{model}'"], check=True, capture_output=True)


def test_a_journal_given_as_a_file_is_obeyed_after_a_yes(run, here, monkeypatch):
    before = snapshot(here)
    journal = here / "dst" / JOURNAL
    assert run("src", "dst", "--mode", "move")[0] == 0
    after = snapshot(here)
    for option in ("--undo", "--resume"):
        code, out, err = run(option, journal)
        assert (code, out) == (2, "")
        assert "it was given as a file" in err
        assert "give --yes as well" in err
        assert snapshot(here) == after
    assert f"{here}/dst/woman/a.png -> {here}/src/a.png" in run("--undo", journal)[2]
    assert run("--resume", journal, "--yes")[0] == 0

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    for answer, code in (("\n", 2), ("n\n", 2), ("", 2), ("y\n", 0)):
        assert snapshot(here) == after
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert run("--undo", journal)[0] == code
    assert "Go on? [y/N]" in sys.stderr.getvalue()
    assert snapshot(here) == before


def test_undo_says_how_to_name_a_folder_that_lies_elsewhere_now(run, here):
    (here / "d").mkdir()
    (here / "src").rename(here / "d/src")
    before = snapshot(here)
    assert run("d/src", "dst", "--mode", "move")[0] == 0
    (here / "dst").rename(here / "d/dst")
    (here / "d/src").rename(here / "photos")
    code, _, err = run("--undo", "d/dst")
    assert code == 2
    assert "name it with --source DIR" in err
    assert "delete" not in err
    assert run("--undo", "d/dst", "--source", "photos")[0] == 0
    (here / "photos").rename(here / "d/src")
    assert snapshot(here) == before
