"""The three streams: closed, full, interrupted, in any encoding, and safe for a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gender_classifier.gender_cli import stdio
from support import ROOT, TinyModel, heed_interrupts, shell, tiny_bundle


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_closed_pipe_ends_it_quietly(model, pictures):
    for number in range(300):
        (pictures / f"x{number:03}.png").write_bytes((pictures / "a.png").read_bytes())
    command = f"{sys.executable} {ROOT / 'gender_classifier.py'} . --jsonl --model {model} | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout)["label"] == "female"
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_ends_it_quietly_after_whole_lines(model, pictures):
    for number in range(3000):
        (pictures / f"x{number:04}.png").hardlink_to(pictures / "a.png")
    command = [sys.executable, str(ROOT / "gender_classifier.py"), ".", "--jsonl", "--model", str(model)]
    # Unbuffered: communicate() reads past what readline() would have kept in a buffer.
    process = subprocess.Popen(
        command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err
    lines = (first + out).splitlines()
    assert len(lines) < 3000
    assert all(json.loads(line)["status"] == "ok" for line in lines)


def test_a_path_of_invalid_utf8_survives(model, pictures):
    if sys.platform in ("win32", "darwin"):
        pytest.skip("this file system allows only Unicode names")
    name = b"caf\xe9\n\xf0\x9f\x98\x80.png"
    (pictures / os.fsdecode(name)).write_bytes((pictures / "a.png").read_bytes())
    done = shell(os.fsdecode(name), "--jsonl", "--model", model)
    assert len(done.stdout.splitlines()) == 1
    assert os.fsencode(json.loads(done.stdout)["path"]) == name
    done = shell(os.fsdecode(name), "--csv", "--model", model)
    text = done.stdout.decode(errors="surrogateescape")
    assert os.fsencode(next(csv.DictReader(io.StringIO(text, newline="")))["path"]) == name
    assert len(shell(os.fsdecode(name), "-q", "--model", model).stdout.splitlines()) == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="any byte may stand in a name")
def test_a_name_with_a_line_end_stays_one_row_and_starts_no_formula(model, pictures):
    name = "a\r=1+1\n.png"
    (pictures / name).write_bytes((pictures / "a.png").read_bytes())
    text = shell(name, "--csv", "--model", model).stdout.decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["path"] == name
    assert row["status"] == "ok"
    assert b"\r\n" not in shell("a.png", "--csv", "--model", model).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("a.png > /dev/full", 2, "cannot be written: No space left"),
        ("a.png --csv > /dev/full", 2, "cannot be written: No space left"),
        ("a.png >&-", 2, "it is closed"),
        ("- --jsonl <&-", 1, '"not_found"'),
        ("a.png --jsonl 2>&-", 0, '"female"'),
        ("a.png -q --max-bytes 99999999999999999999", 0, "a.png  woman"),
        ("- -q --max-bytes 99999999999999999999 < a.png", 0, "-  woman"),
    ],
)
def test_streams_that_are_closed_or_full(command, code, words, model, pictures):
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    line = f"{sys.executable} {ROOT / 'gender_classifier.py'} --model {model} {command}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert words in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_stderr_that_nobody_reads_ends_no_run(model, pictures):
    command = f"{sys.executable} {ROOT / 'gender_classifier.py'} -r . --output r.jsonl --model {model} 2>&1 | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], timeout=60, check=False)
    assert done.returncode == 0
    assert len(Path("r.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-16"])
def test_tables_are_utf8_whatever_the_locale_and_text_is_escaped(encoding, model, pictures):
    names = ["\u65e5.png", "\\u65e5.png", "\xe9.png"]
    for name in names:
        (pictures / name).write_bytes((pictures / "a.png").read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for form in ("--csv", "--json", "--jsonl"):
        done = shell(*names, form, "--model", model, env=environment)
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode("utf-8")
        assert text.isascii() or form == "--csv"
        if form == "--csv":
            assert [row["path"] for row in csv.DictReader(io.StringIO(text, newline=""))] == names
    done = shell(*names, "--model", model, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.decode(encoding).splitlines()) == 3


# -- what a terminal is shown ----------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\u202e\x9b31m\r\n\x07"


@given(text=st.text(HOSTILE + "ab"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_said_or_shown_is_printable(text, capsys):
    stdio.say(text)
    stdio.show(text, text)
    out, err = capsys.readouterr()
    assert len(out.split("\n")) == 3
    assert err.startswith("gender-classifier: ")
    assert all(line.startswith("  ") for line in err.removesuffix("\n").split("\n")[1:])
    assert (out + err).replace("\n", "").isprintable()


def is_safe(done: subprocess.CompletedProcess[bytes]) -> bool:
    return (done.stdout + done.stderr).decode("utf-8").replace("\n", "").isprintable()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="any byte may stand in a name")
def test_no_name_reaches_the_terminal_as_it_is(model, pictures):
    for suffix, content in ((".png", (pictures / "a.png").read_bytes()), (".jpg", b"\xff\xd8\xff broken")):
        (pictures / f"{HOSTILE}{suffix}").write_bytes(content)
    (pictures / HOSTILE).mkdir()
    for arguments in (
        ("-r", "."),
        ("-r", "-v", "."),
        ("-r", ".", "--output", f"{HOSTILE}.jsonl"),
        (f"{HOSTILE}*.tif", f"no {HOSTILE}"),
        ("sort", ".", f"to {HOSTILE}", "--dry-run"),
    ):
        done = shell(*arguments, "--model", model)
        assert is_safe(done), arguments
        assert b"Traceback" not in done.stderr
    for arguments in (
        (f"--{HOSTILE}",),
        ("--lang", HOSTILE),
        ("models", HOSTILE),
        ("models", "show", HOSTILE),
        ("export", f"--{HOSTILE}"),
        ("evaluate", "report", f"--{HOSTILE}"),
    ):
        done = shell(*arguments)
        assert (done.returncode, is_safe(done)) == (2, True), arguments
        assert done.stderr


def test_no_word_of_a_model_reaches_the_terminal_as_it_is(tmp_path, pictures):
    labels = (("Female", f"female{HOSTILE}"), (HOSTILE, f"male{HOSTILE}"))
    folder = tiny_bundle(tmp_path, TinyModel("hostile", labels=labels))
    manifest = json.loads((folder / "bundle.json").read_text())
    changed = manifest | {
        "notes": [HOSTILE],
        "source": manifest["source"] | {"repository": HOSTILE, "license": HOSTILE},
    }
    (folder / "bundle.json").write_text(json.dumps(changed))
    environment = {**os.environ, "GENDER_CLASSIFIER_MODELS": str(tmp_path)}
    for arguments in (("a.png", "b.jpg", "-v", "--model", folder), ("--version", "--model", folder)):
        done = shell(*arguments)
        assert (done.returncode, is_safe(done)) == (0, True)
    for arguments in (("models", "list"), ("models", "show", "hostile"), ("models", "list", "--json")):
        done = shell(*arguments, env=environment)
        assert (done.returncode, is_safe(done)) == (0, True)


def test_no_name_in_a_graph_that_fails_reaches_the_terminal_as_it_is(tmp_path):
    """onnxruntime's own log repeats the names of the operators."""
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "blue.png")
    done = shell(tmp_path / "blue.png", "--model", tiny_bundle(tmp_path, TinyModel(blue="error")))
    assert (done.returncode, is_safe(done)) == (1, True)
    assert rb"Name:'\x1b[2J'" in done.stderr


# -- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize(
    "arguments",
    ["sort . out --dry-run", ". -r", ". -r --csv", "models list --json", "models show gender-small", "--help"],
)
def test_a_reader_that_has_enough_ends_it_quietly(arguments, model, pictures):
    for number in range(40):
        (pictures / f"x{number:03}.png").write_bytes((pictures / "a.png").read_bytes())
    model_option = "" if arguments.startswith(("models", "--help")) else f"--model {model}"
    command = (
        f"{sys.executable} {ROOT / 'gender_classifier.py'} {arguments} {model_option} | true; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"Broken" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (pictures / "out").exists()


BEFORE_MAIN = b'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\nKeyboardInterrupt\n'
"""What Python says of a Ctrl-C between the test's own ``print`` and ``main``."""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("-r", "."), ("sort", ".", "out"), ("export", "--help")]
)
def test_ctrl_c_is_quiet_at_any_moment(arguments, model, pictures):
    model_option = () if arguments[0] in ("--help", "export") else ("--model", str(model))
    code = "import sys, gender_classifier as g; print('up', flush=True); sys.exit(g.main())"
    generator = random.Random(str(arguments))
    codes = set()
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments, *model_option],
            bufsize=0,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=heed_interrupts,
        )
        assert process.stdout.readline() == b"up\n"
        time.sleep(generator.uniform(0, 0.7) ** 2)
        for _ in range(generator.choice([1, 2])):
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        err = err.replace(BEFORE_MAIN, b"")
        assert b"Traceback" not in err
        assert b"ignored" not in err
        codes.add(process.returncode)
    assert codes <= {130, 0, -signal.SIGINT}, "the last two: it was over"
    assert 130 in codes
