"""The runtime answers as transformers does: equal pixels, equal probabilities, on every kind of picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.tiny_models import make_checkpoint

OTHERS = ("beit", "deit", "swin", "resnet", "mobilenet_v2", "efficientnet", "dinov2")
ARCHITECTURES = ["vit", "convnext", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]


@pytest.fixture(scope="module")
def hard_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of every kind that a decoder or a resize could get wrong."""
    folder = tmp_path_factory.mktemp("hard")
    generator = np.random.default_rng(5)

    def photo(width: int, height: int) -> Image.Image:
        """Smooth shapes with noise on top; plain noise would hide a wrong filter."""
        coarse = generator.integers(0, 256, (max(2, height // 40), max(2, width // 40), 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = smooth + generator.normal(0, 12, smooth.shape)
        return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))

    photo(333, 217).save(folder / "odd.png")
    photo(217, 333).save(folder / "odd-upright.jpg", quality=88)
    photo(7, 5).save(folder / "tiny.png")
    photo(1, 1).save(folder / "pixel.png")
    photo(300, 3).save(folder / "strip.png")
    photo(3500, 2600).save(folder / "huge.jpg", quality=80)
    photo(32, 32).save(folder / "same-size.png")
    photo(120, 90).convert("L").save(folder / "grey.png")
    photo(121, 77).convert("LA").save(folder / "grey-alpha.png")
    photo(140, 99).quantize(37).save(folder / "palette.png")
    transparent = photo(98, 102).quantize(20)
    transparent.save(folder / "palette-transparent.png", transparency=3)
    rgba = photo(90, 130)
    rgba.putalpha(Image.linear_gradient("L").resize((90, 130)))
    rgba.save(folder / "rgba.png")
    photo(160, 111).convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    sixteen = generator.integers(0, 65536, (70, 85)).astype(np.uint16)
    Image.fromarray(sixteen).save(folder / "16-bit.png")
    Image.fromarray((sixteen // 300).astype(np.uint16)).save(folder / "16-bit-dark.png")
    photo(64, 200).convert("1").save(folder / "one-bit.png")
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo(150, 101).save(folder / f"exif-{orientation}.jpg", exif=exif, quality=90)
    return folder


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_pixels_and_probabilities(model_type: str, tmp_path: Path, hard_pictures: Path) -> None:
    from gender_classifier.export import export_model
    from gender_classifier.export.checkpoint import open_checkpoint
    from gender_classifier.export.network import load_original
    from gender_classifier.export.parity import classifier_for

    checkpoint = make_checkpoint(model_type, tmp_path / "checkpoint")
    bundle = export_model(checkpoint, output=tmp_path, name="m", variants=(), pictures=hard_pictures)
    original = load_original(open_checkpoint(str(checkpoint)))
    classifier = classifier_for(bundle, "fp32")
    pictures = sorted(hard_pictures.iterdir())
    answers = original.probabilities(pictures, "softmax", 1.0)
    assert np.ptp(answers[:, 0]) > 0.1, "the pictures get all the same answer, so the comparison says nothing"
    for picture, expected in zip(pictures, answers, strict=True):
        reference = original.pixels(picture)
        pixels = classifier.pipeline.pixels(picture)
        ulp = np.spacing(np.maximum(np.abs(reference), np.abs(pixels)).astype(np.float32))
        assert (np.abs(reference - pixels) <= ulp).all(), picture.name
        prediction = classifier.predict(picture)
        assert prediction.probabilities is not None
        difference = np.abs(np.array(list(prediction.probabilities.values())) - expected).max()
        assert difference <= 1e-4, picture.name


def test_one_by_one_and_in_batches(tmp_path: Path, vit_bundle: Path, few_pictures: Path) -> None:
    """Batch-mates do not matter: 1e-6 for fp32 and q4; int8 runs one picture at a time, so not at all."""
    from gender_classifier.export.parity import classifier_for, prepare, probabilities

    for variant, tolerance in (("fp32", 1e-6), ("q4", 1e-6), ("int8", 0.0)):
        classifier = classifier_for(vit_bundle, variant)
        pixels = prepare(classifier, sorted(few_pictures.iterdir()))
        alone = probabilities(classifier, pixels, batch=1)
        together = probabilities(classifier, pixels, batch=len(pixels))
        assert np.abs(alone - together).max() <= tolerance, variant
