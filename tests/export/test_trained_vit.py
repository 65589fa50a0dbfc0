"""Quantised variants of a ViT that is really trained: what they flip, and what leaving nodes out of them saves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gender_classifier.export import VariantLimits, export_model
from gender_classifier.export.parity import classifier_for, compare, prepare, probabilities
from gender_classifier.runtime.bundle.bundle import Bundle
from support import shared
from support.trained_vit import RECIPE, faces, train

pytestmark = pytest.mark.slow
PICTURES = 178  # 89 women and 89 men


@pytest.fixture(scope="module")
def checkpoint(request: pytest.FixtureRequest) -> Path:
    """Trains once, two minutes or so, and keeps the weights in pytest's cache."""
    data = shared("data/train")
    assert request.config.cache is not None
    folder = Path(request.config.cache.mkdir(f"trained-vit-{hashlib.sha256(RECIPE.encode()).hexdigest()[:12]}"))
    if not (folder / "preprocessor_config.json").is_file():  # written last
        train(data, folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.int64]]:
    """Faces of people that the training has not seen, as files, and their classes."""
    crops, labels = faces(shared("data/eval_portraits"), PICTURES)
    folder = tmp_path_factory.mktemp("faces")
    for index, crop in enumerate(crops):
        crop.save(folder / f"{index:03d}.png")
    return folder, labels


@pytest.fixture(scope="module")
def bundle(
    checkpoint: Path, pictures: tuple[Path, NDArray[np.int64]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    limits = VariantLimits(latency=100, latency_seconds=0)  # the usual limits but for time, which a busy machine blurs
    return export_model(
        checkpoint, output=tmp_path_factory.mktemp("models"), name="trained", pictures=pictures[0], limits=limits
    )


def answers(bundle: Path, variant: str, folder: Path) -> NDArray[np.float64]:
    classifier = classifier_for(bundle, variant)
    return probabilities(classifier, prepare(classifier, sorted(folder.iterdir())))


def test_it_has_learnt_something(bundle: Path, pictures: tuple[Path, NDArray[np.int64]]) -> None:
    folder, labels = pictures
    right = answers(bundle, "fp32", folder).argmax(axis=1) == labels
    assert right[labels == 0].mean() > 0.7
    assert right[labels == 1].mean() > 0.7


def test_variants_flip_few_decisions(bundle: Path, pictures: tuple[Path, NDArray[np.int64]]) -> None:
    folder, labels = pictures
    manifest = Bundle.open(bundle).manifest
    assert set(manifest.variants) == {"fp32", "int8", "q4"}, manifest.notes
    exact = answers(bundle, "fp32", folder)
    for name in ("int8", "q4"):
        made = answers(bundle, name, folder)
        parity = manifest.variants[name].parity
        assert parity is not None
        measured = compare(exact, made, manifest.labels, manifest.decision, 2e-4)
        assert measured.decided >= 0.95 * PICTURES
        assert measured.flipped <= 0.02 * measured.decided
        assert abs(measured.flipped - parity.decisions_flipped) <= 1  # that one was against torch, this against fp32
        assert measured.max_difference == pytest.approx(parity.max_probability_difference, abs=1e-3)
        accuracy = [(each.argmax(axis=1) == labels).mean() for each in (exact, made)]
        assert accuracy[1] >= accuracy[0] - 0.02


@pytest.mark.parametrize("variant", ["int8", "q4"])
def test_leaving_nodes_out_brings_the_answers_closer(
    variant: str, bundle: Path, checkpoint: Path, pictures: tuple[Path, NDArray[np.int64]], tmp_path: Path
) -> None:
    whole = Bundle.open(bundle).manifest.variants[variant]
    assert whole.parity is not None
    assert whole.quantization is not None
    assert whole.quantization["excluded_nodes"] == []
    limits = VariantLimits(
        latency=100, latency_seconds=0, difference=0.9 * whole.parity.max_probability_difference, exclusion_rounds=3
    )
    made = export_model(checkpoint, output=tmp_path, name="m", pictures=pictures[0], variants=(variant,), limits=limits)
    closer = Bundle.open(made).manifest.variants[variant]
    assert closer.parity is not None
    assert closer.quantization is not None
    assert closer.quantization["excluded_nodes"]
    assert closer.parity.max_probability_difference <= limits.difference
    assert whole.bytes < closer.bytes < Bundle.open(made).manifest.variants["fp32"].bytes
