"""The oldest versions that pyproject.toml allows install together, and give the answers of the newest ones."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support import ROOT, interop_versions

pytestmark = pytest.mark.slow

TOLERANCE = {"fp32": 1e-5, "q4": 1e-4, "int8": 1e-2}
"""Largest difference of a probability between the oldest and the newest onnxruntime. In fp32 and with 4-bit weights,
which are computed in fp32, only the order of additions differs. With 8-bit activations that may lift a value over the
edge of a step."""

TALL_TOLERANCE = 4e-2
"""The same for pictures that are much higher than wide: Pillow 13 resizes those along their height first, older ones
along their width first, so that a pixel differs by one level here and there (Pillow #9549)."""

TESTED = (
    "gender_cli/models/test_command",
    "runtime/bundle/test_onnx_folder",
    "runtime/bundle/test_bundle",
    "runtime/test_classifier",
    "runtime/test_decision",
    "runtime/decode",
    "runtime/bundle/test_locate",
    "runtime/bundle/test_manifest",
    "runtime/test_pipeline",
    "runtime/processors/test_processor",
    "runtime/test_threads",
    "runtime/processors/test_transforms",
)


@pytest.fixture(scope="session")
def old_python(request) -> str:
    # pytest's cache folder stays from one run to the next.
    return interop_versions.old_python(Path(request.config.cache.mkdir("oldest-dependencies")))


def test_the_bundles_give_the_same_answers(old_python, tmp_path):
    versions, rows = interop_versions.compare(old_python, tmp_path)
    bounds = interop_versions.oldest()
    for name in ("onnxruntime", "numpy", "Pillow"):
        assert versions["old"][name].startswith(f"{bounds[name]}."), versions
        assert versions["old"][name] != versions["new"][name], "two versions are to be compared"
    too_far = [row for row in rows if row.most > TOLERANCE[row.variant] or row.tall > TALL_TOLERANCE]
    assert not too_far, too_far
    assert {row.variant for row in rows} == set(TOLERANCE)


def test_the_own_tests_of_runtime_and_command_line_pass_with_the_oldest_versions(old_python):
    paths = [ROOT / "tests" / name for name in TESTED]
    tests = [str(path if path.is_dir() else path.with_suffix(".py")) for path in paths]
    command = [old_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"\b\d{3,} passed", done.stdout), done.stdout[-500:]
