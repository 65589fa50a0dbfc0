"""What works before anything is installed, found or whole: --help, --version, and sentences that say what to do."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT, TinyModel, shell, tiny_bundle


def without(*packages: str) -> list[str]:
    """Returns a command line in which packages are not installed."""
    code = (
        "import sys, runpy\n"
        f"for name in {packages!r}: sys.modules[name] = None\n"
        f"sys.argv[0] = {str(ROOT / 'gender_classifier.py')!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("packages", [("numpy",), ("onnxruntime",), ("PIL",), ("numpy", "onnxruntime", "PIL", "tqdm")])
def test_missing_packages_are_a_sentence_with_a_command(packages: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [*without(*packages), str(ROOT / "examples/average-man.jpg")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"To install what is needed: pip install {ROOT}" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models", "list"], ["sort", "--help"]])
def test_what_needs_no_package_works_without_any(arguments: list[str]) -> None:
    command = [*without("numpy", "onnxruntime", "PIL", "tqdm", "huggingface_hub"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_version_says_what_is_broken_and_goes_on(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path, TinyModel("broken"))
    for content in ("{", "[" * 100_000, '{"format_version": 1}', "\0"):
        (folder / "bundle.json").write_text(content)
        done = shell("--version", "--model", folder)
        assert done.returncode == 0, done.stderr
        package, model, engine = done.stdout.decode().splitlines()
        assert package.startswith("gender-classifier ")
        assert model.startswith("model none (")
        assert engine.startswith("onnxruntime ")
    environment = {**os.environ, "GENDER_CLASSIFIER_MODELS": str(tmp_path)}
    assert shell("--version", env=environment).returncode == 0


def test_version_without_a_home_and_without_onnxruntime() -> None:
    bare = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    done = subprocess.run([*without("onnxruntime"), "--version"], capture_output=True, text=True, env=bare, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2] in ("onnxruntime not installed", "onnxruntime of an unknown version")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_numpy_starts_no_threads_of_its_own() -> None:
    """OpenBLAS starts one for each CPU, and ends the process with SIGINT where it may start none (``pids.max`` 1)."""
    code = (
        "import gender_classifier as g, os; g.main(['--version']); import numpy; print(os.listdir('/proc/self/task'))"
    )
    told = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=told, check=True)
    assert done.stdout.splitlines()[-1].count("'") == 2


def cpu_seconds(command: list[str]) -> float:
    """Returns the least CPU time of ten runs."""
    times = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_take_less_than_60_ms_of_cpu(argument: str) -> None:
    bare = cpu_seconds([sys.executable, "-c", "pass"])
    if bare > 0.01:
        pytest.skip(f"Python alone takes {1000 * bare:.0f} ms here: the machine is slow, or busy")
    assert cpu_seconds([sys.executable, str(ROOT / "gender_classifier.py"), argument]) < 0.06
