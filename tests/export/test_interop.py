"""A bundle is an ONNX repository of the Hub's own layout: Optimum reads it as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gender_classifier.export.parity import classifier_for
from support.tiny_models import make_checkpoint


def ask_optimum(bundle: Path, file: str, pictures: list[Path]) -> list[dict[str, float]]:
    """Optimum's ORT model in transformers' own pipeline, with the PIL processor."""
    from optimum.onnxruntime import ORTModelForImageClassification
    from transformers import AutoImageProcessor, pipeline

    model = ORTModelForImageClassification.from_pretrained(
        bundle, subfolder="onnx", file_name=file, local_files_only=True
    )
    processor = AutoImageProcessor.from_pretrained(bundle, use_fast=False, local_files_only=True)
    run: Any = pipeline("image-classification", model=model, image_processor=processor, framework="pt")
    return [{each["label"]: each["score"] for each in run(str(picture))} for picture in pictures]


def largest_difference(bundle: Path, variant: str, file: str, pictures: list[Path]) -> float:
    classifier = classifier_for(bundle, variant)
    raw = {label.meaning: label.raw for label in classifier.manifest.labels}
    theirs = ask_optimum(bundle, file, pictures)
    ours = [classifier.predict(picture).probabilities or {} for picture in pictures]
    return max(
        abs(probability - other[raw[meaning]])
        for mine, other in zip(ours, theirs, strict=True)
        for meaning, probability in mine.items()
    )


def test_vit_in_optimum(vit_bundle: Path, few_pictures: Path) -> None:
    pictures = sorted(few_pictures.iterdir())
    assert largest_difference(vit_bundle, "fp32", "model.onnx", pictures) <= 1e-5
    # Their session sets other threads, and nothing else: the int8 kernels are the same.
    assert largest_difference(vit_bundle, "int8", "model_quantized.onnx", pictures) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["resnet", "dinov2_with_registers", "mobilevit", "pvt", "bit", "siglip"])
def test_others_in_optimum(model_type: str, tmp_path: Path, few_pictures: Path) -> None:
    from gender_classifier.export import export_model

    checkpoint = make_checkpoint(model_type, tmp_path / "checkpoint")
    bundle = export_model(checkpoint, output=tmp_path, name="m", variants=(), pictures=few_pictures)
    assert largest_difference(bundle, "fp32", "model.onnx", sorted(few_pictures.iterdir())) <= 1e-5


def test_labels_keep_their_order_for_others(vit_bundle: Path) -> None:
    from transformers import AutoConfig

    labels = AutoConfig.from_pretrained(vit_bundle).id2label
    assert [labels[index] for index in range(2)] == ["female", "male"]
