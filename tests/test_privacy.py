"""Photographs of faces stay where they are: nothing is written outside, nothing is sent, nothing heavy is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from support import ROOT, tiny_bundle

PICTURE = ROOT / "examples" / "average-woman.jpg"

WATCHED = """
import sys
opened = []
def watch(event, args):
    if event.startswith("socket.") and event != "socket.__new__x":
        raise RuntimeError(f"a socket was used: {event} {args}")
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        raise RuntimeError(f"another program was started: {args}")
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        opened.append(args[0])
sys.addaudithook(watch)
import gender_classifier
code = gender_classifier.main(sys.argv[1:])
assert not [name for name in opened if name not in (1, 2)], opened
sys.exit(code)
"""


def environment(home) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_", "GENDER_"))}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def test_a_run_writes_nothing_and_opens_no_socket(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    model = tiny_bundle(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    command = [sys.executable, "-c", WATCHED, str(PICTURE), "--model", str(model)]
    done = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert list(home.iterdir()) == []


def test_no_system_call_reaches_for_the_network(tmp_path):
    """The audit hook sees Python only; strace sees onnxruntime's C++ too."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    home = tmp_path / "home"
    home.mkdir()
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=%network", "-o", str(trace), sys.executable, "gender_classifier.py"]
    command += [str(PICTURE), "--model", str(tiny_bundle(tmp_path))]
    done = subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    calls = [line for line in trace.read_text().splitlines() if "AF_INET" in line or "connect(" in line]
    assert calls == []


def test_the_runtime_works_with_every_heavy_package_blocked(tmp_path):
    code = """
import sys
for name in ("torch", "transformers", "optimum", "onnx", "huggingface_hub", "tqdm", "pandas", "sklearn", "cv2"):
    sys.modules[name] = None
from gender_classifier import runtime
answer = runtime.load(sys.argv[2]).predict(sys.argv[1])
print(answer.status, answer.label)
others = tuple(f"gender_classifier.{room}" for room in ("export", "evaluation", "gender_cli"))
rooms = [name for name in sys.modules if name.startswith(others)]
assert not rooms, rooms
"""
    command = [sys.executable, "-c", code, str(PICTURE), str(tiny_bundle(tmp_path))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok ")
