"""Makes timm's evaluation transform of the ``pretrained_cfg`` in a timm model's ``config.json``.

Source: ``resolve_data_config`` and ``transforms_imagenet_eval`` of timm 1.0, which build on torchvision's ``Resize``,
``CenterCrop``, ``ToTensor`` and ``Normalize``; on PIL pictures torchvision resizes with Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedProcessorError
from . import transforms
from .classes import IMAGENET_MEAN, IMAGENET_STD
from .rules import scales_to
from .settings import MAX_EDGE, Settings
from .steps import Step

if TYPE_CHECKING:
    from .settings import Triple

__all__ = ["TIMM_CLASS", "TIMM_DEFAULTS", "TIMM_INERT_KEYS", "timm_config", "timm_steps"]

TIMM_CLASS = "TimmWrapperImageProcessor"
_FILTERS: Mapping[str, int] = MappingProxyType(
    {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
)

TIMM_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "input_size": (3, 224, 224),
        "interpolation": "bicubic",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "crop_pct": 0.875,
        "crop_mode": "center",
    }
)
"""What timm takes where the configuration says nothing (or something empty)."""

TIMM_INERT_KEYS = frozenset(
    {
        "architecture",
        "classifier",
        "custom_load",
        "description",
        "file",
        "first_conv",
        "fixed_input_size",
        "hf_hub_filename",
        "hf_hub_id",
        "label_descriptions",
        "label_names",
        "label_offset",
        "license",
        "min_input_size",
        "notes",
        "num_classes",
        "origin_url",
        "paper_ids",
        "paper_name",
        "pool_size",
        "source",
        "state_dict",
        "tag",
        "test_crop_pct",
        "test_input_size",
        "test_pool_size",
        "url",
    }
)
"""Keys of a ``pretrained_cfg`` that change no pixel (the ``test_`` ones are used on request only)."""


def timm_config(config: Mapping[str, Any], model_type: str | None) -> Mapping[str, Any] | None:
    """Returns the ``pretrained_cfg`` of a timm model's configuration, or ``None`` where it is another one's."""
    nested = config.get("pretrained_cfg")
    if isinstance(nested, Mapping):
        return nested
    if nested is None and model_type in ("timm_wrapper", "timm-wrapper"):
        return config
    return None


def timm_steps(config: Mapping[str, Any]) -> tuple[tuple[Step, ...], Triple, Triple]:
    """Returns the steps of timm's evaluation transform, and the mean and standard deviation.

    Args:
        config: A ``pretrained_cfg``.

    Raises:
        UnsupportedProcessorError: If a key or a value is unknown; the message names it.
    """
    unknown = sorted(set(config) - set(TIMM_DEFAULTS) - TIMM_INERT_KEYS)
    if unknown:
        raise UnsupportedProcessorError(
            f"the image processor {TIMM_CLASS} has an unknown setting: {', '.join(unknown)}"
        )
    # timm takes its default where a value is empty or zero, not only where it is missing.
    given = {key: config[key] for key in TIMM_DEFAULTS if config.get(key)}
    settings = Settings(TIMM_CLASS, {**TIMM_DEFAULTS, **given})
    values = settings.values

    shape = values["input_size"]
    if not isinstance(shape, (list, tuple)) or len(shape) != 3 or shape[0] != 3:
        raise settings.refuse("input_size", f"is {shape!r}, not [3, height, width]")
    size = Settings(TIMM_CLASS, {"input_size": list(shape[1:])}).exact_size("input_size")
    resample = _FILTERS.get(values["interpolation"]) if isinstance(values["interpolation"], str) else None
    if resample is None:
        raise settings.refuse("interpolation", f"is {values['interpolation']!r}, not one of {', '.join(_FILTERS)}")
    share = settings.share("crop_pct")
    assert share is not None
    mean, std = _triple(settings, "mean"), _triple(settings, "std", divisor=True)
    larger = math.floor(size[0] / share), math.floor(size[1] / share)
    if min(larger) < 1 or max(larger) > MAX_EDGE:
        raise settings.refuse("crop_pct", f"is {share!r}, which asks for an edge of {max(larger)} pixels")

    fill = (0, 0, 0)
    scale = scales_to(larger, resample)
    if values["crop_mode"] == "squash":
        resize = Step(transforms.resize, (larger, resample), larger, scale)
    elif values["crop_mode"] == "border":
        resize = Step(transforms.resize_keep_ratio, (larger, resample, True), scales_to=scale)
        fill = round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2])
    elif values["crop_mode"] == "center":
        if larger[0] == larger[1]:
            resize = Step(transforms.resize_short_edge, (larger[0], resample), scales_to=scale)
        else:
            resize = Step(transforms.resize_keep_ratio, (larger, resample, False), scales_to=scale)
    else:
        raise settings.refuse("crop_mode", f"is {values['crop_mode']!r}, not one of center, border, squash")
    return (resize, Step(transforms.rounded_center_crop, (size, fill), size)), mean, std


def _triple(settings: Settings, key: str, *, divisor: bool = False) -> Triple:
    value = settings.values[key]
    if isinstance(value, (list, tuple)) and len(value) == 1:  # timm: one for all channels
        settings = Settings(settings.name, {key: value[0]})
    elif not isinstance(value, (list, tuple)):
        raise settings.refuse(key, f"is {value!r}, not a list of numbers")
    return settings.triple(key, divisor=divisor)
