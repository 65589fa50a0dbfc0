"""Turns an upright RGB picture into a network's input, as transformers' PIL image processors do, without transformers.

:meth:`Processor.from_config` reads ``preprocessor_config.json`` (or what stands for it) into a few steps and a table
of values. The geometry is Pillow's, so the uint8 pixels are those of the reference; the table holds the reference's
own float32 arithmetic for each of the 256 values of a pixel. What the configuration says and this module does not
know is an error that names it, never a guess. ``docs/processors.md`` lists the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedProcessorError
from .classes import CLASS_OF_MODEL_TYPE, CLASSES, INERT_KEYS, REFUSED_CLASSES, SWITCHES_OF_OTHER_CLASSES
from .settings import Settings
from .timm import TIMM_CLASS, timm_config, timm_steps
from .transforms import to_values, turn_to_long_axis, value_table

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

    from .settings import Triple
    from .steps import KnownSize, Step

__all__ = ["Processor", "Values"]


@dataclass(frozen=True)
class Values:
    """How uint8 pixels become float32 values; the arguments of :func:`runtime.transforms.value_table`.

    Attributes:
        rescale_factor: Pixels are multiplied with it first, or ``None``.
        subtract_one: Whether one is subtracted after the rescaling.
        mean: Subtracted by channel, or ``None`` for no normalisation.
        std: Divided by, by channel, or ``None``.
        divide_again: Whether ``std`` divides once more at the end.
        flip_channels: Whether the result is blue, green, red.
    """

    rescale_factor: float | None
    subtract_one: bool = False
    mean: Triple | None = None
    std: Triple | None = None
    divide_again: bool = False
    flip_channels: bool = False

    @cached_property
    def table(self) -> npt.NDArray[np.float32]:
        """The value of every pixel value, by channel: float32 ``(3, 256)``."""
        return value_table(
            rescale_factor=self.rescale_factor,
            subtract_one=self.subtract_one,
            mean=self.mean,
            std=self.std,
            divide_again=self.divide_again,
        )

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Turns uint8 ``(height, width, 3)`` into float32 ``(3, height, width)``, C-contiguous."""
        return to_values(pixels, self.table, flip_channels=self.flip_channels)


@dataclass(frozen=True)
class Processor:
    """Turns pictures into a network's input. Safe to share between threads, and can be pickled.

    Attributes:
        reference: The transformers class it reproduces, always the PIL one (``ViTImageProcessor``).
        steps: What happens to the picture, in order.
        values: What happens to the pixels afterwards.
    """

    reference: str
    steps: tuple[Step, ...]
    values: Values

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, model_type: str | None = None) -> Processor:
        """Reads a configuration.

        Args:
            config: The parsed ``preprocessor_config.json``; or ``processor_config.json`` of transformers 5, which holds
                the same under ``image_processor``; or the ``config.json`` of a timm model, or its ``pretrained_cfg``.
            model_type: ``model_type`` of the model's ``config.json``. It decides where the configuration names no
                class, as in transformers.

        Raises:
            UnsupportedProcessorError: If the class, a key or a value is not known; the message names it.
        """
        if not isinstance(config, Mapping):
            raise UnsupportedProcessorError("the preprocessor configuration is not a JSON object")
        nested = config.get("image_processor")
        if isinstance(nested, Mapping):
            config = nested
        pretrained = timm_config(config, model_type)
        if pretrained is not None:
            steps, mean, std = timm_steps(pretrained)
            # torchvision's ToTensor divides by 255 in float32; for the 256 values of a pixel that is the same number.
            return cls(TIMM_CLASS, steps, _finite(TIMM_CLASS, Values(1 / 255, mean=mean, std=std)))

        name = _class_name(config, model_type)
        settings = _settings(name, config)
        made = (rule(settings) for rule in CLASSES[name].rules)
        return cls(name, tuple(step for step in made if step is not None), _finite(name, _values(settings)))

    @property
    def output_size(self) -> KnownSize:
        """``(height, width)`` of the result; ``None`` where it depends on the picture."""
        return self.steps[-1].output_size if self.steps else (None, None)

    @property
    def decode_target(self) -> tuple[int, int] | None:
        """``(width, height)`` that whole pictures are scaled to, for a decoder that can leave out detail beyond that.

        ``None`` where single pixels count: nothing is resized, the crop comes before the resizing and is counted in
        pixels, or the filter is nearest. A crop after the resizing does not matter; so this is not the output size.
        """
        for step in self.steps:
            if step.function is not turn_to_long_axis:  # which changes no scale
                return step.scales_to and (step.scales_to[1], step.scales_to[0])
        return None

    def geometry(self, image: Image.Image) -> Image.Image:
        """Resizes, crops and pads only.

        Args:
            image: An upright RGB picture.

        Returns:
            The RGB picture whose pixels become the network's input.

        Raises:
            ValueError: If the picture is not RGB.
            ImageError: If the picture does not fit into the frame that the configuration asks for.
        """
        if image.mode != "RGB":
            raise ValueError(f"the picture is in mode {image.mode}; a Processor takes RGB")
        for step in self.steps:
            image = step(image)
        return image

    def __call__(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """Turns one upright RGB picture into a network's input.

        Args:
            image: An upright RGB picture; it is not changed.

        Returns:
            float32 ``(3, height, width)``, C-contiguous.

        Raises:
            ValueError: If the picture is not RGB.
            ImageError: If the picture does not fit into the frame that the configuration asks for.
        """
        return self.values(np.asarray(self.geometry(image)))


def _class_name(config: Mapping[str, Any], model_type: str | None) -> str:
    """Returns the PIL class that a configuration asks for, whatever generation wrote it."""
    auto_map = config.get("auto_map")
    if isinstance(auto_map, Mapping) and {"AutoImageProcessor", "AutoFeatureExtractor"} & set(auto_map):
        raise UnsupportedProcessorError(
            "the image processor is program code of the model's own repository (auto_map), which is never run"
        )
    written = config.get("image_processor_type") or config.get("feature_extractor_type")
    if written is None:
        if model_type is None or model_type not in CLASS_OF_MODEL_TYPE:
            raise UnsupportedProcessorError(
                "the preprocessor configuration names no image_processor_type, and none is known for the model type "
                f"{model_type!r}"
            )
        written = CLASS_OF_MODEL_TYPE[model_type]
    if not isinstance(written, str):
        raise UnsupportedProcessorError(f"image_processor_type is {written!r}, not a text")
    name = written
    for suffix in ("Fast", "Pil"):  # the torchvision class of transformers 4, the PIL class of transformers 5
        name = name.removesuffix(suffix)
    if name.endswith("FeatureExtractor"):  # before transformers 4.26
        name = name.removesuffix("FeatureExtractor") + "ImageProcessor"
    if name in REFUSED_CLASSES:
        raise UnsupportedProcessorError(f"the image processor {written} cannot be reproduced: {REFUSED_CLASSES[name]}")
    if name not in CLASSES:
        raise UnsupportedProcessorError(f"the image processor {written} is not known")
    return name


def _settings(name: str, config: Mapping[str, Any]) -> Settings:
    """Merges a configuration into the defaults of its class, and refuses what would be ignored silently."""
    defaults = CLASSES[name].defaults
    settings = Settings(name, {**defaults, **{k: v for k, v in config.items() if k in defaults}})
    values = dict(settings.values)
    for key, value in config.items():
        if key in defaults:
            values[key] = _explicit(settings, key, value)
        elif key in SWITCHES_OF_OTHER_CLASSES:
            if value not in (None, False):
                raise settings.refuse(key, f"is {value!r}, and this class does not read it")
        elif key in ("data_format", "input_data_format"):
            if value not in (None, "channels_first" if key == "data_format" else "channels_last"):
                raise settings.refuse(key, f"is {value!r}, and the runtime makes channels_first from RGB pictures")
        elif key == "default_to_square":
            _check_default_to_square(settings, value)
        elif key not in INERT_KEYS and key != "auto_map":
            raise settings.refuse(key, "is not known")
    return Settings(name, values)


def _explicit(settings: Settings, key: str, value: Any) -> Any:
    """Returns what a key of the class means when it is given; null is the default where transformers says so."""
    if value is not None:
        return value
    default = CLASSES[settings.name].defaults[key]
    if key in ("size", "crop_size", "image_mean", "image_std"):
        return default
    if default is True:
        raise settings.refuse(key, "is null, which transformers' two backends read differently")
    return False if default is False else None


def _check_default_to_square(settings: Settings, value: Any) -> None:
    """The torchvision classes write down what a single integer means; it must not contradict the PIL class."""
    size = settings.values["size"]
    if value is None or not isinstance(size, int):
        return
    if value is not ("height" in CLASSES[settings.name].defaults["size"]):
        raise settings.refuse("default_to_square", f"is {value!r}, against what size {size!r} means in this class")


def _values(settings: Settings) -> Values:
    """Returns what happens to the pixels."""
    keys = settings.values
    normalize = "do_normalize" in keys and settings.flag("do_normalize")
    again = "include_top" in keys and settings.flag("include_top")
    return Values(
        rescale_factor=settings.number("rescale_factor") if settings.flag("do_rescale") else None,
        subtract_one="rescale_offset" in keys and settings.flag("rescale_offset"),
        mean=settings.triple("image_mean") if normalize else None,
        std=settings.triple("image_std", divisor=True) if normalize or again else None,
        divide_again=again,
        flip_channels="do_flip_channel_order" in keys and settings.flag("do_flip_channel_order"),
    )


def _finite(name: str, values: Values) -> Values:
    """Refuses settings under which a pixel value leaves the range of float32."""
    with np.errstate(all="ignore"):
        if not np.isfinite(values.table).all():
            raise UnsupportedProcessorError(
                f"the image processor {name} cannot be reproduced: with its rescale_factor, image_mean and image_std "
                "some pixels are not finite numbers"
            )
    return values
