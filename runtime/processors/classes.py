"""Lists the image processor classes of transformers as data: their defaults and the order of their steps.

Source: the PIL ("slow") classes of transformers 4.57.6 that ``IMAGE_PROCESSOR_MAPPING_NAMES`` gives to the
architectures of ``MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES``. One precedence everywhere: what the configuration
says, else the default of the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .settings import Settings, Triple
    from .steps import Step

    Rule = Callable[[Settings], Step | None]

__all__ = [
    "CLASSES",
    "CLASS_OF_MODEL_TYPE",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "INERT_KEYS",
    "REFUSED_CLASSES",
    "SWITCHES_OF_OTHER_CLASSES",
    "ProcessorClass",
]

_HALF = (0.5, 0.5, 0.5)
"""``IMAGENET_STANDARD_MEAN`` and ``IMAGENET_STANDARD_STD`` of transformers."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_NEAREST, _BILINEAR, _BICUBIC = 0, 2, 3
"""Pillow's numbers of its filters."""


@dataclass(frozen=True)
class ProcessorClass:
    """One class of transformers.

    Attributes:
        summary: What the class does, for people.
        rules: What happens to the picture, in order.
        defaults: Every setting that the class reads for its pixels, with the value it has when nothing is said.
    """

    summary: str
    rules: tuple[Rule, ...]
    defaults: Mapping[str, Any]


def _class(
    summary: str,
    *order: Rule,
    size: dict[str, int],
    resample: int,
    crop: int | None = None,
    mean: Triple | None = _HALF,
    std: Triple = _HALF,
    **more: Any,
) -> ProcessorClass:
    """Writes down one class; ``crop`` and ``mean`` say whether it can crop and normalise at all."""
    defaults = {"do_resize": True, "size": size, "resample": resample, "do_rescale": True, "rescale_factor": 1 / 255}
    if crop is not None:
        defaults |= {"do_center_crop": True, "crop_size": {"height": crop, "width": crop}}
    if mean is not None:
        defaults |= {"do_normalize": True, "image_mean": mean, "image_std": std}
    return ProcessorClass(summary, order, MappingProxyType(defaults | more))


def _square(edge: int) -> dict[str, int]:
    return {"height": edge, "width": edge}


def _short(edge: int) -> dict[str, int]:
    return {"shortest_edge": edge}


_BY_SIZE = "resizes the short edge (or to height x width), crops"
_EXACTLY = "resizes to height x width"
_CLIP_LIKE: dict[str, Any] = {
    "size": _short(224),
    "resample": _BICUBIC,
    "crop": 224,
    "mean": _CLIP_MEAN,
    "std": _CLIP_STD,
}
_MOBILENET: dict[str, Any] = {"size": _short(256), "resample": _BILINEAR, "crop": 224}
_BEIT_LIKE: dict[str, Any] = {"size": _square(256), "resample": _BICUBIC, "crop": 224}
_IMAGENET: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}

CLASSES: Mapping[str, ProcessorClass] = MappingProxyType(
    {
        "BeitImageProcessor": _class(f"{_EXACTLY}, crops", rules.resize_exactly, rules.center_crop, **_BEIT_LIKE),
        "BitImageProcessor": _class(_BY_SIZE, rules.resize_by_size, rules.center_crop, **_CLIP_LIKE),
        "CLIPImageProcessor": _class(
            f"{_BY_SIZE}; `use_square_size` makes a square of the short edge",
            rules.resize_clip,
            rules.center_crop,
            use_square_size=False,
            **_CLIP_LIKE,
        ),
        "ConvNextImageProcessor": _class(
            "below 384 resizes the short edge to size / `crop_pct` (null: 224/256) and crops; from 384 on squeezes",
            rules.resize_convnext,
            rules.crop_convnext,
            size=_short(384),
            resample=_BILINEAR,
            crop_pct=None,
        ),
        "DeiTImageProcessor": _class(f"{_EXACTLY}, crops", rules.resize_exactly, rules.center_crop, **_BEIT_LIKE),
        "DonutImageProcessor": _class(
            "turns to the long axis if told, resizes the short edge, shrinks into the frame (always bicubic), pads",
            rules.turn_donut,
            rules.resize_donut,
            rules.thumbnail_donut,
            rules.pad_donut,
            size={"height": 2560, "width": 1920},
            resample=_BILINEAR,
            do_align_long_axis=False,
            do_thumbnail=True,
            do_pad=True,
        ),
        "EfficientFormerImageProcessor": _class(
            f"{_EXACTLY} (or the short edge), crops",
            rules.resize_efficientformer,
            rules.center_crop,
            size=_square(224),
            resample=_BICUBIC,
            crop=224,
            **_IMAGENET,
        ),
        "EfficientNetImageProcessor": _class(
            f"{_EXACTLY}, crops if told; `rescale_offset` subtracts 1, `include_top` divides by std twice",
            rules.resize_exactly,
            rules.center_crop,
            size=_square(346),
            resample=_NEAREST,
            crop=289,
            do_center_crop=False,
            rescale_offset=False,
            include_top=True,
        ),
        "LevitImageProcessor": _class(
            "resizes the short edge to size x 256/224 (or to height x width), crops",
            rules.resize_levit,
            rules.center_crop,
            size=_short(224),
            resample=_BICUBIC,
            crop=224,
            **_IMAGENET,
        ),
        "MobileNetV1ImageProcessor": _class(_BY_SIZE, rules.resize_by_size, rules.center_crop, **_MOBILENET),
        "MobileNetV2ImageProcessor": _class(_BY_SIZE, rules.resize_by_size, rules.center_crop, **_MOBILENET),
        "MobileViTImageProcessor": _class(
            f"{_BY_SIZE}; turns RGB into BGR, and never normalises",
            rules.resize_by_size,
            rules.center_crop,
            size=_short(224),
            resample=_BILINEAR,
            crop=256,
            mean=None,
            do_flip_channel_order=True,
        ),
        "PerceiverImageProcessor": _class(
            "crops size / crop_size of the short edge first, then resizes to height x width",
            rules.crop_perceiver,
            rules.resize_exactly,
            size=_square(224),
            resample=_BICUBIC,
            crop=256,
            **_IMAGENET,
        ),
        "PoolFormerImageProcessor": _class(
            "resizes the short edge to size / `crop_pct` (null: to size, or to height x width), crops",
            rules.resize_poolformer,
            rules.center_crop,
            size=_short(224),
            resample=_BICUBIC,
            crop=224,
            crop_pct=0.9,
            **_IMAGENET,
        ),
        "PvtImageProcessor": _class(_EXACTLY, rules.resize_exactly, size=_square(224), resample=_BILINEAR, **_IMAGENET),
        "SegformerImageProcessor": _class(
            _EXACTLY, rules.resize_exactly, size=_square(512), resample=_BILINEAR, **_IMAGENET
        ),
        "SiglipImageProcessor": _class(
            f"{_EXACTLY}; a single integer is refused",
            rules.resize_siglip,
            size=_square(224),
            resample=_BICUBIC,
        ),
        "TextNetImageProcessor": _class(
            "resizes the short edge (or to height x width), rounds both up to `size_divisor`, crops if told",
            rules.resize_textnet,
            rules.center_crop,
            size=_short(640),
            resample=_BILINEAR,
            crop=224,
            do_center_crop=False,
            size_divisor=32,
            **_IMAGENET,
        ),
        "ViTHybridImageProcessor": _class(_BY_SIZE, rules.resize_by_size, rules.center_crop, **_CLIP_LIKE),
        "ViTImageProcessor": _class(_EXACTLY, rules.resize_exactly, size=_square(224), resample=_BILINEAR),
    }
)
"""The classes that are reproduced, by name."""

REFUSED_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "ImageGPTImageProcessor": "it turns pixels into colour clusters (input_ids), not into pixel_values",
        "Siglip2ImageProcessor": "it cuts pictures into patches of a varying number (NaFlex), not into pixel_values "
        "of (3, height, width)",
        "Gemma3ImageProcessor": "its model (ShieldGemma 2) answers to a picture and a text, not to a picture alone",
    }
)
"""Classes of the same mapping that make something else than ``pixel_values`` of one picture, with the reason."""

CLASS_OF_MODEL_TYPE: Mapping[str, str] = MappingProxyType(
    {
        "beit": "BeitImageProcessor",
        "bit": "BitImageProcessor",
        "clip": "CLIPImageProcessor",
        "convnext": "ConvNextImageProcessor",
        "convnextv2": "ConvNextImageProcessor",
        "cvt": "ConvNextImageProcessor",
        "data2vec-vision": "BeitImageProcessor",
        "deit": "DeiTImageProcessor",
        "dinat": "ViTImageProcessor",
        "dinov2": "BitImageProcessor",
        "donut-swin": "DonutImageProcessor",
        "efficientformer": "EfficientFormerImageProcessor",
        "efficientnet": "EfficientNetImageProcessor",
        "focalnet": "BitImageProcessor",
        "hiera": "BitImageProcessor",
        "ijepa": "ViTImageProcessor",
        "imagegpt": "ImageGPTImageProcessor",
        "levit": "LevitImageProcessor",
        "metaclip_2": "CLIPImageProcessor",
        "mobilenet_v1": "MobileNetV1ImageProcessor",
        "mobilenet_v2": "MobileNetV2ImageProcessor",
        "mobilevit": "MobileViTImageProcessor",
        "mobilevitv2": "MobileViTImageProcessor",
        "nat": "ViTImageProcessor",
        "perceiver": "PerceiverImageProcessor",
        "poolformer": "PoolFormerImageProcessor",
        "pvt": "PvtImageProcessor",
        "pvt_v2": "PvtImageProcessor",
        "regnet": "ConvNextImageProcessor",
        "resnet": "ConvNextImageProcessor",
        "segformer": "SegformerImageProcessor",
        "shieldgemma2": "Gemma3ImageProcessor",
        "siglip": "SiglipImageProcessor",
        "siglip2": "Siglip2ImageProcessor",
        "swiftformer": "ViTImageProcessor",
        "swin": "ViTImageProcessor",
        "swinv2": "ViTImageProcessor",
        "textnet": "TextNetImageProcessor",
        "van": "ConvNextImageProcessor",
        "vit": "ViTImageProcessor",
        "vit_hybrid": "ViTHybridImageProcessor",
        "vit-hybrid": "ViTHybridImageProcessor",
        "vit_msn": "ViTImageProcessor",
    }
)
"""``IMAGE_PROCESSOR_MAPPING_NAMES``: the class of a configuration that names none. (``vit-hybrid`` is what published
files say.)"""

INERT_KEYS = frozenset(
    {
        # who made the file
        "_name_or_path",
        "_processor_class",
        "feature_extractor_type",
        "image_processor_type",
        "model_input_names",
        "processor_class",
        "transformers_version",
        # bookkeeping of transformers' own classes
        "_valid_kwargs_names",
        "_valid_processor_keys",
        "device",
        "disable_grouping",
        "return_tensors",
        # the runtime takes RGB pictures only, so there is nothing left to convert
        "do_convert_rgb",
        # about segmentation maps, not pictures
        "do_reduce_labels",
        "reduce_labels",
        # read only where do_center_crop is, which a class without it refuses
        "crop_size",
        # read only where do_normalize is, which a class without it refuses
        "image_mean",
        "image_std",
    }
)
"""Keys that change no pixel, in any class that does not read them."""

SWITCHES_OF_OTHER_CLASSES = frozenset(
    {
        "crop_pct",
        "do_align_long_axis",
        "do_center_crop",
        "do_flip_channel_order",
        "do_normalize",
        "do_pad",
        "do_thumbnail",
        "include_top",
        "pad_size",
        "random_padding",
        "rescale_offset",
        "size_divisor",
        "use_square_size",
    }
)
"""Keys that some classes read: harmless where they are switched off (false or null), else refused."""
