"""What can happen to a picture before it becomes numbers: small frozen callables, picture in, picture out.

Each also says which size it leaves behind (``None`` where that depends on the picture), so that a
:class:`~runtime.processor.Processor` knows its output size without having seen a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runtime import transforms
from runtime.errors import ImageError
from runtime.prediction import Status

if TYPE_CHECKING:
    from PIL import Image

    from runtime.transforms import Size

__all__ = [
    "CenterCrop",
    "CropShare",
    "KnownSize",
    "PadToFrame",
    "ResizeKeepRatio",
    "ResizeShortEdge",
    "ResizeTo",
    "RoundedCenterCrop",
    "Step",
    "Thumbnail",
    "TurnToLongAxis",
]

KnownSize = tuple["int | None", "int | None"]
"""``(height, width)``; ``None`` where it depends on the picture."""


class Step(Protocol):
    """One operation on RGB pictures."""

    def __call__(self, image: Image.Image, /) -> Image.Image:
        """Returns the changed picture."""

    def output_size(self, size: KnownSize, /) -> KnownSize:
        """Returns the size left behind, given the size before."""


@dataclass(frozen=True)
class ResizeTo:
    """Resizes to exactly this size; the aspect ratio is not kept."""

    size: Size
    resample: int

    def __call__(self, image: Image.Image) -> Image.Image:
        return transforms.resize(image, self.size, self.resample)

    def output_size(self, size: KnownSize) -> KnownSize:
        return self.size


@dataclass(frozen=True)
class ResizeShortEdge:
    """Resizes the shorter edge, the aspect ratio kept; then rounds both edges up to a multiple (TextNet)."""

    edge: int
    resample: int
    multiple_of: int = 1

    def __call__(self, image: Image.Image) -> Image.Image:
        height, width = transforms.short_edge_size(transforms.size_of(image), self.edge)
        height += -height % self.multiple_of
        width += -width % self.multiple_of
        return transforms.resize(image, (height, width), self.resample)

    def output_size(self, size: KnownSize) -> KnownSize:
        if size[0] is None or size[1] is None:
            return None, None
        height, width = transforms.short_edge_size((size[0], size[1]), self.edge)
        return height + -height % self.multiple_of, width + -width % self.multiple_of


@dataclass(frozen=True)
class CenterCrop:
    """Cuts this size out of the middle, with black beyond the picture (transformers' rounding)."""

    size: Size

    def __call__(self, image: Image.Image) -> Image.Image:
        return transforms.center_crop(image, self.size)

    def output_size(self, size: KnownSize) -> KnownSize:
        return self.size


@dataclass(frozen=True)
class CropShare:
    """Cuts a share of the shorter edge out of the middle (Perceiver, which crops before it resizes).

    Attributes:
        size: ``(height, width)`` the picture is resized to afterwards.
        crop_size: ``(height, width)`` of which ``size`` is the share.
    """

    size: Size
    crop_size: Size

    def __call__(self, image: Image.Image) -> Image.Image:
        edge = min(image.height, image.width)
        # The order of the operations is the reference's: the product is rounded down, and floats do not commute.
        # transformers stops with an error when nothing is left of a picture of one pixel; here one pixel is.
        height = max(1, int(self.size[0] / self.crop_size[0] * edge))
        width = max(1, int(self.size[1] / self.crop_size[1] * edge))
        return transforms.center_crop(image, (height, width))

    def output_size(self, size: KnownSize) -> KnownSize:
        return None, None


@dataclass(frozen=True)
class TurnToLongAxis:
    """Turns the picture by 90 degrees when it lies across the frame (Donut's ``do_align_long_axis``)."""

    size: Size

    def __call__(self, image: Image.Image) -> Image.Image:
        return transforms.turn_to_long_axis(image, self.size)

    def output_size(self, size: KnownSize) -> KnownSize:
        return None, None


@dataclass(frozen=True)
class Thumbnail:
    """Shrinks the picture into a frame (Donut): always bicubic, with Pillow's two-step shortcut, as the reference."""

    size: Size

    def __call__(self, image: Image.Image) -> Image.Image:
        size = transforms.thumbnail_size(transforms.size_of(image), self.size)
        return transforms.resize(image, size, 3, reducing_gap=2.0)

    def output_size(self, size: KnownSize) -> KnownSize:
        return None, None


@dataclass(frozen=True)
class PadToFrame:
    """Puts the picture into the middle of a black frame (Donut)."""

    size: Size

    def __call__(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if image.height > height or image.width > width:
            raise ImageError(
                Status.UNREADABLE,
                f"the picture is {image.width}x{image.height} pixels after resizing and does not fit into the "
                f"model's frame of {width}x{height}",
            )
        top, left = (height - image.height) // 2, (width - image.width) // 2
        return transforms.crop(image, -top, -left, self.size)

    def output_size(self, size: KnownSize) -> KnownSize:
        return self.size


@dataclass(frozen=True)
class ResizeKeepRatio:
    """Resizes so that the picture covers (or, with ``inside``, fits into) a size, aspect ratio kept (timm).

    Attributes:
        size: ``(height, width)`` to cover or to fit into.
        resample: Pillow's number of the filter.
        inside: Whether the whole picture is to fit in.
    """

    size: Size
    resample: int
    inside: bool = False

    def __call__(self, image: Image.Image) -> Image.Image:
        ratios = image.height / self.size[0], image.width / self.size[1]
        ratio = max(ratios) if self.inside else min(ratios)
        # timm stops with an error at an edge of zero pixels (a very thin picture); here it is one.
        height, width = max(1, round(image.height / ratio)), max(1, round(image.width / ratio))
        return transforms.resize(image, (height, width), self.resample)

    def output_size(self, size: KnownSize) -> KnownSize:
        return None, None


@dataclass(frozen=True)
class RoundedCenterCrop:
    """Cuts this size out of the middle with torchvision's rounding; beyond the picture is ``fill`` (timm)."""

    size: Size
    fill: tuple[int, int, int] = (0, 0, 0)

    def __call__(self, image: Image.Image) -> Image.Image:
        return transforms.rounded_center_crop(image, self.size, self.fill)

    def output_size(self, size: KnownSize) -> KnownSize:
        return self.size
