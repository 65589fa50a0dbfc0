"""The oldest versions that pyproject.toml allows: they install together, and give the answers of the newest ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from interop_material import BUILTIN, attention_model, pictures
from support import ROOT, TinyModel, tiny_bundle

from runtime.bundle import Bundle
from runtime.decision import probabilities

pytestmark = pytest.mark.slow

TOLERANCE = {"fp32": 1e-5, "q4": 1e-4, "int8": 1e-2}
"""Largest difference of a probability between the oldest and the newest onnxruntime. In fp32 and with 4-bit weights,
which are computed in fp32, only the order of additions differs. With 8-bit activations that may lift a value over the
edge of a step."""

TALL_TOLERANCE = 4e-2
"""The same for pictures that are much higher than wide: Pillow 13 resizes those along their height first, older ones
along their width first, so that a pixel differs by one level here and there (Pillow #9549)."""

_OFFLINE = re.compile(
    r"Temporary failure in name resolution|Failed to establish a new connection|Network is unreachable"
)
_TESTED = (
    "cli/test_models",
    "cli/test_onnx_header",
    "runtime/test_bundle",
    "runtime/test_classifier",
    "runtime/test_decision",
    "runtime/test_decode",
    "runtime/test_locate",
    "runtime/test_manifest",
    "runtime/test_pipeline",
    "runtime/test_processor",
    "runtime/test_threads",
    "runtime/test_transforms",
)


def oldest() -> dict[str, str]:
    """Returns the lower bound of each of the package's own dependencies, as pyproject.toml states it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    found = dict(re.findall(r'"([\w-]+)>=([\d.]+)', block[1]))
    if sys.version_info >= (3, 12):  # numpy has wheels for it from 1.26 on
        found["numpy"] = "1.26"
    return found


@pytest.fixture(scope="session")
def old_python(request) -> str:
    """The interpreter of an environment with the oldest versions; kept in pytest's cache from one run to the next."""
    if sys.version_info >= (3, 13):
        pytest.skip("onnxruntime 1.18 has no wheels for this Python")
    bounds = oldest()
    # onnx, in the version of those days, only lets the suite's hand-made bundles be written.
    wanted = [f"{name}=={version}.*" for name, version in bounds.items()] + ["onnx==1.16.*", "pytest>=8", "hypothesis"]
    folder = Path(request.config.cache.mkdir("oldest-dependencies"))
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "installed.json"
    recipe = [sys.version, *wanted]
    if not (stamp.is_file() and json.loads(stamp.read_text()) == recipe):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        if done.returncode and _OFFLINE.search(done.stderr):
            pytest.skip("the package index cannot be reached")
        assert done.returncode == 0, done.stderr
        stamp.write_text(json.dumps(recipe))
    return str(python)


def test_the_bundles_give_the_same_answers(old_python, tmp_path):
    folders = [
        BUILTIN,
        attention_model(tmp_path, "vit"),
        attention_model(tmp_path, "clip"),
        tiny_bundle(tmp_path),
        tiny_bundle(tmp_path, TinyModel(name="logit", activation="single_logit")),
    ]
    # Pictures of other sizes than the models': resampling by the oldest Pillow is compared on the way.
    sizes = {"square": (96, 96), "wide": (300, 120), "small": (27, 19), "tall": (75, 331)}
    drawn = [str(path) for paths in pictures(tmp_path / "pictures", sizes).values() for path in paths]
    tall = np.array(["tall-" in path for path in drawn])
    runs = []
    manifests = []
    for folder in folders:
        manifest = Bundle.open(folder).manifest
        for variant in manifest.variants:
            runs.append({"model": str(folder), "variant": variant, "pictures": drawn})
            manifests.append(manifest)
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"checkout": str(ROOT), "runs": runs}))
    answers = {}
    for name, python in (("old", old_python), ("new", sys.executable)):
        out = tmp_path / f"{name}.npz"
        script = str(Path(__file__).with_name("interop_answers.py"))
        done = subprocess.run([python, script, str(request), str(out)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers[name] = np.load(out)
    versions = {name: json.loads(str(found["versions"])) for name, found in answers.items()}
    assert all(versions["old"][name].startswith(oldest()[name]) for name in ("onnxruntime", "numpy", "Pillow")), (
        versions
    )
    assert versions["old"]["onnxruntime"] != versions["new"]["onnxruntime"], "two versions are to be compared"

    rows = []
    for index, (run, manifest) in enumerate(zip(runs, manifests, strict=True)):
        old, new = (
            probabilities(answers[name][f"logits{index}"], manifest.activation, manifest.decision.temperature)
            for name in ("old", "new")
        )
        assert np.ptp(new[:, 0]) > 0.1, "the pictures are to be answered differently"
        difference = np.abs(old - new).max(axis=1)
        rows.append((manifest.name, run["variant"], float(difference[~tall].max()), float(difference[tall].max())))
    print(f"\n{versions['old']} against {versions['new']}:")
    for name, variant, most, most_tall in rows:
        print(f"  {name} {variant}: largest difference of a probability {most:.1e}, of tall pictures {most_tall:.1e}")
    too_far = [row for row in rows if row[2] > TOLERANCE[row[1]] or row[3] > TALL_TOLERANCE]
    assert not too_far, too_far


def test_the_own_tests_of_runtime_and_command_line_pass_with_the_oldest_versions(old_python):
    tests = [str(ROOT / "tests" / f"{name}.py") for name in _TESTED]
    command = [old_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"\b\d{3,} passed", done.stdout), done.stdout[-500:]
