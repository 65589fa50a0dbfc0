"""A small ViT that is really trained, so that its decisions mean something when a variant flips one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gender_classifier.runtime.faces.crop import crop_square

EDGE = 64
STEPS = 500
CONFIG = {
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": EDGE,
    "patch_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
RECIPE = f"{sorted(CONFIG.items())} {STEPS} 1"


def faces(folder: Path, count: int | None = None) -> tuple[list[Image.Image], np.ndarray[Any, Any]]:
    """Face crops of a labelled folder and their classes (0 woman, 1 man), the two in turn so that they are balanced."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["face"]]
    by_gender = [[row for row in rows if row["gender"] == gender] for gender in ("female", "male")]
    paired = [row for pair in zip(*by_gender, strict=False) for row in pair][:count]
    crops = []
    for row in paired:
        x0, y0, x1, y1 = (float(part) for part in row["face"].split())
        with Image.open(folder / row["file"]) as picture:
            crops.append(crop_square(picture.convert("RGB"), (x0, y0, x1, y1), 0.25))
    return crops, np.array([row["gender"] == "male" for row in paired], dtype=np.int64)


def train(data: Path, folder: Path) -> Path:
    """Trains on face crops (mirrored and shifted at random) and writes a checkpoint."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    crops, labels = faces(data)
    size = EDGE + 8
    pixels = np.stack([np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR)) for crop in crops])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    targets = torch.from_numpy(labels)
    torch.manual_seed(0)
    config = ViTConfig(**CONFIG, id2label={0: "female", 1: "male"}, label2id={"female": 0, "male": 1})
    model = ViTForImageClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (64,))
        top, left = (int(value) for value in torch.randint(0, size - EDGE + 1, (2,)))
        batch = images[chosen, :, top : top + EDGE, left : left + EDGE]
        mirrored = torch.rand(64) < 0.5
        batch[mirrored] = batch[mirrored].flip(3)
        batch = batch * (0.7 + 0.6 * torch.rand(64, 1, 1, 1))
        loss = torch.nn.functional.cross_entropy(
            model(pixel_values=batch).logits, targets[chosen], label_smoothing=0.05
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval().save_pretrained(folder)
    ViTImageProcessor(size={"height": EDGE, "width": EDGE}).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "female", "1": "male"}
    return folder
