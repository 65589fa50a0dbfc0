"""``gender-classifier PATH...``: output, exit codes, streams. The tiny model says woman for red, man for green."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import gender_classifier
from gender_classifier.runtime.prediction import Prediction
from support import ROOT, TinyModel, shell, tiny_bundle

FIELDS = list(Prediction.failed("", "ok", "").__dict__)


def test_text_is_a_line_with_the_word_its_probability_and_a_bar(run, pictures):
    code, out, err = run("a.png")
    assert code == 0
    assert out == f"a.png  woman 100.0%  {'█' * 12}\n"  # no colour unless on a terminal
    assert "guess" in err


def test_verbose_adds_every_probability(run, pictures):
    assert run("a.png", "b.jpg", "-v")[1].splitlines() == [
        f"a.png  woman 100.0%  {'█' * 12}",
        "  woman: woman 100.0%, man 0.0%",
        f"b.jpg  man 100.0%  {'█' * 12}",
        "  man: woman 0.0%, man 100.0%",
    ]


def test_a_path_that_does_not_exist_is_one_line(run, pictures):
    code, out, err = run("nowhere.jpg")
    assert (code, out) == (1, "")
    assert err == "gender-classifier: There is no file 'nowhere.jpg'.\n"


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
    assert out.startswith("a.png  femme 100,0 %  ")
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
    assert rows[0] | {"female": "", "male": "", "score": "", "model": ""} == {
        "path": "a.png", "status": "ok", "label": "female", "score": "", "female": "", "male": "",
        "raw_label": "Female", "people": "1", "women": "1", "men": "0", "uncertain": "0", "width": "10", "height": "10",
        "model": "", "error": "",
    }  # fmt: skip
    assert rows[0]["model"] == rows[1]["model"]
    assert rows[0]["model"].startswith("tiny fp32 ")
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
    assert out.startswith("a.png  woman ")
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
    assert "raise --max-bytes to read it" in run("a.png", "--max-bytes", "10")[2]
    code, _, err = run("a.png", "--max-pixels", "99")
    assert (code, "raise --max-pixels to read it" in err, "Limits(" in err) == (1, True, False)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(run, pictures):
    (pictures / "a.png").chmod(0)
    assert json.loads(run("a.png", "--jsonl")[1])["status"] == "permission_denied"


def test_the_threshold_makes_uncertain(run, pictures, tmp_path):
    weak = tiny_bundle(tmp_path, TinyModel("weak", gain=0.2))
    _, out, _ = run("a.png", "--threshold", "0.9", model=weak)
    assert out.startswith("a.png  uncertain (woman 59.9%)  ")
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
    assert "export" not in done.stderr.decode(), "what else there is belongs to --help and models list"


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


def test_resume_refuses_another_model_and_other_options(run, pictures, tmp_path):
    assert run("a.png", "--output", "results.jsonl")[0] == 0
    before = Path("results.jsonl").read_bytes()
    other = tiny_bundle(tmp_path, TinyModel("other"))
    stronger = tiny_bundle(tmp_path / "again", TinyModel("tiny", gain=5.0))
    for options, model in (((), other), ((), stronger), (("--threshold", "0.9"), None), (("--no-exact",), None)):
        named = {} if model is None else {"model": model}
        code, _, err = run("a.png", "b.jpg", "--output", "results.jsonl", "--resume", *options, **named)
        assert code == 2
        assert "was answered by tiny fp32 " in err
        assert Path("results.jsonl").read_bytes() == before
    assert run("a.png", "b.jpg", "--output", "results.jsonl", "--resume", "--threads", "1")[0] == 0


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
