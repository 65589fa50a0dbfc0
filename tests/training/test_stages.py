from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification

from training.__main__ import main
from training.config import load_recipe
from training.plots import draw_curves
from training.stages import is_done, run_stage, stage_folder

TINY = {
    "family": "resnet",
    "options": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "size": 32,
}
COLUMNS = "file,gender,age,race,person,set,licence,width,height,face,face_score,sha256"
SCHEDULE = {"steps": 3, "batch": 8, "warmup": 1, "echo": 1, "evaluate_every": 3}
RECIPE = {
    "data": {"cache_size": 48, "validation_share": 0.5},
    "stages": {
        "small": {"model": TINY, "schedule": SCHEDULE},
        "one": {"initial": "small", "teachers": ["small"], "schedule": SCHEDULE | {"seed": 1}},
        "two": {"initial": "small", "teachers": ["small"], "schedule": SCHEDULE | {"seed": 2}},
        "soup": {"average": ["one", "two"]},
    },
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root of 16 pictures: dark ones are called female, bright ones male."""
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="") as stream:
        stream.write(COLUMNS + "\n")
        table = csv.writer(stream)
        for i in range(16):
            pixels = random.integers(0, 100, (64, 64, 3)) + 120 * (i % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
            digest = hashlib.sha256((folder / f"{i}.png").read_bytes()).hexdigest()
            gender = ("female", "male")[i % 2]
            table.writerow([f"{i}.png", gender, "", "", f"p{i}", "made", "CC0", 64, 64, "20 20 44 44", 1, digest])
    return tmp_path / "data"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(RECIPE))
    return path


def test_the_whole_recipe_ends_in_a_checkpoint_with_a_rule(root: Path, recipe: Path, tmp_path: Path) -> None:
    cache, out, log = tmp_path / "cache", tmp_path / "checkpoint", tmp_path / "log.json"
    loaded = load_recipe(recipe)
    from training.prepare import prepare

    prepare(root, cache, loaded.data)
    command = ["--data", str(root), "--cache", str(cache), "--config", str(recipe), "--threads", "1", "train"]
    assert main([*command, "--stage", "small"]) == 0
    assert is_done(cache, "small")
    assert not is_done(cache, "soup")
    before = (stage_folder(cache, "small") / "model.safetensors").read_bytes()
    assert main([*command, "--out", str(out), "--log", str(log)]) == 0
    # A stage that was done is not done again.
    assert (stage_folder(cache, "small") / "model.safetensors").read_bytes() == before
    logs = json.loads(log.read_text())
    assert list(logs) == ["small", "one", "two", "soup"]
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "decision.json"} <= {
        p.name for p in out.iterdir()
    }
    final = AutoModelForImageClassification.from_pretrained(out).state_dict()
    parts = [
        AutoModelForImageClassification.from_pretrained(stage_folder(cache, n)).state_dict() for n in ("one", "two")
    ]
    name = next(n for n in final if n.endswith("convolution.weight"))
    torch.testing.assert_close(final[name], (parts[0][name] + parts[1][name]) / 2)
    assert not torch.equal(parts[0][name], parts[1][name])
    draw_curves(logs, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_stage_that_lacks_another_is_refused(root: Path, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs one, two first"):
        run_stage(root, tmp_path / "cache", load_recipe(recipe), "soup")
    with pytest.raises(ValueError, match="no stage three; there are small"):
        run_stage(root, tmp_path / "cache", load_recipe(recipe), "three")


def test_calibration_pictures_are_training_ones_as_the_network_sees_them(
    root: Path, recipe: Path, tmp_path: Path
) -> None:
    from training.data import read_faces, split_by_person
    from training.prepare import write_calibration

    data = load_recipe(recipe).data
    write_calibration(root, data, 0.25, tmp_path, count=100)
    written = sorted(tmp_path.glob("*.png"))
    rows = read_faces(root, data.folder)
    training, _ = split_by_person(rows, data.validation_share, data.split_seed)
    assert len(written) == len(training) < len(rows)
    assert {Image.open(path).size for path in written} == {(36, 36)}
