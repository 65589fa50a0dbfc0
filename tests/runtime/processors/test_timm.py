"""timm's ``pretrained_cfg`` against timm's evaluation transform.

The reference below is written from timm's ``transforms_imagenet_eval`` and from torchvision's documentation of
``Resize``, ``CenterCrop``, ``ToTensor`` and ``Normalize``, with plain loops and numpy. Where torchvision can be
imported, timm's own transform is compared as well.
"""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gender_classifier.runtime.errors import UnsupportedProcessorError
from gender_classifier.runtime.processors.processor import Processor
from gender_classifier.runtime.processors.timm import TIMM_DEFAULTS, TIMM_INERT_KEYS

FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
SIZES = [(1, 1), (3, 200), (200, 3), (217, 333), (333, 217), (64, 64), (224, 224), (57, 58)]

CONFIGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "ResNet": {"input_size": [3, 224, 224], "interpolation": "bilinear", "crop_pct": 0.875, "crop_mode": "center"},
    "ResNet, a1": {"input_size": [3, 160, 160], "interpolation": "bicubic", "crop_pct": 0.95},
    "odd": {"input_size": [3, 97, 97], "crop_pct": 0.9},
    "oblong": {"input_size": [3, 64, 97], "crop_pct": 0.9},
    "squash": {"input_size": [3, 96, 96], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bicubic"},
    "squash, oblong, cropped": {"input_size": [3, 64, 97], "crop_pct": 0.8, "crop_mode": "squash"},
    "border": {"input_size": [3, 96, 96], "crop_pct": 1.0, "crop_mode": "border"},
    "border, oblong, cropped": {"input_size": [3, 64, 97], "crop_pct": 0.8, "crop_mode": "border"},
    "larger than the picture": {"input_size": [3, 64, 64], "crop_pct": 1.5},
    "half": {"input_size": [3, 64, 64], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "one for all": {"input_size": [3, 64, 64], "mean": [0.45], "std": [0.225]},
    **{name: {"input_size": [3, 64, 64], "interpolation": name} for name in FILTERS},
}


def picture(height: int, width: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(height * 999 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def reference(config: dict[str, Any], image: Image.Image) -> np.ndarray:
    """timm's evaluation transform as its sources describe it."""
    _, height, width = config.get("input_size", (3, 224, 224))
    share = config.get("crop_pct", 0.875)
    mode = config.get("crop_mode", "center")
    resample = Image.Resampling(FILTERS[config.get("interpolation", "bicubic")])
    mean, std = (
        np.array(config.get(key, default) * (3 if len(config.get(key, default)) == 1 else 1), np.float32)
        for key, default in (("mean", [0.485, 0.456, 0.406]), ("std", [0.229, 0.224, 0.225]))
    )
    target_h, target_w = math.floor(height / share), math.floor(width / share)
    w, h = image.size
    if mode == "squash":
        new_h, new_w = target_h, target_w
    elif mode == "center" and target_h == target_w:  # Resize(int): the smaller edge is matched
        new_h, new_w = (target_h, int(target_h * w / h)) if h < w else (int(target_h * h / w), target_h)
    else:  # ResizeKeepRatio
        ratio = (max if mode == "border" else min)(h / target_h, w / target_w)
        new_h, new_w = max(1, round(h / ratio)), max(1, round(w / ratio))
    pixels = np.asarray(image.resize((new_w, new_h), resample)).astype(int)
    fill = [round(255 * float(v)) for v in mean] if mode == "border" else [0, 0, 0]

    # CenterCrop: pad first, floor before and ceil after, then cut at the rounded middle (Python rounds half to even).
    rows, columns = max(0, height - new_h), max(0, width - new_w)
    padded = np.empty((new_h + rows, new_w + columns, 3), int)
    padded[:] = fill
    padded[rows // 2 : rows // 2 + new_h, columns // 2 : columns // 2 + new_w] = pixels
    top, left = round((padded.shape[0] - height) / 2), round((padded.shape[1] - width) / 2)
    pixels = padded[top : top + height, left : left + width]
    return ((pixels.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)


def check(values: np.ndarray, expected: np.ndarray) -> None:
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    np.testing.assert_array_max_ulp(values, expected.astype(np.float32), maxulp=1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_equal_the_formulas(name: str, size: tuple[int, int]) -> None:
    config = CONFIGS[name]
    processor = Processor.from_config({"architecture": "resnet18", "pretrained_cfg": config}, model_type="timm_wrapper")
    assert processor.reference == "TimmWrapperImageProcessor"
    assert processor.output_size == tuple(config.get("input_size", (3, 224, 224))[1:])
    check(processor(picture(*size)), reference(config, picture(*size)))


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"input_size": st.tuples(st.just(3), st.integers(1, 60), st.integers(1, 60)).map(list)},
        optional={
            "crop_pct": st.floats(0.5, 1.4),
            "crop_mode": st.sampled_from(["center", "squash", "border"]),
            "interpolation": st.sampled_from(sorted(FILTERS)),
        },
    ),
    st.integers(1, 120),
    st.integers(1, 120),
)
def test_any_settings(config: dict[str, Any], height: int, width: int) -> None:
    if math.floor(min(config["input_size"][1:]) / config.get("crop_pct", 0.875)) < 1:
        with pytest.raises(UnsupportedProcessorError, match="crop_pct"):
            Processor.from_config({"pretrained_cfg": config})
        return
    image = picture(height, width)
    check(Processor.from_config({"pretrained_cfg": config})(image), reference(config, image))


@pytest.mark.parametrize(
    "config",
    [
        {"pretrained_cfg": {"input_size": [3, 64, 64]}, "model_type": "timm_wrapper", "num_classes": 2},
        {"input_size": [3, 64, 64], "tag": "a1_in1k", "license": "apache-2.0", "test_input_size": [3, 288, 288]},
        {"input_size": [3, 64, 64], "mean": None, "interpolation": "", "crop_pct": 0},  # timm takes its defaults
    ],
)
def test_the_same_from_each_file(config: dict[str, Any]) -> None:
    expected = Processor.from_config({"pretrained_cfg": {"input_size": [3, 64, 64]}})
    assert Processor.from_config(config, model_type="timm_wrapper") == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"crop_mode": "corner"}, "crop_mode"),
        ({"interpolation": "random"}, "interpolation"),
        ({"interpolation": 3}, "interpolation"),
        ({"input_size": [1, 64, 64]}, "input_size"),
        ({"input_size": [3, 64]}, "input_size"),
        ({"input_size": 64}, "input_size"),
        ({"input_size": [3, 64, 10**6]}, "input_size"),
        ({"crop_pct": -1}, "crop_pct"),
        ({"crop_pct": 100}, "crop_pct"),
        ({"mean": 0.5}, "mean"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"std": [0.5, 0.0, 0.5]}, "std"),
        ({"img_size": 64}, "img_size"),
        ({"sharpen": True}, "sharpen"),
    ],
    ids=repr,
)
def test_what_is_not_known_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedProcessorError, match=named):
        Processor.from_config({"pretrained_cfg": {"input_size": [3, 64, 64], **change}})


def test_every_key_that_timm_writes_is_known() -> None:
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        pytest.skip("timm is not installed")
    # Read, not imported: timm cannot be imported without torchvision.
    source = (Path(spec.origin).parent / "models" / "_pretrained.py").read_text()
    fields = re.findall(r"^    (\w+): ", source.split("class PretrainedCfg")[1].split("def ")[0], re.MULTILINE)
    assert len(fields) > 20
    assert set(fields) <= set(TIMM_DEFAULTS) | TIMM_INERT_KEYS


@pytest.fixture(scope="module")
def timm_data() -> Any:
    """timm.data, where torchvision is there; its compiled operators are not needed for pictures."""
    operators = pytest.importorskip("torch.library")
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None or find_spec("timm") is None:
        pytest.skip("timm's own transform needs torchvision, which is not installed")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # A wheel built for another torch: its operators do not load. Their names are all that the import asks for.
        source = (Path(spec.origin).parent / "_meta_registrations.py").read_text()
        library = operators.Library("torchvision", "DEF")
        for name in set(re.findall(r'register_(?:fake|meta)\("(?:torchvision::)?(\w+)"\)', source)):
            library.define(f"{name}(Tensor a) -> Tensor")
        globals()["_library"] = library  # it is undone when the object goes
    return pytest.importorskip("timm.data", exc_type=(ImportError, RuntimeError))


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_equal_timm_itself(name: str, timm_data: Any) -> None:
    resolved = timm_data.resolve_data_config(CONFIGS[name] or {"tag": "any"}, model=None)
    transform = timm_data.create_transform(**resolved, is_training=False)
    processor = Processor.from_config({"pretrained_cfg": CONFIGS[name]})
    for size in SIZES:
        if CONFIGS[name].get("crop_mode") == "border" and 3 in size:
            continue  # timm shrinks a thin picture to an edge of no pixel and stops
        check(processor(picture(*size)), transform(picture(*size)).numpy())
