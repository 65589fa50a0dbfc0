"""Our pixels against transformers' PIL ("slow") processors: every class, every generation of files, odd pictures.

The uint8 picture after resizing, cropping and padding has to be identical. After rescaling and normalising, one float32
unit in the last place (``ULP``) is allowed; measured with numpy 2.4 it is none.

The reference is told that pictures are channels_last. On its own it takes a picture of 1 or 3 pixels' height for
channels_first, which is a known ambiguity of transformers and no way to treat a photograph.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gender_classifier.runtime.processors import transforms
from gender_classifier.runtime.processors.classes import CLASS_OF_MODEL_TYPE, CLASSES, REFUSED_CLASSES
from gender_classifier.runtime.processors.processor import Processor

transformers = pytest.importorskip("transformers", reason="the reference is transformers")

ULP = 1
SIZES = [(1, 1), (1, 2), (3, 40), (40, 3), (217, 333), (333, 217), (224, 224), (255, 257)]
"""(height, width) of the pictures."""
THIN = [(3, 200), (200, 3)]
HUGE = (3024, 4032)
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

# Every class with its own defaults, as transformers writes them, plus the variants that published files have.
CASES: dict[str, dict[str, Any]] = {
    **{f"{name}, defaults": {"image_processor_type": name} for name in CLASSES},
    # ViT
    "ViT of 2021": {
        "feature_extractor_type": "ViTFeatureExtractor",
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": 224,
    },
    "Swin of 2022": {"feature_extractor_type": "ViTFeatureExtractor", "resample": 3, "size": 224, **IMAGENET},
    "ViT, oblong": {"image_processor_type": "ViTImageProcessor", "size": {"height": 97, "width": 160}},
    "ViT, size as a list": {"image_processor_type": "ViTImageProcessor", "size": [97, 160]},
    "ViT, no rescale": {"image_processor_type": "ViTImageProcessor", "do_rescale": False},
    "ViT, no rescale, no normalise": {
        "image_processor_type": "ViTImageProcessor",
        "do_rescale": False,
        "do_normalize": False,
    },
    "ViT, no normalise": {"image_processor_type": "ViTImageProcessor", "do_normalize": False},
    "ViT, no resize": {"image_processor_type": "ViTImageProcessor", "do_resize": False},
    "ViT, one mean for all": {"image_processor_type": "ViTImageProcessor", "image_mean": 0.45, "image_std": 0.225},
    "ViT, other rescale factor": {"image_processor_type": "ViTImageProcessor", "rescale_factor": 1 / 127.5},
    "ViT, saved by the torchvision class": {
        "image_processor_type": "ViTImageProcessorFast",
        "crop_size": None,
        "data_format": "channels_first",
        "default_to_square": True,
        "device": None,
        "disable_grouping": None,
        "do_center_crop": None,
        "do_convert_rgb": None,
        "do_pad": None,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "input_data_format": None,
        "pad_size": None,
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "return_tensors": None,
        "size": {"height": 224, "width": 224},
    },
    **{f"ViT, resample {n}": {"image_processor_type": "ViTImageProcessor", "resample": n} for n in range(6)},
    # BEiT, DeiT
    "BEiT of 2021, no crop": {
        "feature_extractor_type": "BeitFeatureExtractor",
        "crop_size": 224,
        "do_center_crop": False,
        "resample": 2,
        "size": 224,
        "reduce_labels": False,
    },
    "BEiT, crop larger than size": {"image_processor_type": "BeitImageProcessor", "size": 100, "crop_size": 131},
    "BEiT, oblong crop": {"image_processor_type": "BeitImageProcessor", "size": [130, 77], "crop_size": [64, 101]},
    "DeiT of 2021": {
        "feature_extractor_type": "DeiTFeatureExtractor",
        "size": 256,
        "crop_size": 224,
        "do_center_crop": True,
        "resample": 3,
        **IMAGENET,
    },
    # CLIP, BiT, hybrid
    "CLIP of 2021": {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "crop_size": 224,
        "do_center_crop": True,
        "size": 224,
        "resample": 3,
    },
    "CLIP, exact size and a crop": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"height": 224, "width": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_convert_rgb": True,
    },
    "CLIP, square size": {"image_processor_type": "CLIPImageProcessor", "size": 90, "use_square_size": True},
    "CLIP, no crop": {"image_processor_type": "CLIPImageProcessor", "size": 60, "do_center_crop": False},
    "CLIP, no resize": {"image_processor_type": "CLIPImageProcessor", "do_resize": False},
    "CLIP, longest_edge beside": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 70, "longest_edge": 100},
        "crop_size": 64,
    },
    "DINOv2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
        "resample": 3,
        "do_convert_rgb": True,
        **IMAGENET,
    },
    "BiT, odd crop": {"image_processor_type": "BitImageProcessor", "size": 100, "crop_size": 83},
    # ConvNext
    "ConvNext of 2022": {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "crop_pct": 0.875,
        "resample": 3,
        "size": 224,
        **IMAGENET,
    },
    "ConvNext, crop_pct null": {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": None},
    "ConvNext, 383": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 383}},
    "ConvNext, 384": {"image_processor_type": "ConvNextImageProcessor", "size": 384, "crop_pct": 0.5},
    "ConvNext, crop_pct 0.95": {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0.95},
    "ConvNext, crop_pct 1": {"image_processor_type": "ConvNextImageProcessor", "size": 97, "crop_pct": 1},
    "ConvNext, saved by the torchvision class": {
        "image_processor_type": "ConvNextImageProcessorFast",
        "crop_pct": 0.875,
        "default_to_square": False,
        "do_center_crop": None,
        "size": {"shortest_edge": 225},
    },
    "ConvNext, no resize": {"image_processor_type": "ConvNextImageProcessor", "do_resize": False, "size": 224},
    # Donut
    "Donut, small": {"image_processor_type": "DonutImageProcessor", "size": {"height": 96, "width": 70}},
    "Donut, aligned": {
        "image_processor_type": "DonutImageProcessor",
        "size": {"height": 96, "width": 70},
        "do_align_long_axis": True,
    },
    "Donut, aligned, lying": {
        "image_processor_type": "DonutImageProcessor",
        "size": {"height": 70, "width": 96},
        "do_align_long_axis": True,
    },
    "Donut of 2022, width first": {
        "feature_extractor_type": "DonutFeatureExtractor",
        "size": [80, 120],
        "do_thumbnail": True,
        "resample": 0,
    },
    "Donut, no padding": {
        "image_processor_type": "DonutImageProcessor",
        "size": {"height": 96, "width": 70},
        "do_pad": False,
    },
    "Donut, thumbnail only": {
        "image_processor_type": "DonutImageProcessor",
        "size": {"height": 150, "width": 140},
        "do_pad": False,
        "do_resize": False,
    },
    # EfficientFormer, EfficientNet
    "EfficientFormer-L1": {
        "image_processor_type": "EfficientFormerImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "resample": 3,
    },
    "EfficientNet-B0": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": {"height": 224, "width": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": False,
        "include_top": True,
        "resample": 0,
        "rescale_offset": False,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.47853944, 0.4732864, 0.47434163],
    },
    "EfficientNet, offset": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": 64,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
        "do_normalize": False,
        "include_top": False,
    },
    "EfficientNet, top without normalise": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": 64,
        "do_normalize": False,
    },
    "EfficientNet, no rescale, offset and crop": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": 64,
        "crop_size": 51,
        "do_center_crop": True,
        "do_rescale": False,
        "rescale_offset": True,
    },
    # LeViT, MobileNet, MobileViT
    "LeViT of 2022": {"feature_extractor_type": "LevitFeatureExtractor", "size": 224, "resample": 3},
    "LeViT, exact": {"image_processor_type": "LevitImageProcessor", "size": {"height": 99, "width": 120}},
    "MobileNetV2 of 2022": {
        "feature_extractor_type": "MobileNetV2FeatureExtractor",
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
    },
    "MobileNetV1, exact": {"image_processor_type": "MobileNetV1ImageProcessor", "size": [99, 120], "crop_size": 50},
    "MobileViT of 2022": {
        "feature_extractor_type": "MobileViTFeatureExtractor",
        "crop_size": 256,
        "size": 288,
        "do_flip_channel_order": True,
    },
    "MobileViT, not flipped": {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": False},
    "MobileViT, no rescale": {"image_processor_type": "MobileViTImageProcessor", "do_rescale": False},
    # Perceiver, PoolFormer, PVT, ViT hybrid
    "Perceiver of 2021": {"feature_extractor_type": "PerceiverFeatureExtractor", "crop_size": 256, "size": 224},
    "Perceiver, oblong": {"image_processor_type": "PerceiverImageProcessor", "crop_size": [99, 120], "size": [70, 110]},
    "Perceiver, crop beyond": {"image_processor_type": "PerceiverImageProcessor", "crop_size": 99, "size": 128},
    "PoolFormer of 2022": {"feature_extractor_type": "PoolFormerFeatureExtractor", "crop_pct": 0.95, "size": 224},
    "PoolFormer, square": {"image_processor_type": "PoolFormerImageProcessor", "size": {"height": 99, "width": 99}},
    "PoolFormer, oblong": {"image_processor_type": "PoolFormerImageProcessor", "size": {"height": 99, "width": 120}},
    "PoolFormer, crop_pct null": {"image_processor_type": "PoolFormerImageProcessor", "crop_pct": None},
    "PoolFormer, null and exact": {
        "image_processor_type": "PoolFormerImageProcessor",
        "crop_pct": None,
        "size": {"height": 99, "width": 120},
    },
    "PVT, oblong": {"image_processor_type": "PvtImageProcessor", "size": [99, 120], "resample": 3},
    "ViT hybrid 384": {
        "image_processor_type": "ViTHybridImageProcessor",
        "size": {"shortest_edge": 384},
        "crop_size": {"height": 384, "width": 384},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
    # Segformer, SigLIP, TextNet
    "Segformer of 2021": {
        "feature_extractor_type": "SegformerFeatureExtractor",
        "reduce_labels": True,
        "size": 128,
        "resample": 2,
    },
    "SigLIP 384": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 384}},
    "TextNet, small": {"image_processor_type": "TextNetImageProcessor", "size": {"shortest_edge": 64}},
    "TextNet, crop and divisor": {
        "image_processor_type": "TextNetImageProcessor",
        "size": 70,
        "size_divisor": 13,
        "do_center_crop": True,
        "crop_size": 61,
    },
    "TextNet, exact": {"image_processor_type": "TextNetImageProcessor", "size": {"height": 33, "width": 64}},
}
# Files that name no class: the model type decides.
CASES_BY_MODEL_TYPE = {
    model_type: name for model_type, name in CLASS_OF_MODEL_TYPE.items() if name not in REFUSED_CLASSES
}


@cache
def picture(height: int, width: int) -> Image.Image:
    """Smooth colours with noise on top, so that filters, offsets and channels all show."""
    if height * width > 10**6:  # smooth colours would take longer to make than to process
        return Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 / max(1, width - 1), y * 255 / max(1, height - 1), (x + 2 * y) % 256], axis=-1)
    noise = np.random.default_rng(height * 10007 + width).integers(-60, 61, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def reference(config: dict[str, Any], folder: Path, model_type: str | None = None) -> Any:
    """Loads a file as transformers does, with the PIL class."""
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    if model_type is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoImageProcessor.from_pretrained(str(folder), use_fast=False)


def run(theirs: Any, image: Image.Image, **options: Any) -> np.ndarray:
    return np.asarray(theirs(image, input_data_format="channels_last", **options)["pixel_values"][0])


def check(ours: Processor, theirs: Any, image: Image.Image) -> None:
    off: dict[str, Any] = {"do_rescale": False}
    if hasattr(theirs, "do_normalize"):
        off["do_normalize"] = False
    if hasattr(theirs, "include_top"):
        off["include_top"] = False
    pixels = run(theirs, image, **off)
    assert pixels.dtype == np.uint8
    if pixels.size == 0:  # Perceiver crops a very small picture away; without resizing nothing is left, here one pixel
        assert np.array_equal(np.asarray(ours.geometry(image)), np.zeros((1, 1, 3), np.uint8))
        return
    mine = np.asarray(ours.geometry(image))
    if ours.values.flip_channels:
        mine = mine[..., ::-1]
    assert np.array_equal(mine.transpose(2, 0, 1), pixels), "the uint8 pictures differ"

    values, expected = ours(image), run(theirs, image)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    np.testing.assert_array_max_ulp(values, expected.astype(np.float32), maxulp=ULP)
    known = zip(ours.output_size, values.shape[1:], strict=True)
    assert all(promised in (None, real) for promised, real in known)


def sizes_for(name: str) -> list[tuple[int, int]]:
    """Thin pictures become very large under a short edge, so only the defaults of each class see the thinnest."""
    if name in ("TextNetImageProcessor, defaults", "DonutImageProcessor, defaults"):
        return [(217, 333)]  # frames of several million pixels; their small variants see every size
    return SIZES + THIN if name.endswith("defaults") else SIZES


@pytest.mark.parametrize("name", CASES)
def test_pixels_equal_the_reference(name: str, tmp_path: Path) -> None:
    config = CASES[name]
    theirs = reference(config, tmp_path)
    assert not theirs.is_fast
    ours = Processor.from_config(config)
    assert ours.reference == type(theirs).__name__
    for size in sizes_for(name):
        check(ours, theirs, picture(*size))


@pytest.mark.parametrize("name", CLASSES)
def test_what_transformers_writes_is_read(name: str, tmp_path: Path) -> None:
    """Through transformers' own file, and nested as transformers 5 writes it."""
    theirs = reference({"image_processor_type": name}, tmp_path)
    theirs.save_pretrained(tmp_path / "saved")
    written = json.loads((tmp_path / "saved" / "preprocessor_config.json").read_text())
    assert written["image_processor_type"] == name
    expected = Processor.from_config({"image_processor_type": name})
    assert Processor.from_config(written) == expected
    assert Processor.from_config({"image_processor": written, "processor_class": "P"}, model_type="vit") == expected


@pytest.mark.parametrize("model_type", [kind for kind in CASES_BY_MODEL_TYPE if kind != "vit-hybrid"])
def test_a_file_without_a_class(model_type: str, tmp_path: Path) -> None:
    short = "shortest_edge" in CLASSES[CLASS_OF_MODEL_TYPE[model_type]].defaults["size"]
    config = {"size": {"shortest_edge": 64} if short else {"height": 64, "width": 64}}
    theirs = reference(config, tmp_path, model_type)
    ours = Processor.from_config(config, model_type=model_type)
    assert ours.reference == type(theirs).__name__
    check(ours, theirs, picture(90, 61))


def test_the_mapping_is_that_of_transformers() -> None:
    """Every architecture with a classification head has an entry here, with transformers' own class."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    expected = {
        kind: IMAGE_PROCESSOR_MAPPING_NAMES[kind][0]
        for kind in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
        if kind in IMAGE_PROCESSOR_MAPPING_NAMES and kind != "timm_wrapper"
    }
    assert {k: v for k, v in CLASS_OF_MODEL_TYPE.items() if k != "vit-hybrid"} == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_huge_pictures(name: str, tmp_path: Path) -> None:
    config = {"image_processor_type": name}
    check(Processor.from_config(config), reference(config, tmp_path), picture(*HUGE))


def test_a_huge_picture(tmp_path: Path) -> None:
    config = {"image_processor_type": "ViTImageProcessor"}
    check(Processor.from_config(config), reference(config, tmp_path), picture(*HUGE))


def test_donut_fails_where_the_reference_fails(tmp_path: Path) -> None:
    config = {"image_processor_type": "DonutImageProcessor", "size": 90, "do_thumbnail": False}
    image = picture(50, 100)
    with pytest.raises(ValueError, match="can't contain negative values"):
        run(reference(config, tmp_path), image)
    with pytest.raises(OSError, match="does not fit"):
        Processor.from_config(config)(image)


EDGE = st.integers(2, 90)
SQUARE = st.builds(lambda h, w: {"height": h, "width": w}, EDGE, EDGE)
SHORT = st.builds(lambda edge: {"shortest_edge": edge}, EDGE)
SQUARE_ONLY = {"BeitImageProcessor", "DeiTImageProcessor", "EfficientNetImageProcessor", "PerceiverImageProcessor"}
SQUARE_ONLY |= {"PvtImageProcessor", "SegformerImageProcessor", "SiglipImageProcessor", "ViTImageProcessor"}
NUMBERS = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3)
DIVISORS = st.lists(st.floats(0.125, 2, width=32), min_size=3, max_size=3)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """A class with any of its settings changed, within what its reference can do."""
    name = draw(st.sampled_from([name for name in CLASSES if name != "DonutImageProcessor"]))
    sizes = SHORT if name == "ConvNextImageProcessor" else SQUARE if name in SQUARE_ONLY else SHORT | SQUARE
    if name != "SiglipImageProcessor":
        sizes |= EDGE
    possible: dict[str, st.SearchStrategy[Any]] = {
        "size": sizes,
        "crop_size": EDGE | SQUARE,
        "resample": st.integers(0, 5),
        "do_resize": st.booleans(),
        "do_center_crop": st.booleans(),
        "do_rescale": st.booleans(),
        "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 0.0039, 2]),
        "do_normalize": st.booleans(),
        "image_mean": NUMBERS | st.floats(-1, 1),
        "image_std": DIVISORS | st.floats(0.125, 2),
        "crop_pct": st.none() | st.floats(0.5, 1),
        "rescale_offset": st.booleans(),
        "include_top": st.booleans(),
        "do_flip_channel_order": st.booleans(),
        "size_divisor": st.integers(1, 40),
    }
    reads = CLASSES[name].defaults
    chosen = draw(st.fixed_dictionaries({}, optional={key: s for key, s in possible.items() if key in reads}))
    # Defaults are hundreds of pixels; small ones find the same errors sooner.
    return {"image_processor_type": name, "size": draw(sizes), **chosen}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configurations(), st.integers(1, 120), st.integers(1, 120))
def test_any_settings(tmp_path: Path, config: dict[str, Any], height: int, width: int) -> None:
    check(Processor.from_config(config), reference(config, tmp_path), picture(height, width))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {"size": EDGE | SQUARE | st.tuples(EDGE, EDGE).map(list)},
        optional={
            "do_align_long_axis": st.booleans(),
            "do_thumbnail": st.booleans(),
            "do_resize": st.booleans(),
            "do_pad": st.booleans(),
            "resample": st.integers(0, 5),
        },
    ),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_any_settings_of_donut(tmp_path: Path, config: dict[str, Any], height: int, width: int) -> None:
    config = {"image_processor_type": "DonutImageProcessor", **config}
    theirs, ours = reference(config, tmp_path), Processor.from_config(config)
    image = picture(height, width)
    failure = None
    try:
        run(theirs, image)
    except (ValueError, ZeroDivisionError) as error:
        failure = str(error)
    if failure is None:
        check(ours, theirs, image)
    elif "negative" in failure:  # transformers cannot pad by a negative number
        with pytest.raises(OSError, match="does not fit"):
            ours(image)
    else:  # nor shrink to an edge of no pixel, where we take one
        assert failure in ("height and width must be > 0", "division by zero")
        shrunk = image
        for step in ours.steps:
            if step.function is not transforms.pad_to_frame:
                shrunk = step(shrunk)
        assert 1 in shrunk.size
        assert np.isfinite(ours(image)).all()
