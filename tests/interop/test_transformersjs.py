"""A bundle loads unchanged in transformers.js, and the answers there are those of the runtime.

Pictures are at the model's own size, since transformers.js resizes with another library than Pillow; what that does to
answers is measured by ``interop_report.py`` and written down in ``docs/interop.md``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gender_classifier import runtime
from gender_classifier.runtime.bundle.bundle import Bundle
from gender_classifier.runtime.decision import probabilities
from support import interop_js
from support.interop_material import BUILTIN, attention_model, pictures

pytestmark = pytest.mark.slow

DTYPES = {"fp32": "fp32", "int8": "q8", "q4": "q4"}
TOLERANCE = {"fp32": 1e-5, "q4": 1e-4, "int8": 5e-3}
"""Largest difference of a probability. Both sides run ONNX Runtime, of different versions: in fp32 and with 4-bit
weights (which are computed in fp32) only the order of additions may differ, 1e-7 as measured; with 8-bit activations a
value at the edge of a step may fall to the other side on another processor."""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    attention_model(root, "vit")
    attention_model(root, "clip")
    shutil.copytree(BUILTIN, root / BUILTIN.name)
    return root


@pytest.fixture(scope="module")
def answers(models, tmp_path_factory):
    """The answers of transformers.js by model, variant and picture."""
    interop_js.install()
    scratch = tmp_path_factory.mktemp("pictures")
    runs = []
    for folder in sorted(models.iterdir()):
        manifest = Bundle.open(folder).manifest
        own = pictures(scratch / folder.name, {"own": (manifest.io.width, manifest.io.height)}, each=3)["own"]
        runs += [{"model": folder.name, "dtype": DTYPES[name], "pictures": own} for name in manifest.variants]
    found: dict[tuple[str, str], dict[str, dict]] = {}
    for one in interop_js.classify(models, runs, scratch)["answers"]:
        variant = next(name for name, dtype in DTYPES.items() if dtype == one["dtype"])
        found.setdefault((one["model"], variant), {})[one["picture"]] = one
    return found


@pytest.mark.parametrize("model", ["attention-clip", "attention-vit", BUILTIN.name])
def test_the_answers_are_those_of_the_runtime(models, answers, model):
    manifest = Bundle.open(models / model).manifest
    labels = [label.raw for label in manifest.labels]
    for variant in manifest.variants:
        classifier = runtime.load(models / model, variant=variant, faces=False)
        theirs = answers[model, variant]
        ours = np.concatenate(
            [classifier.network.logits(classifier.pipeline.pixels(path)[np.newaxis]) for path in theirs]
        )
        # transformers.js knows neither the bundle's temperature nor its thresholds.
        expected = probabilities(ours, manifest.activation)
        raw = probabilities(np.array([one["logits"] for one in theirs.values()]), manifest.activation)
        scores = np.array([[one["scores"][label] for label in labels] for one in theirs.values()])
        assert len(theirs) == 9
        assert np.ptp(expected[:, 0]) > 0.2, "the pictures are to be answered differently"
        assert np.abs(scores - expected).max() <= TOLERANCE[variant], variant
        assert np.abs(raw - expected).max() <= TOLERANCE[variant], variant
