from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification, ViTImageProcessor

from training.config import Config, Model, Schedule
from training.models import CANDIDATES, build_model, build_processor, count_parameters
from training.pool import Pool, teach
from training.soup import average_weights, refresh_statistics
from training.train import learning_rate, save, train_step
from training.validation import balanced_accuracy, even_out, predict

TINY = Model(
    "resnet",
    {"embedding_size": 8, "hidden_sizes": (8, 16), "depths": (1, 1), "layer_type": "basic"},
    size=32,
)


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = build_model(TINY).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    labels = torch.arange(32) % 2
    # Two kinds of picture that differ in brightness.
    pictures = torch.randn(32, 3, 32, 32) * 0.1 + labels.view(-1, 1, 1, 1)
    targets = torch.nn.functional.one_hot(labels, 2).float()
    losses = [train_step(model, optimiser, pictures, targets) for _ in range(15)]
    assert losses[-1] < losses[0] / 2
    assert balanced_accuracy(predict(model, pictures), labels)[0] > 0.9


def test_checkpoint_round_trips_through_transformers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(TINY).eval()
    save(model, Config(model=TINY), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} >= {"config.json", "model.safetensors", "preprocessor_config.json"}
    again = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    assert again.config.id2label == {0: "female", 1: "male"}
    assert again.config.label2id == {"female": 0, "male": 1}
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(predict(again, x), predict(model, x))


def test_even_out_moves_the_difference_of_the_logits() -> None:
    model = build_model(TINY).eval()
    x = torch.randn(3, 3, 32, 32)
    before = predict(model, x)
    even_out(model, 0.6)
    after = predict(model, x)
    torch.testing.assert_close(after - before, torch.tensor([[0.3, -0.3]]).repeat(3, 1), atol=1e-5, rtol=0)


def test_processor_is_pillow_bilinear(tmp_path: Path) -> None:
    build_processor(TINY).save_pretrained(tmp_path)
    processor = ViTImageProcessor.from_pretrained(tmp_path)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 50, 3), np.uint8))
    got = processor(image, return_tensors="np")["pixel_values"][0]
    resized = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_allclose(got, (resized / 255 * 2 - 1).transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("name", sorted(CANDIDATES))
def test_candidates_fit_and_answer(name: str) -> None:
    model = build_model(CANDIDATES[name]).eval()
    assert count_parameters(model) * 4 < 3.8e6
    size = CANDIDATES[name].size
    assert predict(model, torch.zeros(2, 3, size, size)).shape == (2, 2)


def test_learning_rate_rises_and_falls() -> None:
    schedule = Schedule(steps=100, warmup=10, lr=1.0)
    rates = [learning_rate(step, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_pool_renews_itself() -> None:
    drawn = []

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        drawn.append(len(drawn))
        return torch.full((4, 3, 2, 2), float(len(drawn))), torch.eye(4)

    pool = Pool(draw, Schedule(batch=4, echo=2))
    generator = torch.Generator().manual_seed(0)
    for step in range(41):
        pictures, targets = pool(step, generator)
        assert pictures.shape == (4, 3, 2, 2)
        assert targets.shape == (4, 4)
    assert len(drawn) == 8 + 20
    assert float(pool.pictures.min()) > 8


def test_teachers_answer_alike_for_mirror_images() -> None:
    torch.manual_seed(0)
    teachers = [build_model(TINY).eval() for _ in range(2)]
    x = torch.randn(3, 3, 32, 32)
    soft = teach(teachers, x, 2.0)
    torch.testing.assert_close(soft.sum(1), torch.ones(3))
    # bfloat16 where the processor has it: three digits.
    torch.testing.assert_close(teach(teachers, x.flip(-1), 2.0), soft, atol=5e-3, rtol=0)


def test_soup_is_the_mean_of_weights_with_statistics_of_its_own() -> None:
    torch.manual_seed(0)
    one, two = build_model(TINY), build_model(TINY)
    pictures = torch.randn(64, 3, 32, 32) * 3 + 1
    mean = average_weights([one, two])
    for name, value in mean.named_parameters():
        torch.testing.assert_close(value, (one.get_parameter(name) + two.get_parameter(name)) / 2)
    refresh_statistics(mean, torch.split(pictures, 32))
    # In evaluation mode the first batch norm now whitens these very pictures.
    mean.eval()
    seen = []
    hook = next(m for m in mean.modules() if isinstance(m, torch.nn.BatchNorm2d))
    hook.register_forward_hook(lambda module, args, out: seen.append(out))
    predict(mean, pictures)
    assert abs(float(seen[0].mean())) < 0.05
    assert abs(float(seen[0].std()) - 1) < 0.05


def test_committed_checkpoint_answers() -> None:
    folder = Path(__file__).resolve().parents[2] / "training" / "checkpoint"
    if not (folder / "model.safetensors").exists():
        pytest.skip("no checkpoint in this checkout")
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    size = ViTImageProcessor.from_pretrained(folder).size["height"]
    assert predict(model, torch.zeros(1, 3, size, size)).shape == (1, 2)
    assert (folder / "model.safetensors").stat().st_size < 4_000_000
    rule = json.loads((folder / "decision.json").read_text())
    assert set(rule) == {"temperature", "thresholds", "provenance"}
    assert all(0.5 <= rule["thresholds"][name] < 1 for name in ("female", "male"))
