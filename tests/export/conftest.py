"""Checkpoints and bundles that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read when these packages are imported. The Xet client would open connections of its own.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# torch's threads wait for each other actively: on a machine that is busy they cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve drawn pictures: one of every mode, format and orientation."""
    from gender_classifier.export.pictures import make_pictures

    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder, 12)
    return folder


@pytest.fixture(scope="session")
def vit_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_models import make_checkpoint

    return make_checkpoint("vit", tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="session")
def vit_bundle(vit_checkpoint: Path, few_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the tiny ViT with all variants, whatever they are worth."""
    from gender_classifier.export import VariantLimits, export_model

    return export_model(
        vit_checkpoint,
        output=tmp_path_factory.mktemp("models"),
        name="tiny-vit",
        pictures=few_pictures,
        limits=VariantLimits(latency=100, flips=1, difference=1, latency_seconds=0),
    )
