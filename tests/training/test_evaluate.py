from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.averages import LANDMARKS, SIZE, align, average
from training.config import Data, Model, Recipe, load_recipe
from training.data import Row
from training.evaluate import abstention, age_band, frame, is_adult, logits_of, summary, wilson
from training.models import build_model, build_processor
from training.spoil import SPOILERS
from training.tables import TABLES, Figures, fill
from training.validation import predict

ROOT = Path(__file__).resolve().parents[2]


def test_wilson_against_known_values() -> None:
    low, high = wilson(9, 10)
    assert low == pytest.approx(0.5958, abs=1e-4)
    assert high == pytest.approx(0.9821, abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_summary_counts_both_genders() -> None:
    labels = np.array([0] * 10 + [1] * 30)
    right = np.array([True] * 8 + [False] * 2 + [True] * 30)
    out = summary(right, labels)
    assert out["female"]["accuracy"] == 0.8
    assert out["male"]["accuracy"] == 1.0
    assert out["balanced"] == 0.9
    assert out["gap"] == -0.2
    assert out["interval"][0] < 0.9 < out["interval"][1]


def test_summary_of_one_gender_has_no_balance() -> None:
    out = summary(np.array([True]), np.array([1]))
    assert out["female"]["accuracy"] is None
    assert "balanced" not in out


def test_abstention() -> None:
    logits = np.array([[4.0, 0.0], [0.2, 0.0], [0.0, 4.0], [0.0, 4.0]])
    labels = np.array([0, 1, 1, 0])
    out = abstention(logits, labels, {"temperature": 1.0, "thresholds": {"female": 0.8, "male": 0.8}})
    assert out["uncertain"] == 0.25
    assert out["right_of_given"] == pytest.approx(2 / 3, abs=1e-4)
    assert out["right_of_answer_male"] == 0.5


@pytest.mark.parametrize(
    ("age", "band", "adult"),
    [("0", "0-9", False), ("17", "10-17", False), ("18", "18-29", True), ("90", "60+", True), ("", "", True),
     ("baby", "baby", False), ("adult", "adult", True)],
)  # fmt: skip
def test_ages(age: str, band: str, adult: bool) -> None:
    assert age_band(age) == band
    assert is_adult(age) == adult


def test_frame() -> None:
    image = Image.new("RGB", (100, 120))
    row = Row("", "", "male", "", "", "", "", "", 100, 120, (20.0, 20.0, 60.0, 70.0), "")
    assert frame(image, row, "face", 0.25).size == (75, 75)
    assert frame(image, row, "image", 0.25).size == (100, 120)


@pytest.mark.parametrize("name", sorted(SPOILERS))
def test_spoilers_keep_rgb(name: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
    spoilt = SPOILERS[name](image)
    assert spoilt.mode == "RGB"
    assert spoilt.width == spoilt.height


def test_alignment_leaves_an_aligned_picture_alone() -> None:
    generator = np.random.default_rng(0)
    small = Image.fromarray(generator.integers(0, 256, (12, 10, 3), np.uint8))
    image = small.resize(SIZE, Image.Resampling.BICUBIC)
    aligned = align(image, np.array(LANDMARKS))
    assert aligned.shape == (SIZE[1], SIZE[0], 3)
    back = np.round(255 * aligned ** (1 / 2.2))
    np.testing.assert_allclose(back, np.asarray(image), atol=1)


def test_average_is_symmetric() -> None:
    faces = [np.random.default_rng(i).random((6, 8, 3)).astype(np.float32) for i in range(3)]
    mean = np.asarray(average(faces))
    np.testing.assert_array_equal(mean, mean[:, ::-1])


def test_fast_pixels_are_those_of_the_processor() -> None:
    model_options = Model("resnet", {"hidden_sizes": (8, 16), "depths": (1, 1), "layer_type": "basic"}, size=32)
    torch.manual_seed(0)
    model = build_model(model_options).eval()
    processor = build_processor(model_options)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
    slow = predict(model, processor(image, return_tensors="pt")["pixel_values"]).numpy()
    np.testing.assert_allclose(logits_of(model, processor, [image]), slow, atol=1e-5)
    both = logits_of(model, processor, [image], flip=True)
    np.testing.assert_allclose(both, logits_of(model, processor, [image.transpose(0)], flip=True), atol=1e-5)


def test_tables_fill_only_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: front -->\nold\n<!-- end -->\nafter\n")
    figures = {"parameters": 1000, "megabytes": 1.0, "milliseconds": 0.5, "clean": 0.9, "spoilt": 0.8}
    trial = figures | {"spoilt_female": 0.7, "spoilt_male": 0.9}
    trials = {"candidates": {"worse": trial | {"spoilt": 0.6}, "better": trial}}
    fill(page, Figures({}, trials, {}, Recipe(Data(), {})))
    text = page.read_text()
    assert text.startswith("before\n<!-- table: front -->\n| candidate")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert text.index("better") < text.index("worse")


def test_committed_documents_hold_what_the_committed_figures_say(tmp_path: Path) -> None:
    home = ROOT / "training"
    results, trials, logs = (json.loads((home / f"{n}.json").read_text()) for n in ("results", "front", "log"))
    figures = Figures(results, trials, logs, load_recipe(home / "config.json"))
    for page in (ROOT / "docs" / "builtin-model.md", home / "checkpoint" / "README.md"):
        text = page.read_text()
        used = re.findall(r"<!-- table: (\w+) -->", text)
        assert used
        assert set(used) <= set(TABLES)
        copy = tmp_path / page.name
        copy.write_text(text)
        fill(copy, figures)
        assert copy.read_text() == text
