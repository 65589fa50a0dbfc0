"""The image processor classes of transformers, as data: defaults and the order of their steps.

Source: the PIL ("slow") classes of transformers 4.57.6 that ``IMAGE_PROCESSOR_MAPPING_NAMES`` gives to the
architectures of ``MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES``. One precedence everywhere: what the configuration
says, else the default of the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runtime.processors.steps import (
    CenterCrop,
    CropShare,
    PadToFrame,
    ResizeShortEdge,
    ResizeTo,
    Step,
    Thumbnail,
    TurnToLongAxis,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runtime.processors.settings import Settings

__all__ = [
    "CLASSES",
    "CLASS_OF_MODEL_TYPE",
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

NEAREST, BILINEAR, BICUBIC = 0, 2, 3


def _resize_exactly(settings: Settings) -> Step | None:
    """``size`` names height and width; the aspect ratio is not kept."""
    if not settings.flag("do_resize"):
        return None
    return ResizeTo(settings.exact_size("size"), settings.resample())


def _resize_by_size(settings: Settings, *, square: bool = False) -> Step | None:
    """``shortest_edge`` keeps the aspect ratio, ``height`` and ``width`` do not."""
    if not settings.flag("do_resize"):
        return None
    size = settings.size("size", square=square)
    if "shortest_edge" in size:
        return ResizeShortEdge(size["shortest_edge"], settings.resample())
    if "height" in size:
        return ResizeTo((size["height"], size["width"]), settings.resample())
    raise settings.refuse("size", f"is {settings.values['size']!r}; it takes shortest_edge, or height and width")


def _resize_clip(settings: Settings) -> Step | None:
    """As by size; ``use_square_size`` makes a square of ``shortest_edge``."""
    if not settings.flag("use_square_size") or not settings.flag("do_resize"):
        return _resize_by_size(settings)
    size = settings.size("size", square=False)
    if "shortest_edge" not in size:
        raise settings.refuse("use_square_size", "needs a size with shortest_edge")
    return ResizeTo((size["shortest_edge"],) * 2, settings.resample())


def _resize_efficientformer(settings: Settings) -> Step | None:
    """As by size, but a single integer means both edges."""
    return _resize_by_size(settings, square=True)


def _resize_levit(settings: Settings) -> Step | None:
    """The shorter edge is enlarged by 256/224 first."""
    step = _resize_by_size(settings)
    if isinstance(step, ResizeShortEdge):
        return ResizeShortEdge(int(256 / 224 * step.edge), step.resample)
    return step


def _resize_poolformer(settings: Settings) -> Step | None:
    """The size is enlarged by 1 / ``crop_pct`` first; a square then means the shorter edge."""
    step, share = _resize_by_size(settings), settings.share("crop_pct")
    if step is None or share is None:
        return step
    if isinstance(step, ResizeShortEdge):
        return ResizeShortEdge(int(step.edge / share), step.resample)
    assert isinstance(step, ResizeTo)
    height, width = step.size
    if height == width:
        return ResizeShortEdge(int(height / share), step.resample)
    return ResizeTo((int(height / share), int(width / share)), step.resample)


def _resize_textnet(settings: Settings) -> Step | None:
    """Both edges are rounded up to a multiple of ``size_divisor``."""
    step, multiple = _resize_by_size(settings), settings.whole("size_divisor")
    if isinstance(step, ResizeShortEdge):
        return ResizeShortEdge(step.edge, step.resample, multiple)
    if isinstance(step, ResizeTo):
        height, width = step.size
        return ResizeTo((height + -height % multiple, width + -width % multiple), step.resample)
    return step


def _resize_siglip(settings: Settings) -> Step | None:
    """Height and width; a single integer is no size here."""
    step = _resize_by_size(settings)
    if isinstance(step, ResizeShortEdge):
        raise settings.refuse("size", f"is {settings.values['size']!r}, and this class takes height and width only")
    return step


def _convnext_edge(settings: Settings) -> int | None:
    """The shorter edge, or ``None`` without resizing."""
    if not settings.flag("do_resize"):
        return None
    size = settings.size("size", square=False)
    if "shortest_edge" not in size:
        raise settings.refuse("size", f"is {settings.values['size']!r}, and this class takes shortest_edge only")
    return size["shortest_edge"]


def _resize_convnext(settings: Settings) -> Step | None:
    """Below 384 the shorter edge is enlarged by 1 / ``crop_pct`` (null: 256/224); from 384 on a plain square."""
    edge = _convnext_edge(settings)
    if edge is None:
        return None
    if edge >= 384:
        return ResizeTo((edge, edge), settings.resample())
    share = settings.share("crop_pct")
    return ResizeShortEdge(int(edge / (224 / 256 if share is None else share)), settings.resample())


def _crop_convnext(settings: Settings) -> Step | None:
    """Below 384 a square is cut out of the middle."""
    edge = _convnext_edge(settings)
    return None if edge is None or edge >= 384 else CenterCrop((edge, edge))


def _crop(settings: Settings) -> Step | None:
    """``crop_size`` is cut out of the middle, black beyond the picture."""
    if not settings.flag("do_center_crop"):
        return None
    return CenterCrop(settings.exact_size("crop_size"))


def _crop_perceiver(settings: Settings) -> Step | None:
    """``size`` / ``crop_size`` of the shorter edge is cut out of the middle."""
    if not settings.flag("do_center_crop"):
        return None
    return CropShare(settings.exact_size("size"), settings.exact_size("crop_size"))


def _turn_donut(settings: Settings) -> Step | None:
    """A picture that lies across ``size`` is turned clockwise."""
    if not settings.flag("do_align_long_axis"):
        return None
    return TurnToLongAxis(settings.exact_size("size", width_first=True))


def _resize_donut(settings: Settings) -> Step | None:
    """The shorter edge becomes the shorter of ``size``."""
    if not settings.flag("do_resize"):
        return None
    return ResizeShortEdge(min(settings.exact_size("size", width_first=True)), settings.resample())


def _thumbnail_donut(settings: Settings) -> Step | None:
    """The picture is shrunk into ``size``, always bicubic."""
    if not settings.flag("do_thumbnail"):
        return None
    return Thumbnail(settings.exact_size("size", width_first=True))


def _pad_donut(settings: Settings) -> Step | None:
    """The picture is put into the middle of ``size``, black around it."""
    if not settings.flag("do_pad"):
        return None
    return PadToFrame(settings.exact_size("size", width_first=True))


@dataclass(frozen=True)
class ProcessorClass:
    """One class of transformers.

    Attributes:
        defaults: Every setting that the class reads for its pixels, with the value it has when nothing is said.
        steps: What happens to the picture, in order; each maker returns ``None`` when it is switched off.
        summary: What the class does, for people.
    """

    defaults: Mapping[str, Any]
    steps: tuple[Callable[[Settings], Step | None], ...]
    summary: str


def _size(edge: int) -> Mapping[str, int]:
    return MappingProxyType({"height": edge, "width": edge})


def _short(edge: int) -> Mapping[str, int]:
    return MappingProxyType({"shortest_edge": edge})


def _class(
    summary: str,
    *steps: Callable[[Settings], Step | None],
    size: Mapping[str, int],
    resample: int,
    crop: int | None = None,
    do_center_crop: bool = True,
    mean: tuple[float, float, float] | None = _HALF,
    std: tuple[float, float, float] = _HALF,
    **more: Any,
) -> ProcessorClass:
    defaults: dict[str, Any] = {
        "do_resize": True,
        "size": size,
        "resample": resample,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
    }
    if crop is not None:
        defaults |= {"do_center_crop": do_center_crop, "crop_size": _size(crop)}
    if mean is not None:
        defaults |= {"do_normalize": True, "image_mean": mean, "image_std": std}
    return ProcessorClass(MappingProxyType(defaults | more), steps, summary)


_CLIP_LIKE: dict[str, Any] = {
    "size": _short(224),
    "resample": BICUBIC,
    "crop": 224,
    "mean": _CLIP_MEAN,
    "std": _CLIP_STD,
}
_IMAGENET: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}

CLASSES: Mapping[str, ProcessorClass] = MappingProxyType(
    {
        "BeitImageProcessor": _class(
            "resizes to height x width, crops",
            _resize_exactly,
            _crop,
            size=_size(256),
            resample=BICUBIC,
            crop=224,
        ),
        "BitImageProcessor": _class(
            "resizes the short edge (or to height x width), crops", _resize_by_size, _crop, **_CLIP_LIKE
        ),
        "CLIPImageProcessor": _class(
            "resizes the short edge (or to height x width), crops; `use_square_size` makes a square",
            _resize_clip,
            _crop,
            use_square_size=False,
            **_CLIP_LIKE,
        ),
        "ConvNextImageProcessor": _class(
            "below 384 resizes the short edge to size / `crop_pct` (null: 224/256) and crops; from 384 on squeezes",
            _resize_convnext,
            _crop_convnext,
            size=_short(384),
            resample=BILINEAR,
            crop_pct=None,
        ),
        "DeiTImageProcessor": _class(
            "resizes to height x width, crops",
            _resize_exactly,
            _crop,
            size=_size(256),
            resample=BICUBIC,
            crop=224,
        ),
        "DonutImageProcessor": _class(
            "turns to the long axis if told, resizes the short edge, shrinks into the frame (always bicubic), pads",
            _turn_donut,
            _resize_donut,
            _thumbnail_donut,
            _pad_donut,
            size=MappingProxyType({"height": 2560, "width": 1920}),
            resample=BILINEAR,
            do_align_long_axis=False,
            do_thumbnail=True,
            do_pad=True,
        ),
        "EfficientFormerImageProcessor": _class(
            "resizes to height x width (or the short edge), crops",
            _resize_efficientformer,
            _crop,
            size=_size(224),
            resample=BICUBIC,
            crop=224,
            **_IMAGENET,
        ),
        "EfficientNetImageProcessor": _class(
            "resizes to height x width, crops if told, `rescale_offset` subtracts 1, `include_top` divides by std twice",
            _resize_exactly,
            _crop,
            size=_size(346),
            resample=NEAREST,
            crop=289,
            do_center_crop=False,
            rescale_offset=False,
            include_top=True,
        ),
        "LevitImageProcessor": _class(
            "resizes the short edge to size x 256/224 (or to height x width), crops",
            _resize_levit,
            _crop,
            size=_short(224),
            resample=BICUBIC,
            crop=224,
            **_IMAGENET,
        ),
        "MobileNetV1ImageProcessor": _class(
            "resizes the short edge (or to height x width), crops",
            _resize_by_size,
            _crop,
            size=_short(256),
            resample=BILINEAR,
            crop=224,
        ),
        "MobileNetV2ImageProcessor": _class(
            "resizes the short edge (or to height x width), crops",
            _resize_by_size,
            _crop,
            size=_short(256),
            resample=BILINEAR,
            crop=224,
        ),
        "MobileViTImageProcessor": _class(
            "resizes the short edge (or to height x width), crops, turns RGB into BGR; never normalises",
            _resize_by_size,
            _crop,
            size=_short(224),
            resample=BILINEAR,
            crop=256,
            mean=None,
            do_flip_channel_order=True,
        ),
        "PerceiverImageProcessor": _class(
            "crops size / crop_size of the short edge first, then resizes to height x width",
            _crop_perceiver,
            _resize_exactly,
            size=_size(224),
            resample=BICUBIC,
            crop=256,
            **_IMAGENET,
        ),
        "PoolFormerImageProcessor": _class(
            "resizes the short edge to size / `crop_pct`, crops",
            _resize_poolformer,
            _crop,
            size=_short(224),
            resample=BICUBIC,
            crop=224,
            crop_pct=0.9,
            **_IMAGENET,
        ),
        "PvtImageProcessor": _class(
            "resizes to height x width", _resize_exactly, size=_size(224), resample=BILINEAR, **_IMAGENET
        ),
        "SegformerImageProcessor": _class(
            "resizes to height x width", _resize_exactly, size=_size(512), resample=BILINEAR, **_IMAGENET
        ),
        "SiglipImageProcessor": _class("resizes to height x width", _resize_siglip, size=_size(224), resample=BICUBIC),
        "TextNetImageProcessor": _class(
            "resizes the short edge, both edges up to a multiple of `size_divisor`, crops if told",
            _resize_textnet,
            _crop,
            size=_short(640),
            resample=BILINEAR,
            crop=224,
            do_center_crop=False,
            size_divisor=32,
            **_IMAGENET,
        ),
        "ViTHybridImageProcessor": _class(
            "resizes the short edge (or to height x width), crops", _resize_by_size, _crop, **_CLIP_LIKE
        ),
        "ViTImageProcessor": _class("resizes to height x width", _resize_exactly, size=_size(224), resample=BILINEAR),
    }
)
"""The classes that are reproduced, by name."""

REFUSED_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "ImageGPTImageProcessor": "it turns pixels into colour clusters (input_ids), not into pixel_values",
        "Siglip2ImageProcessor": "it cuts pictures into patches of a varying number (NaFlex), not into pixel_values "
        "of (3, height, width)",
        "Gemma3ImageProcessor": "its model (ShieldGemma 2) answers to a picture and a text, and is no classifier of "
        "pictures alone",
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
