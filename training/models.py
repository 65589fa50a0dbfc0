"""Candidates for the built-in model: configurations that transformers knows."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageClassification, ViTImageProcessor

from training.config import Model
from training.data import LABELS

__all__ = ["CANDIDATES", "autocast", "build_model", "build_processor", "count_parameters"]

CANDIDATES: dict[str, Model] = {
    "resnet-wide": Model(
        "resnet",
        {
            "embedding_size": 24,
            "hidden_sizes": (32, 64, 128, 192),
            "depths": (1, 1, 1, 1),
            "layer_type": "basic",
        },
    ),
    "resnet-deep": Model(
        "resnet",
        {
            "embedding_size": 24,
            "hidden_sizes": (24, 48, 96, 160),
            "depths": (2, 2, 2, 1),
            "layer_type": "basic",
        },
    ),
    "regnet-x": Model(
        "regnet",
        {
            "embedding_size": 24,
            "hidden_sizes": (32, 64, 128, 256),
            "depths": (1, 2, 4, 2),
            "groups_width": 16,
            "layer_type": "x",
        },
    ),
    "regnet-y": Model(
        "regnet",
        {
            "embedding_size": 24,
            "hidden_sizes": (32, 64, 128, 224),
            "depths": (1, 2, 4, 2),
            "groups_width": 16,
            "layer_type": "y",
        },
    ),
    "mobilenet-v1": Model(
        "mobilenet_v1",
        {"depth_multiplier": 0.5, "tf_padding": False, "classifier_dropout_prob": 0.1},
    ),
    "mobilenet-v2": Model(
        "mobilenet_v2",
        {
            "depth_multiplier": 0.6,
            "finegrained_output": False,
            "tf_padding": False,
            "classifier_dropout_prob": 0.1,
        },
    ),
    "efficientnet": Model(
        "efficientnet",
        {
            "width_coefficient": 0.45,
            "depth_coefficient": 0.7,
            "hidden_dim": 576,
            "dropout_rate": 0.1,
            "drop_connect_rate": 0.05,
        },
    ),
    "convnext-v2": Model(
        "convnextv2",
        {"hidden_sizes": (24, 48, 96, 160), "depths": (2, 2, 4, 1), "patch_size": 4},
    ),
    "vit": Model(
        "vit",
        {
            "hidden_size": 96,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "intermediate_size": 288,
            "patch_size": 10,
            "hidden_dropout_prob": 0.0,
        },
    ),
}
"""Candidates by name: a few families, each cut down until its weights take less than 4 MB as float32."""


def build_model(model: Model) -> Any:
    """Makes an untrained classifier.

    Args:
        model: The candidate.

    Returns:
        A transformers model whose ``logits`` are (n, 2), in the order of ``LABELS``.
    """
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in model.options.items()}
    # ``image_size`` means something to ViT-like families only and is harmless elsewhere.
    config = AutoConfig.for_model(
        model.family,
        **options,
        image_size=model.size,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    return AutoModelForImageClassification.from_config(config)


def build_processor(model: Model) -> ViTImageProcessor:
    """Makes the processor that resizes with Pillow's bilinear filter and maps to [-1, 1]."""
    return ViTImageProcessor(
        size={"height": model.size, "width": model.size},
        resample=2,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def count_parameters(model: torch.nn.Module) -> int:
    """Number of weights."""
    return sum(p.numel() for p in model.parameters())


def _has_onednn() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where the machine multiplies it fast, else float32."""
    fast = device.type == "cuda" or _has_onednn()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)
