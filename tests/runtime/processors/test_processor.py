"""Reading configurations, and what the result promises, without transformers."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_classifier.runtime.errors import BundleError, UnsupportedProcessorError
from gender_classifier.runtime.processors.classes import CLASS_OF_MODEL_TYPE, CLASSES, REFUSED_CLASSES
from gender_classifier.runtime.processors.processor import Processor
from support import ROOT

VIT: dict[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 32, "width": 24},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_result_is_contiguous_float32_of_the_promised_size() -> None:
    processor = Processor.from_config(VIT)
    image = noise(50, 60)
    before = np.array(image)
    values = processor(image)
    assert values.dtype == np.float32
    assert values.shape == (3, 32, 24)
    assert values.flags.c_contiguous
    assert processor.output_size == (32, 24)
    assert processor.reference == "ViTImageProcessor"
    assert np.array_equal(np.asarray(image), before)
    expected = (np.asarray(image.resize((24, 32), Image.Resampling.BILINEAR)) / 255 - 0.5) / 0.5
    assert np.allclose(values, expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "F"])
def test_other_modes_are_a_wrong_call(mode: str) -> None:
    with pytest.raises(ValueError, match=f"mode {mode}"):
        Processor.from_config(VIT)(Image.new(mode, (4, 4)))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"image_processor_type": "ConvNextImageProcessor", "size": 224}, (224, 224)),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 384}, (384, 384)),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, (None, None)),
        ({"image_processor_type": "CLIPImageProcessor", "size": 250, "crop_size": [100, 200]}, (100, 200)),
        ({"image_processor_type": "TextNetImageProcessor"}, (None, None)),
        ({"image_processor_type": "TextNetImageProcessor", "size": {"height": 33, "width": 64}}, (64, 64)),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, (None, None)),
        ({"image_processor_type": "PerceiverImageProcessor"}, (224, 224)),
        ({"image_processor_type": "DonutImageProcessor", "size": [192, 256]}, (256, 192)),
        ({"image_processor_type": "DonutImageProcessor", "do_pad": False}, (None, None)),
    ],
)
def test_output_size(config: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    processor = Processor.from_config(config)
    assert processor.output_size == expected
    shape = processor(noise(700, 533)).shape[1:]
    assert all(known in (None, real) for known, real in zip(processor.output_size, shape, strict=True))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"image_processor_type": "ViTImageProcessor", "size": [96, 64]}, (64, 96)),
        ({"image_processor_type": "BitImageProcessor", "size": 256, "crop_size": 224}, (256, 256)),
        ({"image_processor_type": "LevitImageProcessor"}, (256, 256)),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": None}, (256, 256)),
        ({"image_processor_type": "PerceiverImageProcessor"}, (256, 256)),
        ({"image_processor_type": "PerceiverImageProcessor", "do_resize": False}, None),
        ({"image_processor_type": "CLIPImageProcessor", "do_resize": False}, None),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, None),
        ({"image_processor_type": "EfficientNetImageProcessor"}, None),
        ({"image_processor_type": "DonutImageProcessor", "do_align_long_axis": True}, (1920, 1920)),
        ({"image_processor_type": "DonutImageProcessor", "do_resize": False}, (1920, 2560)),
        ({"pretrained_cfg": {"input_size": [3, 224, 224]}}, (256, 256)),
        ({"pretrained_cfg": {"crop_mode": "border", "crop_pct": 0.5, "interpolation": "nearest"}}, None),
        ({"pretrained_cfg": {"crop_mode": "squash", "crop_pct": 0.5, "input_size": [3, 20, 30]}}, (60, 40)),
    ],
)
def test_decode_target_is_what_whole_pictures_are_scaled_to(
    config: dict[str, Any], expected: tuple[int, int] | None
) -> None:
    assert Processor.from_config(config).decode_target == expected


@pytest.mark.parametrize(
    "name", sorted(name for name in CLASSES if Processor.from_config({"image_processor_type": name}).decode_target)
)
def test_a_picture_at_twice_the_scale_gives_nearly_the_same(name: str) -> None:
    """Which is what a decode target promises: the content is the same, only detail is lost."""
    short = "shortest_edge" in CLASSES[name].defaults["size"]
    size = {"shortest_edge": 96} if short else {"height": 96, "width": 96}
    processor = Processor.from_config({"image_processor_type": name, "size": size})
    assert processor.decode_target is not None
    edge = min(processor.decode_target) * 2  # even, so that half of it is exact
    y, x = np.mgrid[0 : 2 * edge, 0 : 3 * edge]
    waves = [127.5 + 127.5 * np.sin(x / edge * 6), 127.5 + 127.5 * np.cos(y / edge * 4), (x + y) / (5 * edge) * 255]
    large = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))
    small = large.reduce(2)
    pixels = [np.asarray(processor.geometry(image)).astype(int) for image in (large, small)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 3


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ({"image_processor_type": "ViTImageProcessor"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessorFast"}, "ViTImageProcessor"),
        ({"image_processor_type": "ViTImageProcessorPil"}, "ViTImageProcessor"),
        ({"feature_extractor_type": "ViTFeatureExtractor"}, "ViTImageProcessor"),
        ({"feature_extractor_type": "BeitFeatureExtractor"}, "BeitImageProcessor"),
        ({"image_processor_type": "ConvNextFeatureExtractor"}, "ConvNextImageProcessor"),
        (
            {"image_processor_type": "BitImageProcessor", "feature_extractor_type": "ViTFeatureExtractor"},
            "BitImageProcessor",
        ),
    ],
)
def test_names_of_every_generation(written: dict[str, str], name: str) -> None:
    assert Processor.from_config(written).reference == name
    assert Processor.from_config({"image_processor": written, "processor_class": "AnyProcessor"}).reference == name


@pytest.mark.parametrize("model_type", sorted(CLASS_OF_MODEL_TYPE))
def test_the_model_type_decides_where_no_class_is_named(model_type: str) -> None:
    name = CLASS_OF_MODEL_TYPE[model_type]
    if name in REFUSED_CLASSES:
        with pytest.raises(UnsupportedProcessorError, match=name):
            Processor.from_config({}, model_type=model_type)
    else:
        assert Processor.from_config({}, model_type=model_type).reference == name


def test_every_class_is_reached() -> None:
    assert set(CLASS_OF_MODEL_TYPE.values()) == set(CLASSES) | set(REFUSED_CLASSES)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image_processor_type": "SamImageProcessor"}, "SamImageProcessor"),
        ({"image_processor_type": "ImageGPTImageProcessor"}, "input_ids"),
        ({"image_processor_type": "ImageGPTFeatureExtractor"}, "ImageGPTFeatureExtractor"),
        ({"image_processor_type": "Siglip2ImageProcessorFast"}, "NaFlex"),
        ({"image_processor_type": "Gemma3ImageProcessor"}, "ShieldGemma"),
        ({"image_processor_type": 3}, "image_processor_type"),
        ({"image_processor_type": None}, "image_processor_type"),
        ({"auto_map": {"AutoImageProcessor": "own.OwnProcessor"}}, "auto_map"),
        ({"auto_map": {"AutoFeatureExtractor": "own.OwnExtractor"}}, "auto_map"),
        ({"do_sharpen": True}, "do_sharpen"),
        ({"gamma": 2.2}, "gamma"),
        ({"do_center_crop": True, "crop_size": 20}, "do_center_crop"),
        ({"do_pad": True}, "do_pad"),
        ({"crop_pct": 0.9}, "crop_pct"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"rescale_offset": True}, "rescale_offset"),
        ({"data_format": "channels_last"}, "data_format"),
        ({"input_data_format": "channels_first"}, "input_data_format"),
        ({"size": 224, "default_to_square": False}, "default_to_square"),
        ({"size": {"shortest_edge": 224}}, "size"),
        ({"size": {"longest_edge": 224}}, "size"),
        ({"size": {"height": 224}}, "size"),
        ({"size": {"height": 224, "width": 224, "depth": 3}}, "size"),
        ({"size": {"height": 224.0, "width": 224}}, "size"),
        ({"size": {"height": 0, "width": 224}}, "size"),
        ({"size": {"height": -4, "width": 224}}, "size"),
        ({"size": {"height": 10**9, "width": 224}}, "size"),
        ({"size": "224"}, "size"),
        ({"size": True}, "size"),
        ({"size": [224]}, "size"),
        ({"size": [224, 224, 3]}, "size"),
        ({"resample": 6}, "resample"),
        ({"resample": -1}, "resample"),
        ({"resample": "bilinear"}, "resample"),
        ({"resample": True}, "resample"),
        ({"resample": None}, "resample"),
        ({"resample": [2]}, "resample"),
        ({"rescale_factor": None}, "rescale_factor"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"rescale_factor": float("nan")}, "rescale_factor"),
        ({"rescale_factor": 10**400}, "rescale_factor"),
        ({"rescale_factor": 1e300}, "rescale_factor"),
        ({"do_resize": "yes"}, "do_resize"),
        ({"do_resize": 1}, "do_resize"),
        ({"do_rescale": None}, "do_rescale"),
        ({"image_mean": [0.5, 0.5]}, "image_mean"),
        ({"image_mean": [0.5, 0.5, "0.5"]}, "image_mean"),
        ({"image_mean": [0.5, 0.5, float("inf")]}, "image_mean"),
        ({"image_std": [0.5, 0.0, 0.5]}, "image_std"),
        ({"image_std": 0}, "image_std"),
    ],
    ids=repr,
)
def test_what_is_not_known_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedProcessorError, match=named) as caught:
        Processor.from_config(VIT | change)
    assert isinstance(caught.value, BundleError)
    assert str(caught.value)[0].islower()  # a clause that the caller puts after the file's name


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"height": 224, "width": 224}}, "shortest_edge"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0}, "crop_pct"),
        ({"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 1e-6}, "size"),
        ({"image_processor_type": "SiglipImageProcessor", "size": 224}, "height and width"),
        ({"image_processor_type": "CLIPImageProcessor", "size": {"longest_edge": 224}}, "size"),
        ({"image_processor_type": "CLIPImageProcessor", "crop_size": {"shortest_edge": 224}}, "crop_size"),
        (
            {
                "image_processor_type": "CLIPImageProcessor",
                "use_square_size": True,
                "size": {"height": 224, "width": 224},
            },
            "use_square_size",
        ),
        ({"image_processor_type": "MobileViTImageProcessor", "do_normalize": True}, "do_normalize"),
        ({"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 1e9}, "size"),
        ({"image_processor_type": "TextNetImageProcessor", "size_divisor": 0}, "size_divisor"),
    ],
)
def test_classes_refuse_what_their_reference_cannot_do(config: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedProcessorError, match=named):
        Processor.from_config(config)


def test_harmless_keys_change_nothing() -> None:
    harmless = {
        "_valid_processor_keys": ["images", "size"],
        "crop_pct": None,
        "crop_size": {"height": 9, "width": 9},
        "data_format": "channels_first",
        "default_to_square": True,
        "device": None,
        "disable_grouping": None,
        "do_center_crop": False,
        "do_convert_rgb": None,
        "do_pad": None,
        "feature_extractor_type": "ViTFeatureExtractor",
        "input_data_format": None,
        "pad_size": None,
        "processor_class": "CLIPProcessor",
        "reduce_labels": True,
        "return_tensors": None,
    }
    assert Processor.from_config(VIT | harmless) == Processor.from_config(VIT)


@pytest.mark.parametrize("config", [None, [], "ViTImageProcessor", 3])
def test_a_configuration_that_is_no_object(config: Any) -> None:
    with pytest.raises(UnsupportedProcessorError, match="not a JSON object"):
        Processor.from_config(config)


def test_neither_class_nor_model_type() -> None:
    with pytest.raises(UnsupportedProcessorError, match="names no image_processor_type"):
        Processor.from_config({"size": 224})
    with pytest.raises(UnsupportedProcessorError, match="'bert'"):
        Processor.from_config({"size": 224}, model_type="bert")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_processor_can_be_pickled_and_compared(name: str) -> None:
    processor = Processor.from_config({"image_processor_type": name})
    again = pickle.loads(pickle.dumps(processor))
    assert again == processor
    assert again.output_size == processor.output_size
    image = noise(40, 30)
    assert np.array_equal(again(image), processor(image))


def test_threads_share_one_processor() -> None:
    processor = Processor.from_config(VIT)
    images = [noise(40 + i, 60 - i) for i in range(24)]
    expected = [Processor.from_config(VIT)(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for values, one in zip(pool.map(processor, images), expected, strict=True):
            assert np.array_equal(values, one)


def test_only_numpy_and_pillow_are_needed() -> None:
    blocked = ("torch", "torchvision", "transformers", "timm", "cv2", "onnxruntime", "tokenizers", "safetensors")
    program = (
        f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
        "from PIL import Image\nfrom gender_classifier.runtime.processors.processor import Processor\n"
        "values = Processor.from_config({}, model_type='vit')(Image.new('RGB', (9, 9), (255, 255, 255)))\n"
        "assert values.shape == (3, 224, 224) and (values == 1).all()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
