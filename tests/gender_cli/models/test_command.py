"""``gender-classifier models list | show | verify | remove``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import gender_classifier
from gender_classifier.runtime.bundle import locate, origin
from support import ROOT, TinyModel, tiny_bundle


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """The folder of installed models; the built-in one lies elsewhere, as in an installed package."""
    folder = tmp_path / "models"
    folder.mkdir()
    builtin = tiny_bundle(tmp_path / "package", TinyModel(name=locate.BUILTIN_NAME))
    monkeypatch.setenv(locate.MODELS_VARIABLE, str(folder))
    monkeypatch.delenv(locate.MODEL_VARIABLE, raising=False)
    monkeypatch.setattr(locate, "builtin_path", lambda: builtin)
    return folder


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = gender_classifier.main(["models", *map(str, arguments)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def edit(bundle: Path, **changes: object) -> None:
    path = bundle / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestList:
    def test_names_the_built_in_model_and_the_default(self, models, run):
        code, out, err = run("list")
        assert code == 0
        assert "To bring a larger one from the Hub: pip install " in err
        line = next(line for line in out.splitlines() if locate.BUILTIN_NAME in line)
        assert line.startswith(f"* {locate.BUILTIN_NAME}")
        assert "built-in" in line
        assert "[fp32]" in line

    def test_a_newer_model_is_the_default(self, models, run):
        tiny_bundle(models, TinyModel(name="mine"))
        code, out, _ = run("list", "--json")
        listed = {one["name"]: one for one in json.loads(out)}
        assert code == 0
        assert (listed["mine"]["default"], listed["mine"]["builtin"]) == (True, False)
        assert (listed[locate.BUILTIN_NAME]["default"], listed[locate.BUILTIN_NAME]["builtin"]) == (False, True)

    @pytest.mark.parametrize("named", ["mine", "org/name"])
    def test_the_environment_names_the_default(self, models, run, monkeypatch, named):
        origin.record(tiny_bundle(models, TinyModel(name="mine")), models / "mine", "org/name", "ab" * 20)
        os.utime(tiny_bundle(models, TinyModel(name="newer")) / "bundle.json", (4e9, 4e9))
        monkeypatch.setenv(locate.MODEL_VARIABLE, named)
        assert [one["name"] for one in json.loads(run("list", "--json")[1]) if one["default"]] == ["mine"]

    def test_the_size_is_that_of_the_files(self, models, run):
        folder = tiny_bundle(models)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "bundle.json")
        _, out, _ = run("list", "--json")
        assert next(one["bytes"] for one in json.loads(out) if one["name"] == "tiny") == size

    def test_a_broken_model_is_listed_as_broken(self, models, run):
        (tiny_bundle(models) / "bundle.json").write_text("{")
        code, out, err = run("list")
        assert code == 1
        assert "broken" in next(line for line in out.splitlines() if "tiny" in line)
        assert str(models / "tiny" / "bundle.json") in err
        assert locate.BUILTIN_NAME in out, "the others are still listed"

    def test_the_columns_stand_below_each_other(self, models, run):
        tiny_bundle(models, TinyModel(name="a-much-longer-name-than-the-others"))
        lines = run("list")[1].splitlines()[:3]
        column = lines[0].index("FOLDER")
        assert all(line[column - 2 : column] == "  " and line[column] in "F/" for line in lines)


class TestShow:
    def test_says_what_a_card_says(self, models, run):
        thresholds = {"female": 0.7, "male": 0.8}
        spec = TinyModel(labels=(("F", "female"), ("M", "male")), framing="box", margin=0.25, thresholds=thresholds)
        tiny_bundle(models, spec)
        variant = json.loads((models / "tiny/bundle.json").read_text())["variants"]["fp32"]
        parity = {
            "pictures": 300,
            "max_probability_difference": 1.5e-6,
            "decisions_flipped": 2,
            "tolerance": 1e-4,
            "latency_ratio_to_fp32": 0.5,
            "reference": "torch 2.13.0",
        }
        source = {"kind": "hub", "repository": "org/name", "revision": "ab" * 20, "license": "apache-2.0"}
        edit(models / "tiny", variants={"fp32": {**variant, "parity": parity}}, source=source, notes=["q4 is larger."])
        code, out, _ = run("show", "tiny")
        assert code == 0
        for expected in (
            "org/name",
            "ab" * 20,
            "apache-2.0",
            "'F' means woman; 'M' means man",
            "margin of 0.25",
            "woman 0.7, man 0.8",
            "1.5e-06",
            "2/300",
            "0.50",
            "torch 2.13.0",
            "note: q4 is larger.",
        ):
            assert expected in out

    def test_json_holds_the_whole_manifest(self, models, run):
        folder = tiny_bundle(models)
        code, out, _ = run("show", "tiny", "--json")
        shown = json.loads(out)
        assert code == 0
        assert shown["path"] == str(folder)
        assert shown["bundle"]["variants"] == {
            "fp32": {
                **shown["bundle"]["variants"]["fp32"],
                **json.loads((folder / "bundle.json").read_text())["variants"]["fp32"],
            }
        }

    def test_takes_a_folder(self, models, run, tmp_path):
        folder = tiny_bundle(tmp_path / "elsewhere")
        assert run("show", folder)[0] == 0

    def test_takes_the_repository_that_a_model_came_from(self, models, run):
        origin.record(tiny_bundle(models), models / "tiny", "org/name", "ab" * 20)
        code, out, _ = run("show", "org/name")
        assert (code, str(models / "tiny") in out) == (0, True)

    @pytest.mark.parametrize("command", ["show", "verify"])
    def test_no_such_model(self, models, run, command):
        code, out, err = run(command, "nobody")
        assert (code, out) == (2, "")
        assert "'nobody'" in err
        assert locate.BUILTIN_NAME in err

    @pytest.mark.parametrize("command", ["show", "verify"])
    def test_a_broken_manifest(self, models, run, command):
        edit(tiny_bundle(models), surprise=1)
        code, _, err = run(command, "tiny")
        assert code == 1
        assert "surprise" in err


class TestVerify:
    def test_unchanged(self, models, run):
        tiny_bundle(models)
        code, out, err = run("verify", "tiny")
        assert (code, err) == (0, "")
        assert "3 files" in out

    @pytest.mark.parametrize("name", ["onnx/model.onnx", "config.json", "preprocessor_config.json"])
    def test_one_changed_byte(self, models, run, name):
        path = tiny_bundle(models) / name
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        code, _, err = run("verify", "tiny")
        assert code == 1
        assert name in err

    def test_a_variant_that_is_not_the_default(self, models, run):
        folder = tiny_bundle(models)
        variant = json.loads((folder / "bundle.json").read_text())["variants"]["fp32"]
        edit(folder, variants={"fp32": variant, "int8": {**variant, "file": "onnx/model_quantized.onnx"}})
        code, _, err = run("verify", "tiny")
        assert code == 1
        assert "onnx/model_quantized.onnx is missing" in err


class TestRemove:
    def test_with_yes(self, models, run):
        folder = tiny_bundle(models)
        code, out, _ = run("remove", "tiny", "--yes")
        assert code == 0
        assert str(folder) in out
        assert list(models.iterdir()) == []

    def test_asks_on_a_terminal(self, models, run, monkeypatch):
        folder = tiny_bundle(models)
        for answer, code, remains in (("\n", 1, True), ("no\n", 1, True), ("", 1, True), ("y\n", 0, False)):
            terminal = io.StringIO(answer)
            terminal.isatty = lambda: True  # type: ignore[method-assign]
            monkeypatch.setattr(sys, "stdin", terminal)
            result = run("remove", "tiny")
            assert result[0] == code
            assert str(folder) in result[2] or not remains
            assert folder.exists() is remains

    def test_without_a_terminal_only_with_yes(self, models, run, monkeypatch):
        folder = tiny_bundle(models)
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        code, _, err = run("remove", "tiny")
        assert (code, folder.exists()) == (2, True)
        assert "--yes" in err

    def test_the_built_in_model_stays(self, models, run):
        code, _, err = run("remove", locate.BUILTIN_NAME, "--yes")
        assert code == 2
        assert "built-in" in err
        assert (locate.builtin_path() / "bundle.json").is_file()

    def test_the_built_in_model_stays_where_it_is_on_the_search_path(self, models, run, monkeypatch):
        monkeypatch.setenv(locate.MODELS_VARIABLE, str(locate.builtin_path().parent))
        assert run("remove", locate.BUILTIN_NAME, "--yes")[0] == 2
        assert (locate.builtin_path() / "bundle.json").is_file()

    def test_no_path_is_taken(self, models, run, tmp_path):
        folder = tiny_bundle(tmp_path / "elsewhere")
        assert run("remove", folder, "--yes")[0] == 2
        assert run("remove", "..", "--yes")[0] == 2
        assert folder.exists()

    def test_no_such_model(self, models, run):
        code, _, err = run("remove", "nobody", "--yes")
        assert code == 2
        assert "'nobody'" in err

    def test_a_broken_model_can_be_removed(self, models, run):
        (tiny_bundle(models) / "bundle.json").write_text("{")
        assert run("remove", "tiny", "--yes")[0] == 0
        assert list(models.iterdir()) == []

    def test_of_a_link_only_the_link_goes(self, models, run, tmp_path):
        folder = tiny_bundle(tmp_path / "elsewhere")
        (models / "linked").symlink_to(folder)
        assert run("remove", "linked", "--yes")[0] == 0
        assert list(models.iterdir()) == []
        assert (folder / "bundle.json").is_file()

    def test_it_is_gone_even_where_its_files_cannot_be_deleted(self, models, run, monkeypatch):
        folder = tiny_bundle(models)

        def refuse(path, *args, **kwargs):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("shutil.rmtree", refuse)
        code, _, err = run("remove", "tiny", "--yes")
        assert code == 1
        assert "Permission denied" in err
        assert not folder.exists()
        assert locate.installed() == []


HOSTILE = {
    "deep": b"[" * 100_000,
    "long-number": b'{"format_version": ' + b"1" * 400 + b"}",
    "huge-number": b'{"format_version": 1e999}',
    "nul": b'{"format_version": 1, "name": "a\\u0000b"}',
    "half": b'{"format_version": 1, "name": "\\ud800"}',
    "binary": bytes(range(256)),
    "endless": b" " * (8 * 1024 * 1024 + 1),
    "empty": b"",
}


class TestBrokenFolders:
    """One broken folder among the models ends nothing that does not use it."""

    @pytest.fixture
    def broken(self, models):
        for name, content in HOSTILE.items():
            (models / name).mkdir()
            (models / name / "bundle.json").write_bytes(content)
        for name in ("fifo", "folder", "loop"):
            (models / name).mkdir()
        if hasattr(os, "mkfifo"):
            os.mkfifo(models / "fifo/bundle.json")
        (models / "folder/bundle.json").mkdir()
        (models / "loop/bundle.json").symlink_to("bundle.json")
        (models / os.fsdecode(b"\xff\x1b[2J")).mkdir()
        return tiny_bundle(models, TinyModel(name="good"))

    def test_the_list_names_each_and_goes_on(self, models, run, broken):
        code, out, err = run("list", "--json")
        listed = {one["name"]: one["problem"] for one in json.loads(out)}
        assert (code, listed["good"], listed[locate.BUILTIN_NAME]) == (1, None, None)
        assert {name for name, problem in listed.items() if problem} == set(HOSTILE)
        assert len(err.splitlines()) == len(HOSTILE)
        assert max(map(len, err.splitlines())) < 500

    def test_another_model_is_used(self, models, run, broken, tmp_path):
        assert run("verify", "good")[0] == 0
        assert "model good" in version("--model", "good")
        from gender_classifier import runtime

        assert runtime.load("good").predict(Image.new("RGB", (9, 9), "red")).label == "female"

    @pytest.mark.parametrize("name", HOSTILE)
    def test_itself_gives_a_sentence(self, models, run, broken, name):
        for command in ("show", "verify"):
            code, _, err = run(command, name)
            assert (code, len(err.splitlines())) == (1, 1)
        assert version("--model", name).splitlines()[1].startswith("model none (")
        assert run("remove", name, "--yes")[0] == 0

    def test_a_model_folder_that_is_a_file(self, models, run, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("x")
        monkeypatch.setenv(locate.MODELS_VARIABLE, str(tmp_path / "file"))
        assert run("list")[0] == 0


class TestWithoutHome:
    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["list"], 0),
            (["show", locate.BUILTIN_NAME], 0),
            (["verify", locate.BUILTIN_NAME], 0),
            (["show", "other"], 2),
            (["show", "org/name"], 2),
            (["remove", "other", "--yes"], 2),
            (["add", "FOREIGN"], 1),
            (["add-detector"], 1),
        ],
    )
    def test_every_command_works_or_says_what_to_set(self, monkeypatch, run, tmp_path, words, code):
        def homeless():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", homeless)
        for name in list(os.environ):
            if name.startswith(("GENDER_CLASSIFIER", "XDG", "HF_", "HOME", "LOCALAPPDATA")):
                monkeypatch.delenv(name)
        monkeypatch.setattr(locate, "_checkout_models", lambda: None)
        foreign = tiny_bundle(tmp_path)
        (foreign / "bundle.json").unlink()
        result, _, err = run(*(str(foreign) if word == "FOREIGN" else word for word in words))
        assert result == code
        assert "Traceback" not in err
        if code == 1:
            assert "GENDER_CLASSIFIER_MODELS" in err
            assert "XDG_DATA_HOME" in err


def version(*words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert gender_classifier.main([*words, "--version"]) == 0
    return out.getvalue()


class TestCommand:
    def test_needs_a_command(self, models, run):
        code, _, err = run()
        assert code == 2
        assert "COMMAND" in err

    @pytest.mark.parametrize("command", [["--help"], ["list", "--help"], ["add", "--help"], ["list"], ["show", "tiny"]])
    def test_loads_nothing_heavy(self, tmp_path, command):
        tiny_bundle(tmp_path)
        code = (
            "import sys, gender_classifier\n"
            "try:\n    gender_classifier.main(['models', *sys.argv[1:]])\n"
            "except SystemExit as stop:\n    assert not stop.code\n"
            "heavy = {'numpy', 'PIL', 'onnxruntime', 'huggingface_hub', 'requests'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=ROOT,
            env={**os.environ, locate.MODELS_VARIABLE: str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
