"""What goes wrong with photographs, done with Pillow and not with the code that spoils training pictures."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageFilter

__all__ = ["SPOILERS"]

SIDE = 160
"""Pictures are spoilt at this size, so that a radius means the same for a large and a small face."""


def _sized(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def grey(image: Image.Image) -> Image.Image:
    """Without colour."""
    return image.convert("L").convert("RGB")


def blur(image: Image.Image) -> Image.Image:
    """Out of focus."""
    return _sized(image).filter(ImageFilter.GaussianBlur(4))


def dark(image: Image.Image) -> Image.Image:
    """A fifth of the light."""
    return ImageEnhance.Brightness(image).enhance(0.2)


def tiny(image: Image.Image) -> Image.Image:
    """A face 24 pixels wide: the crop, 1.5 times as wide at the margin of 0.25, has 36."""
    return image.resize((36, 36), Image.Resampling.BOX)


def jpeg(image: Image.Image) -> Image.Image:
    """Saved at quality 10."""
    stream = io.BytesIO()
    _sized(image).save(stream, "JPEG", quality=10)
    with Image.open(stream) as saved:
        loaded: Image.Image = saved.convert("RGB")
    return loaded


def rotated(image: Image.Image) -> Image.Image:
    """Turned by 15 degrees."""
    return image.rotate(15, Image.Resampling.BILINEAR)


SPOILERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "grey": grey,
    "blur": blur,
    "dark": dark,
    "tiny": tiny,
    "jpeg": jpeg,
    "rotated": rotated,
}
"""Spoilers by name."""
