"""Each degradation does what its name and step say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from PIL import Image

from gender_classifier import runtime
from gender_classifier.evaluation import degradations as d
from gender_classifier.evaluation.labels import LabelledSet, read_labels
from gender_classifier.evaluation.robustness import balanced_sample, robustness
from support import TinyModel, tiny_bundle


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=float)


@pytest.mark.parametrize("kind", d.DEGRADATIONS, ids=lambda kind: kind.name)
def test_every_step_changes_the_picture_and_is_the_same_each_time(kind: d.Degradation, picture: Image.Image) -> None:
    before = picture.tobytes()
    for step in kind.steps:
        changed = kind.apply(picture, step, 7)
        assert changed.mode == "RGB"
        assert changed.tobytes() != before
        assert changed.tobytes() == kind.apply(picture, step, 7).tobytes()
    assert picture.tobytes() == before


def test_blur_smooths_and_noise_spreads(picture: Image.Image) -> None:
    spread = [grey(d.blur(picture, step)).std() for step in (0.5, 1, 4)]
    assert spread == sorted(spread, reverse=True)
    flat = Image.new("RGB", (100, 100), (128, 128, 128))
    assert np.asarray(d.noise(flat, 20, 0), dtype=float).std() == pytest.approx(20, rel=0.05)
    assert d.noise(flat, 20, 0).tobytes() != d.noise(flat, 20, 1).tobytes()


def test_one_stop_halves_the_light() -> None:
    flat = Image.new("RGB", (4, 4), (200, 100, 50))
    red, green, blue = d.darkness(flat, 1).getpixel((0, 0))
    for value, darker in ((200, red), (100, green), (50, blue)):
        assert (darker / 255) ** 2.2 == pytest.approx((value / 255) ** 2.2 / 2, abs=0.005)


def test_resolution_keeps_the_shape_and_never_enlarges(picture: Image.Image) -> None:
    assert d.resolution(picture, 32).size == (32, 32)
    assert d.resolution(Image.new("RGB", (100, 50)), 32).size == (32, 16)
    assert d.resolution(picture, 200).size == (100, 100)


def test_occlusion_covers_its_share() -> None:
    white = Image.new("RGB", (50, 100), "white")
    upper, lower = (np.asarray(cover(white, 30)) for cover in (d.occlusion_upper, d.occlusion_lower))
    assert (upper[:30] == 128).all()
    assert (upper[30:] == 255).all()
    assert (lower[70:] == 128).all()
    assert (lower[:70] == 255).all()


def test_greyscale_takes_all_colour() -> None:
    full = np.asarray(d.greyscale(Image.new("RGB", (2, 2), (200, 10, 60)), 100))
    assert (full[..., 0] == full[..., 1]).all()
    assert (full[..., 1] == full[..., 2]).all()


def test_rotation_turns_about_the_centre() -> None:
    image = Image.new("RGB", (21, 21))
    image.putpixel((10, 2), (255, 255, 255))
    assert d.rotation(image, 180).getpixel((10, 18)) == (255, 255, 255)


def colours(folder: Path, women: int, men: int) -> LabelledSet:
    """Red pictures labelled women, green ones labelled men: what the tiny bundle tells apart."""
    lines = ["file,gender"]
    for index in range(women + men):
        colour, word = ((180, 60, 60), "F") if index < women else ((60, 180, 60), "M")
        Image.new("RGB", (40, 40), colour).save(folder / f"{index}.png")
        lines.append(f"{index}.png,{word}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return read_labels(folder / "labels.csv")


def test_samples_hold_as_many_women_as_men(tmp_path: Path) -> None:
    rows = colours(tmp_path, 5, 30).rows
    sample = balanced_sample(rows, 20)
    assert sample["truth"].value_counts().to_dict() == {"female": 5, "male": 5}
    assert list(sample["file"]) == list(balanced_sample(rows, 20)["file"])
    assert list(sample["file"]) != list(balanced_sample(rows, 20, seed=1)["file"])
    assert len(balanced_sample(rows, 4)) == 4


def test_a_model_of_colours_fails_without_colour_and_in_no_other_way(tmp_path: Path) -> None:
    labelled = colours(tmp_path, 6, 6)
    (tmp_path / "models").mkdir()
    thresholds = {"female": 0.6, "male": 0.6}
    folder = tiny_bundle(tmp_path / "models", TinyModel(thresholds=thresholds))
    kinds = [kind for kind in d.DEGRADATIONS if kind.name in ("jpeg", "rotation", "greyscale")]
    result = robustness(runtime.load(folder), labelled, sample=12, degradations=kinds)
    assert result["n"] == 12
    assert result["untouched"]["balanced_accuracy"]["value"] == 1.0
    assert list(result["degradations"]) == ["jpeg", "rotation", "greyscale"]
    for name in ("jpeg", "rotation"):
        points = result["degradations"][name]["points"]
        assert all(point["balanced_accuracy"]["value"] == 1.0 for point in points)
    half, none = result["degradations"]["greyscale"]["points"]
    assert half["balanced_accuracy"]["value"] == 1.0
    assert none["answered"]["value"] == 0.0
    assert none["balanced_accuracy"]["value"] == 0.5
