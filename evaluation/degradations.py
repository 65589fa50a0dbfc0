"""Spoils pictures in known kinds and steps: blur, darkness, noise, compression, ..."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEGRADATIONS", "Degradation"]

_GREY = (128, 128, 128)


@dataclass(frozen=True)
class Degradation:
    """One kind of bad picture.

    Attributes:
        name: Short name, the key in ``report.json``.
        unit: What a step is measured in.
        steps: From harmless to severe; the untouched picture is not among them.
        apply: ``(RGB view, step, seed) -> RGB picture``; the seed matters to noise only.
    """

    name: str
    unit: str
    steps: tuple[float, ...]
    apply: Callable[[Image.Image, float, int], Image.Image]


def blur(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Gaussian blur; ``step`` is its standard deviation in per cent of the view's side."""
    return image.filter(ImageFilter.GaussianBlur(step / 100 * image.width))


def darkness(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Exposure lowered by ``step`` stops, in linear light (sRGB's power law taken as 2.2)."""
    table = [round(255 * ((value / 255) ** 2.2 * 2**-step) ** (1 / 2.2)) for value in range(256)]
    return image.point(table * 3)


def noise(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Gaussian noise on each channel; ``step`` is its standard deviation in grey levels of 255."""
    pixels = np.asarray(image, dtype=np.float32)
    drawn = np.random.default_rng(seed).normal(0, step, pixels.shape).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(pixels + drawn), 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Saved as JPEG at quality ``step`` (Pillow's scale, 1 to 95) and read again."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(step))
    again: Image.Image = Image.open(buffer)
    return again.convert("RGB")


def resolution(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """The view scaled down to ``step`` pixels on its longer side, margin included; never up."""
    scale = step / max(image.size)
    if scale >= 1:
        return image
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)


def rotation(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """The head tilted by ``step`` degrees; what turns in from outside the view is black."""
    return image.rotate(step, Image.Resampling.BICUBIC)


def occlusion_upper(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Grey over the upper ``step`` per cent of the view: hat, hair, then eyes."""
    return _cover(image, (0, 0, image.width, round(image.height * step / 100)))


def occlusion_lower(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Grey over the lower ``step`` per cent of the view: collar, mask, then nose."""
    return _cover(image, (0, round(image.height * (1 - step / 100)), image.width, image.height))


def greyscale(image: Image.Image, step: float, seed: int = 0) -> Image.Image:
    """Colour taken away by ``step`` per cent (100: a black-and-white photograph)."""
    return Image.blend(image, image.convert("L").convert("RGB"), step / 100)


def _cover(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    covered = image.copy()
    covered.paste(_GREY, box)
    return covered


DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation("blur", "sigma, % of the view's side", (1, 2, 4, 8), blur),
    Degradation("darkness", "stops below", (1, 2, 3, 4, 5), darkness),
    Degradation("noise", "sigma, levels of 255", (10, 20, 40, 80), noise),
    Degradation("jpeg", "quality", (50, 20, 10, 5), jpeg),
    Degradation("resolution", "pixels a side, margin included", (64, 48, 32, 24, 16), resolution),
    Degradation("rotation", "degrees", (10, 20, 30, 45, 90, 180), rotation),
    Degradation("occlusion_upper", "% of the view", (15, 30, 45, 60), occlusion_upper),
    Degradation("occlusion_lower", "% of the view", (15, 30, 45, 60), occlusion_lower),
    Degradation("greyscale", "% of colour taken", (50, 100), greyscale),
)
