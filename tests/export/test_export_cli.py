"""``gender-classifier export``: exit codes and sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gender_classifier.export.command import main
from support import ROOT
from support.fake_hub import FakeHub


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--no-such-option"], ["x", "y"]])
def test_help_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom gender_classifier.export.command import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'onnx', 'onnxruntime', 'huggingface_hub', 'PIL'}\n"
        "print('\\n', code, sorted(heavy & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1].strip() == f"{0 if arguments == ['--help'] else 2} []", done.stderr


def test_export_from_the_command_line(
    vit_checkpoint: Path, few_pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [str(vit_checkpoint), "--output", str(tmp_path), "--name", "m", "--pictures", str(few_pictures),
         "--variants", "", "--framing", "box", "--margin", "0.3"]
    )  # fmt: skip
    captured = capfd.readouterr()
    assert code == 0, captured.err
    assert captured.out == f"{tmp_path / 'm'}\n"  # data only
    assert "fp32 equals the original" in captured.err
    assert "largest probability difference" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no-such-folder"], 1, "no checkpoint folder no-such-folder"),
        (["x/y", "--label-map", "cat"], 2, "label map"),
        (["x/y", "--variants", "fp16"], 2, "fp16"),
        (["x/y", "--name", "a/b"], 2, "cannot name a bundle"),
        (["x/y", "--margin", "0.2"], 2, "need --framing"),
    ],
)
def test_failures_are_sentences(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if code == 1:
        pytest.importorskip("torch")
    try:
        got = main(arguments)
    except SystemExit as end:
        got = int(end.code or 0)
    captured = capsys.readouterr()
    assert got == code
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_gate_that_fails_exits_1(
    vit_checkpoint: Path, few_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [str(vit_checkpoint), "--output", str(tmp_path), "--name", "m", "--pictures", str(few_pictures),
         "--variants", "", "--tolerance", "0"]
    )  # fmt: skip
    assert code == 1
    assert "not the same model" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_from_the_hub_in_a_process_of_its_own(vit_checkpoint: Path, few_pictures: Path, tmp_path: Path) -> None:
    with FakeHub() as hub:
        commit = hub.add("org/name", vit_checkpoint, card={"license": "mit"})
        done = python(
            "-m", "export", "org/name", "--output", str(tmp_path / "models"), "--pictures", str(few_pictures),
            "--variants", "", "--push", "org/copy", **{**hub.environment(tmp_path / "cache"), "HF_TOKEN": "hf_x"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert commit in done.stderr
        bundle = tmp_path / "models" / "name"
        assert done.stdout == f"{bundle}\n"
        pushed = hub.repositories["org/copy"].commits[-1][1]
        assert pushed == {
            path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()
        }
        card = (bundle / "README.md").read_text()
        assert "base_model: org/name" in card
        assert commit in card


def test_no_network_in_a_process_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = python("-m", "export", "org/name", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Check the network" in done.stderr
    assert "Traceback" not in done.stderr


def test_export_packages_missing_is_a_sentence(tmp_path: Path) -> None:
    code = (
        "import sys\nfor name in ('torch', 'transformers', 'optimum', 'huggingface_hub'): sys.modules[name] = None\n"
        "from gender_classifier.export.command import main\nsys.exit(main(['org/name']))"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert '[export]"' in done.stderr
    assert "Traceback" not in done.stderr
