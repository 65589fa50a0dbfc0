"""``gender-classifier sort`` as people call it. The tiny model says woman for red, man for green."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from sort_support import JOURNAL, snapshot
from support import ROOT, TinyModel, heed_interrupts, tiny_bundle

import gender_classifier

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
    assert "4 pictures: 2 man, 1 uncertain, 1 woman." in err
    assert f"sort --undo {here / 'dst' / JOURNAL}" in err
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
        assert "1 left where they are (1 not_a_file)" in err


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
        (("--undo", "src/notes.txt"), "no journal"),
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
    assert run("src", "dst", "--mode", "symlink", "--keep-tree", "--names", "male=men", "--mixed")[0] == 0
    Image.new("RGB", (14, 14), (0, 255, 0)).save(here / "src/deeper/new.png")
    for journal in ("dst", here / "dst" / JOURNAL):
        code, _, err = run("--resume", journal)
        assert code == 0
        assert "5 pictures" in err
    assert (here / "dst/men/deeper/new.png").is_symlink()
    assert run("--resume", "dst", "--mode", "copy")[0] == 2
    code, _, err = run("--resume", "dst", "--threshold", "0.9")
    assert code == 2
    assert "model" in err


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
    moved = len(names(here / "dst"))
    assert 0 < moved < 124
    subprocess.run(command, check=True, capture_output=True)
    assert names(here / "src") == {"notes.txt"}
    assert len(names(here / "dst")) == 124
    subprocess.run([*command[:3], "--undo", str(journal)], check=True, capture_output=True)
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
