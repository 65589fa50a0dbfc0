"""The oldest versions that pyproject.toml allows, in an environment of their own, and their answers beside today's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.decision import probabilities
from support import ROOT, TinyModel, tiny_bundle
from support.interop_material import BUILTIN, attention_model, pictures

_OFFLINE = re.compile(
    r"Temporary failure in name resolution|Failed to establish a new connection|Network is unreachable"
)
SIZES = {"square": (96, 96), "wide": (300, 120), "small": (27, 19), "tall": (75, 331)}
"""``(width, height)`` of the pictures: none is a model's own, so that the oldest Pillow has to resample."""


@dataclass(frozen=True)
class Row:
    """One variant of one model: the largest difference of a probability, of most pictures and of tall ones."""

    model: str
    variant: str
    most: float
    tall: float


def oldest() -> dict[str, str]:
    """Returns the lower bounds of the package's own dependencies, and of ``heif``, as pyproject.toml states them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    heif = re.search(r"^heif = .*", text, re.MULTILINE)
    assert heif is not None
    found = dict(re.findall(r'"([\w-]+)>=([\d.]+)', block[1] + heif[0]))
    if sys.version_info >= (3, 12):  # numpy has wheels for it from 1.26 on
        found["numpy"] = "1.26"
    return found


def old_python(folder: Path) -> str:
    """Returns the interpreter of an environment with the oldest versions, made in ``folder`` unless it is there.

    Skips the test where such an environment cannot be made.
    """
    if sys.version_info >= (3, 13):
        pytest.skip("onnxruntime 1.18 has no wheels for this Python")
    # onnx, in the version of those days, only lets the suite's hand-made bundles be written.
    wanted = [f"{name}=={version}.*" for name, version in oldest().items()]
    wanted += ["onnx==1.16.*", "pytest>=8", "hypothesis"]
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


def compare(python: str, scratch: Path) -> tuple[dict[str, dict[str, str]], list[Row]]:
    """Asks the same of the same bundles with another interpreter and with this one.

    Returns:
        The versions of ``old`` and ``new``, and a row per model and variant.
    """
    folders = [
        BUILTIN,
        attention_model(scratch, "vit"),
        attention_model(scratch, "clip"),
        tiny_bundle(scratch),
        tiny_bundle(scratch, TinyModel(name="tiny-single-logit", activation="single_logit")),
    ]
    drawn = [str(path) for paths in pictures(scratch / "pictures", SIZES).values() for path in paths]
    tall = np.array(["tall-" in path for path in drawn])
    manifests = [Bundle.open(folder).manifest for folder in folders]
    runs = [
        (manifest, {"model": str(folder), "variant": variant, "pictures": drawn})
        for folder, manifest in zip(folders, manifests, strict=True)
        for variant in manifest.variants
    ]
    request = scratch / "request.json"
    request.write_text(json.dumps({"checkout": str(ROOT), "runs": [run for _, run in runs]}))
    answers = {}
    for name, interpreter in (("old", python), ("new", sys.executable)):
        out = scratch / f"{name}.npz"
        command = [interpreter, str(Path(__file__).with_name("interop_answers.py")), str(request), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers[name] = np.load(out)
    rows = []
    for index, (manifest, run) in enumerate(runs):
        old, new = (
            probabilities(answers[name][f"logits{index}"], manifest.activation, manifest.decision.temperature)
            for name in ("old", "new")
        )
        assert np.ptp(new[:, 0]) > 0.1, "the pictures are to be answered differently"
        difference = np.abs(old - new).max(axis=1)
        rows.append(Row(manifest.name, run["variant"], float(difference[~tall].max()), float(difference[tall].max())))
    return {name: json.loads(str(found["versions"])) for name, found in answers.items()}, rows
