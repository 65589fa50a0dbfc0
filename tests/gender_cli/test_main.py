"""``gender-classifier PATH...``: output, exit codes, streams. The tiny model says woman for red, man for green."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import gender_classifier
from gender_classifier.runtime.prediction import Prediction
from support import ROOT, TinyModel, heed_interrupts, tiny_bundle

FIELDS = list(Prediction.failed("", "ok", "").__dict__)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    Image.new("RGB", (10, 10), (255, 0, 0)).save(folder / "a.png")
    Image.new("RGB", (10, 10), (0, 255, 0)).save(folder / "b.jpg", quality=95)
    Image.new("RGB", (10, 10), (0, 255, 0)).save(folder / "deeper" / "c.png")
    (folder / "notes.txt").write_text("no picture")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(model, capsys):
    def call(*arguments: object, model: Path | None = model) -> tuple[int, str, str]:
        chosen = ["--model", str(model)] if model else []
        try:
            code = gender_classifier.main([*map(str, arguments), *chosen])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def shell(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(ROOT / "gender_classifier.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)


def test_text_shows_the_word_and_both_probabilities(run, pictures):
    code, out, err = run("a.png")
    assert code == 0
    first, *bars = out.splitlines()
    assert first == "a.png: woman"
    assert [line.split()[0] for line in bars] == ["woman", "man"]
    assert [line.split()[-1] for line in bars] == ["100.0%", "0.0%"]
    assert "█" in bars[0]
    assert "\x1b" not in out  # no colour unless on a terminal
    assert "guess" in err


def test_options_may_stand_between_paths(run, pictures):
    both = [str(pictures / name) for name in ("missing-1.jpg", "missing-2.jpg")]
    code, out, _ = run(both[0], "--jsonl", "--threads", "1", both[1])
    assert code == 1
    assert [json.loads(line)["path"] for line in out.splitlines()] == both


def test_a_path_that_starts_with_a_dash(run, model):
    code, out, _ = run("--jsonl", "--model", model, "--", "-1.jpg", "--json", model=None)
    assert code == 1
    assert [json.loads(line)["path"] for line in out.splitlines()] == ["-1.jpg", "--json"]


def test_french_words_in_text_only(run, pictures):
    code, out, _ = run("a.png", "--lang", "fr", "--quiet")
    assert code == 0
    assert out.startswith("a.png: femme\n")
    assert "100,0 %" in out
    _, out, _ = run("a.png", "--lang", "fr", "--jsonl")
    assert json.loads(out)["label"] == "female"


def test_quiet_leaves_stderr_empty(run, pictures):
    assert run("a.png", "-q")[2] == ""


def test_jsonl_has_exactly_the_fields_of_a_prediction(run, pictures):
    code, out, _ = run("a.png", "missing.png", "b.jpg", "--jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert all(list(row) == FIELDS for row in rows)
    assert [(row["path"], row["status"], row["label"]) for row in rows] == [
        ("a.png", "ok", "female"),
        ("missing.png", "not_found", None),
        ("b.jpg", "ok", "male"),
    ]


def test_json_is_one_list(run, pictures):
    assert [row["label"] for row in json.loads(run("a.png", "b.jpg", "--json")[1])] == ["female", "male"]


def test_csv_has_a_header_and_a_row_each(run, pictures):
    code, out, _ = run("a.png", "missing.png", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert rows[0] | {"female": "", "male": "", "score": ""} == {
        "path": "a.png", "status": "ok", "label": "female", "score": "", "female": "", "male": "",
        "raw_label": "Female", "people": "1", "error": "",
    }  # fmt: skip
    assert float(rows[0]["female"]) + float(rows[0]["male"]) == pytest.approx(1, abs=2e-6)
    assert rows[1]["status"] == "not_found"
    assert "missing.png" in rows[1]["error"]


def test_a_folder_and_its_subfolders(run, pictures):
    assert [json.loads(line)["path"] for line in run(".", "--jsonl")[1].splitlines()] == ["./a.png", "./b.jpg"]
    assert [json.loads(line)["path"] for line in run(".", "-r", "--jsonl")[1].splitlines()] == [
        "./a.png", "./b.jpg", "./deeper/c.png",
    ]  # fmt: skip


def test_a_glob_is_expanded_by_the_program(run, pictures):
    assert len(run("*.png", "--jsonl")[1].splitlines()) == 1
    assert len(run("**/*.png", "--jsonl")[1].splitlines()) == 2


def test_bad_pictures_fail_alone(run, pictures):
    (pictures / "empty.png").write_bytes(b"")
    whole = (pictures / "b.jpg").read_bytes()
    (pictures / "torn.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    code, out, err = run("notes.txt", "empty.png", "torn.jpg", "nowhere.png", "a.png")
    assert code == 1
    assert out.startswith("a.png: woman\n")
    for name in ("notes.txt", "empty.png", "torn.jpg", "nowhere.png"):
        assert any(name in line for line in err.splitlines())
    assert "Traceback" not in err


def test_a_folder_without_pictures_gets_a_sentence(run, tmp_path):
    (tmp_path / "bare").mkdir()
    code, out, err = run(tmp_path / "bare")
    assert (code, out) == (1, "")
    assert "bare" in err


def test_a_bomb_is_refused_by_its_header(run, pictures):
    code, out, _ = run("a.png", "--max-pixels", "99", "--jsonl")
    assert code == 1
    assert json.loads(out)["status"] == "too_large"
    assert run("a.png", "--max-bytes", "10", "--jsonl")[0] == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(run, pictures):
    (pictures / "a.png").chmod(0)
    assert json.loads(run("a.png", "--jsonl")[1])["status"] == "permission_denied"


def test_the_threshold_makes_uncertain(run, pictures, tmp_path):
    weak = tiny_bundle(tmp_path, TinyModel("weak", gain=0.2))
    _, out, _ = run("a.png", "--threshold", "0.9", model=weak)
    assert out.startswith("a.png: uncertain\n")
    assert json.loads(run("a.png", "--threshold", "0.9", "--jsonl", model=weak)[1])["raw_label"] == "Female"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.png", "--threshold", "2"],
        ["a.png", "--threads", "0"],
        ["a.png", "--json", "--csv"],
        ["a.png", "--lang", "de"],
        ["a.png", "--nonsense"],
        ["a.png", "--resume"],
        ["a.png", "--output", "x.jsonl", "--json"],
        ["-", "-"],
        ["a.png", "--provider", "nonsense"],
        ["a.png", "--variant", "q4"],
    ],
)
def test_wrong_use_is_exit_2_with_a_sentence(run, pictures, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_no_model_is_exit_2(run, pictures):
    code, out, err = run("a.png", model=Path("nowhere/at-all"))
    assert (code, out) == (2, "")
    assert "nowhere/at-all" in err


@pytest.mark.parametrize("damage", ["byte", "missing", "field"])
def test_a_broken_bundle_is_exit_2(run, pictures, tmp_path, damage):
    folder = tiny_bundle(tmp_path, TinyModel("broken"))
    if damage == "missing":
        (folder / "onnx/model.onnx").unlink()
    elif damage == "byte":
        content = bytearray((folder / "onnx/model.onnx").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "onnx/model.onnx").write_bytes(content)
    else:
        manifest = json.loads((folder / "bundle.json").read_text())
        (folder / "bundle.json").write_text(json.dumps(manifest | {"surprise": 1}))
    code, out, err = run("a.png", model=folder)
    assert (code, out) == (2, "")
    assert {"byte": "sha256", "missing": "missing", "field": "surprise"}[damage] in err


def test_stdin(model, pictures):
    done = shell("-", "--jsonl", "--model", model, input=(pictures / "a.png").read_bytes())
    row = json.loads(done.stdout)
    assert (done.returncode, row["path"], row["label"]) == (0, "-", "female")
    done = shell("-", "--jsonl", "--model", model, input=b"nothing like a picture")
    assert done.returncode == 1


def test_from_any_folder_the_built_in_model_answers(tmp_path):
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "grey.png")
    environment = {**os.environ, "GENDER_CLASSIFIER_MODELS": str(tmp_path)}
    environment.pop("GENDER_CLASSIFIER_MODEL", None)
    done = shell("grey.png", "--jsonl", "--no-faces", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] in ("female", "male", "uncertain")
    notice = done.stderr.decode()
    assert "gender-classifier export" in notice
    assert "built-in" in notice


def test_it_says_which_model_it_took_unless_that_was_named(model, pictures, tmp_path, monkeypatch, capsys):
    models = tmp_path / "models"
    exported = tiny_bundle(models, TinyModel("exported"))
    monkeypatch.setenv("GENDER_CLASSIFIER_MODELS", str(models))
    monkeypatch.delenv("GENDER_CLASSIFIER_MODEL", raising=False)

    def said(*arguments: str) -> str:
        assert gender_classifier.main(["a.png", *arguments]) == 0
        return capsys.readouterr().err

    assert "Using the model exported, the one exported last." in said()
    monkeypatch.setenv("GENDER_CLASSIFIER_MODEL", str(model))
    assert "Using the model tiny, which GENDER_CLASSIFIER_MODEL names." in said()
    for quiet in (said("--model", str(exported)), said("--quiet")):
        assert "Using" not in quiet


def test_help_version_and_wrong_use_import_neither_numpy_nor_onnxruntime(tmp_path):
    code = (
        "import sys, gender_classifier\n"
        "try:\n    code = gender_classifier.main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    code = stop.code\n"
        "heavy = {'numpy', 'onnxruntime', 'PIL', 'tqdm', 'torch', 'huggingface_hub'} & set(sys.modules)\n"
        "print(code, sorted(heavy), file=sys.stderr)"
    )
    for arguments, expected in (["--help"], 0), (["--version"], 0), (["--nonsense"], 2), ([], 2), (["sort"], 2):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        assert done.stderr.splitlines()[-1] == f"{expected} []", arguments


def test_version_names_package_model_and_engine(run, model):
    import onnxruntime

    from gender_classifier import runtime

    code, out, _ = run("--version")
    assert code == 0
    assert out.splitlines() == [
        f"gender-classifier {runtime.__version__}",
        out.splitlines()[1],
        f"onnxruntime {onnxruntime.__version__}",
    ]
    assert out.splitlines()[1].startswith("model tiny (tiny ")


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


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_at_any_moment_is_quiet(model, pictures):
    """While it imports, loads, answers and leaves."""
    code = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom gender_classifier import main\n"
        "print('begun', file=sys.stderr, flush=True)\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, ".", "-r", "--jsonl", "--model", str(model)]
    codes = set()
    for number in range(12):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        )
        assert process.stderr.readline() == "begun\n"
        time.sleep(0.005 + number * 0.04)
        for _ in range(1 + number % 2):
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        codes.add(process.returncode)
        assert "Traceback" not in err
        assert "Exception ignored" not in err
    assert codes <= {0, 1, 130, -signal.SIGINT}
    assert codes & {130, -signal.SIGINT}


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
    assert len(shell(os.fsdecode(name), "-q", "--model", model).stdout.splitlines()) == 3  # one line for the path


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
        ("a.png -q --max-bytes 99999999999999999999", 0, "a.png: woman"),
        ("- -q --max-bytes 99999999999999999999 < a.png", 0, "-: woman"),
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


@pytest.mark.parametrize("form", [[], ["--csv"], ["--jsonl"]])
def test_an_encoding_that_lacks_a_name(form, model, pictures):
    (pictures / "\N{GRINNING FACE}.png").write_bytes((pictures / "a.png").read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = shell("\N{GRINNING FACE}.png", "a.png", *form, "--model", model, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"a.png" in done.stdout


def test_a_name_that_is_too_long_is_a_result(run, pictures):
    code, _, err = run("a" * 300)
    assert code == 1
    assert "There is no file" in err


def test_inputs_without_a_picture_come_as_they_are_met(model, tmp_path):
    """A tree of nothing but dangling links is a stream too."""
    from gender_classifier.gender_cli.classify import predictions
    from gender_classifier.gender_cli.inputs import Item
    from gender_classifier.runtime.classifier import load
    from gender_classifier.runtime.prediction import Status

    taken = 0

    def items():
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield Item(f"{number}.jpg", (Status.NOT_FOUND, "gone"))

    stream = predictions(load(model), items(), batch_size=8, workers=1)
    first = next(stream)
    assert (first.path, first.status, first.error) == ("0.jpg", Status.NOT_FOUND, "gone")
    assert taken < 50
    assert [each.path for each in stream] == [f"{number}.jpg" for number in range(1, 1000)]


def test_output_appends_and_resume_skips(run, pictures):
    code, out, _ = run("a.png", "--output", "results.jsonl")
    assert (code, out) == (0, "")
    code, out, _ = run(".", "--output", "results.jsonl", "--resume")
    assert code == 0
    rows = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
    assert sorted(Path(row["path"]).name for row in rows)[0] == "a.png"
    assert run("a.png", "--output", "results.jsonl")[0] == 2  # never mixes two runs unasked


def test_answers_start_before_the_last_picture_is_read(model, pictures):
    """A stream stays a stream: the first line is out long before a long list is through."""
    for number in range(2000):
        (pictures / f"y{number:04}.png").hardlink_to(pictures / "a.png")
    command = [sys.executable, str(ROOT / "gender_classifier.py"), ".", "--jsonl", "--model", str(model), "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    start = time.monotonic()
    process.stdout.readline()
    first = time.monotonic() - start
    process.stdout.read()
    assert first < (time.monotonic() - start)
    process.wait(30)
