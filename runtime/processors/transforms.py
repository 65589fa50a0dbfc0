"""Resizes, crops and pads pictures, and turns uint8 pixels into float32 values; pure functions.

Pictures are RGB :class:`PIL.Image.Image`; sizes are ``(height, width)`` in pixels, as in transformers and unlike
Pillow. Resizing is Pillow's own (its filters are antialiased when they shrink, and round to uint8), because that is
what transformers' PIL image processors do; OpenCV's or torch's filters give other pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..prediction import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

__all__ = [
    "MAX_PIXELS",
    "Size",
    "center_crop",
    "crop",
    "crop_share",
    "pad_to_frame",
    "resize",
    "resize_keep_ratio",
    "resize_short_edge",
    "round_up",
    "rounded_center_crop",
    "short_edge_size",
    "size_of",
    "thumbnail",
    "thumbnail_size",
    "to_values",
    "turn_to_long_axis",
    "value_table",
]

Size = tuple[int, int]
"""``(height, width)`` in pixels."""


MAX_PIXELS = 89_478_485
"""Most pixels that a resized picture may have: Pillow's own limit for a picture (``Image.MAX_IMAGE_PIXELS``).

A processor that keeps the aspect ratio enlarges a picture of 1 x 100,000 pixels to 224 x 22,400,000.
"""


def size_of(image: Image.Image) -> Size:
    """Returns ``(height, width)`` of a picture."""
    return image.height, image.width


def short_edge_size(size: Size, edge: int) -> Size:
    """Returns the size whose shorter edge is ``edge``, the aspect ratio kept, the longer edge rounded down.

    Args:
        size: ``(height, width)`` of the picture.
        edge: The shorter edge wanted, in pixels.
    """
    height, width = size
    if width <= height:
        return int(edge * height / width), edge
    return edge, int(edge * width / height)


def round_up(size: Size, multiple: int) -> Size:
    """Returns the size with both edges rounded up to a multiple."""
    return size[0] + -size[0] % multiple, size[1] + -size[1] % multiple


def thumbnail_size(size: Size, frame: Size) -> Size:
    """Returns the size of a picture shrunk into a frame, as transformers' Donut does it; never larger than before.

    The aspect ratio is kept unless the picture is a square (then both edges are cut down on their own).

    Args:
        size: ``(height, width)`` of the picture.
        frame: ``(height, width)`` it should fit into.
    """
    height, width = min(size[0], frame[0]), min(size[1], frame[1])
    if (height, width) == size:
        return size
    if size[0] > size[1]:
        width = int(size[1] * height / size[0])
    elif size[1] > size[0]:
        height = int(size[0] * width / size[1])
    # transformers stops with an error at an edge of zero pixels (a very thin picture); one pixel is the nearest answer.
    return max(1, height), max(1, width)


def resize(image: Image.Image, size: Size, resample: int, *, reducing_gap: float | None = None) -> Image.Image:
    """Resizes to exactly ``size`` with one of Pillow's filters.

    Args:
        image: An RGB picture.
        size: ``(height, width)`` wanted.
        resample: Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming.
        reducing_gap: Pillow's two-step shortcut; ``None`` filters every pixel, as the reference does (Donut's
            thumbnail alone asks for 2.0).

    Returns:
        The resized picture; the picture itself when it has that size already.

    Raises:
        ImageError: If the result would have more than :data:`MAX_PIXELS` pixels.
    """
    height, width = size
    if size_of(image) == size:
        return image
    if height * width > MAX_PIXELS:
        raise ImageError(
            Status.TOO_LARGE,
            f"the picture is {image.width}x{image.height} pixels, and the model's processor would enlarge it to "
            f"{width}x{height}; cut it to a less extreme shape first",
        )
    return image.resize((width, height), Image.Resampling(resample), reducing_gap=reducing_gap)


def resize_short_edge(image: Image.Image, edge: int, resample: int, multiple: int = 1) -> Image.Image:
    """Resizes the shorter edge, the aspect ratio kept, then rounds both edges up to a multiple.

    Args:
        image: An RGB picture.
        edge: The shorter edge wanted, in pixels.
        resample: As in :func:`resize`.
        multiple: What both edges are to be divisible by (TextNet's ``size_divisor``).
    """
    return resize(image, round_up(short_edge_size(size_of(image), edge), multiple), resample)


def resize_keep_ratio(image: Image.Image, size: Size, resample: int, inside: bool) -> Image.Image:
    """Resizes so that the picture just covers a size, or just fits into it, the aspect ratio kept (timm's rounding).

    Args:
        image: An RGB picture.
        size: ``(height, width)`` to cover, or to fit into.
        resample: As in :func:`resize`.
        inside: Whether the whole picture is to fit in.
    """
    ratios = image.height / size[0], image.width / size[1]
    ratio = max(ratios) if inside else min(ratios)
    # timm stops with an error at an edge of zero pixels (a very thin picture); one pixel is the nearest answer.
    return resize(image, (max(1, round(image.height / ratio)), max(1, round(image.width / ratio))), resample)


def thumbnail(image: Image.Image, frame: Size) -> Image.Image:
    """Shrinks a picture into a frame as Donut does: always bicubic, with Pillow's two-step shortcut."""
    return resize(image, thumbnail_size(size_of(image), frame), Image.Resampling.BICUBIC, reducing_gap=2.0)


def crop(image: Image.Image, top: int, left: int, size: Size, fill: Sequence[int] | None = None) -> Image.Image:
    """Cuts ``size`` pixels out of a picture; what lies beyond it gets the colour ``fill``.

    Args:
        image: An RGB picture.
        top: First row, possibly negative.
        left: First column, possibly negative.
        size: ``(height, width)`` of the result.
        fill: Red, green and blue in 0..255 for the pixels beyond the picture; ``None`` is black.
    """
    height, width = size
    if (top, left, size) == (0, 0, size_of(image)):
        return image
    inside = top >= 0 and left >= 0 and top + height <= image.height and left + width <= image.width
    if inside or fill is None:
        return image.crop((left, top, left + width, top + height))
    frame = Image.new("RGB", (width, height), tuple(fill))
    frame.paste(image, (-left, -top))
    return frame


def center_crop(image: Image.Image, size: Size) -> Image.Image:
    """Cuts ``size`` out of the middle as transformers' PIL processors do: odd rests rounded down, black beyond.

    (The torchvision processors round the other way, which moves an odd crop by one pixel.)

    Args:
        image: An RGB picture.
        size: ``(height, width)`` of the result.
    """
    return crop(image, (image.height - size[0]) // 2, (image.width - size[1]) // 2, size)


def crop_share(image: Image.Image, size: Size, crop_size: Size) -> Image.Image:
    """Cuts a share of the shorter edge out of the middle (Perceiver, which crops before it resizes).

    Args:
        image: An RGB picture.
        size: ``(height, width)`` the picture is resized to afterwards.
        crop_size: ``(height, width)`` of which ``size`` is the share.

    Returns:
        The middle. Where nothing is left of a very small picture, one black pixel: the reference goes on with a
        picture of no pixels then, which Pillow resizes to black.
    """
    edge = min(image.height, image.width)
    # The order is the reference's: the product is rounded down, and floats are not associative.
    height, width = int(size[0] / crop_size[0] * edge), int(size[1] / crop_size[1] * edge)
    if height == 0 or width == 0:
        return Image.new("RGB", (1, 1))
    return center_crop(image, (height, width))


def pad_to_frame(image: Image.Image, size: Size) -> Image.Image:
    """Puts a picture into the middle of a black frame (Donut).

    Args:
        image: An RGB picture.
        size: ``(height, width)`` of the frame.

    Raises:
        ImageError: If the picture is larger than the frame (the reference fails there as well).
    """
    height, width = size
    if image.height > height or image.width > width:
        raise ImageError(
            Status.UNREADABLE,
            f"the picture is {image.width}x{image.height} pixels after resizing and does not fit into the model's "
            f"frame of {width}x{height}",
        )
    return crop(image, -((height - image.height) // 2), -((width - image.width) // 2), size)


def rounded_center_crop(image: Image.Image, size: Size, fill: Sequence[int] | None = None) -> Image.Image:
    """Cuts ``size`` out of the middle as torchvision and timm do: half pixels go to the even neighbour.

    Args:
        image: An RGB picture.
        size: ``(height, width)`` of the result.
        fill: Colour of what lies beyond the picture; ``None`` is black.
    """

    def start(edge: int, wanted: int) -> int:
        return -((wanted - edge) // 2) if wanted > edge else round((edge - wanted) / 2)

    return crop(image, start(image.height, size[0]), start(image.width, size[1]), size, fill)


def turn_to_long_axis(image: Image.Image, size: Size) -> Image.Image:
    """Turns a picture clockwise by 90 degrees when its long edge lies across that of ``size``.

    Args:
        image: An RGB picture.
        size: ``(height, width)`` whose orientation is wanted; a square asks for nothing.
    """
    height, width = size
    across = (width < height and image.width > image.height) or (width > height and image.width < image.height)
    return image.transpose(Image.Transpose.ROTATE_270) if across else image


def value_table(
    *,
    rescale_factor: float | None,
    subtract_one: bool = False,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    divide_again: bool = False,
) -> npt.NDArray[np.float32]:
    """Returns what each of the 256 values of a pixel becomes, by channel.

    A uint8 has 256 values only, so rescaling and normalising are a table: one look-up per pixel, and the same float32
    as the reference to the last bit, since the operations below are those of ``transformers.image_transforms`` in
    their order and precision (rescale in float64 and round to float32; normalise in float32).

    Args:
        rescale_factor: What pixels are multiplied with, or ``None``.
        subtract_one: EfficientNet's ``rescale_offset``: one is subtracted after the rescaling.
        mean: Subtracted by channel, or ``None`` for no normalisation.
        std: Divided by, by channel, after the mean was subtracted.
        divide_again: EfficientNet's ``include_top``: divides by ``std`` once more.

    Returns:
        float32 ``(3, 256)``.
    """
    pixels = np.arange(256, dtype=np.uint8)
    values = pixels.astype(np.float32)
    if rescale_factor is not None:
        values = (pixels.astype(np.float64) * rescale_factor).astype(np.float32)
        if subtract_one:
            values = values - np.float32(1)
    table = np.repeat(values[None, :], 3, axis=0)
    if mean is not None and std is not None:
        table = (table - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    if divide_again and std is not None:
        table = table / np.array(std, np.float32)[:, None]
    return table


def to_values(
    pixels: npt.NDArray[np.uint8], table: npt.NDArray[np.float32], *, flip_channels: bool = False
) -> npt.NDArray[np.float32]:
    """Turns pixels into a network's input by looking each up in a table, in one pass.

    Args:
        pixels: uint8 ``(height, width, 3)``, red, green, blue.
        table: float32 ``(3, 256)`` of :func:`value_table`, for the channels of the result.
        flip_channels: Whether the result is blue, green, red.

    Returns:
        float32 ``(3, height, width)``, C-contiguous.
    """
    values = np.empty((3, *pixels.shape[:2]), np.float32)
    for channel in range(3):
        plane = pixels[..., 2 - channel if flip_channels else channel]
        # mode="clip" only spares numpy the buffering: a uint8 is never outside the table.
        np.take(table[channel], plane, out=values[channel], mode="clip")
    return values
