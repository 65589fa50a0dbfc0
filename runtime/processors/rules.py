"""Reads the settings of each class of transformers into steps. A rule returns ``None`` where it is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from . import transforms
from .settings import MAX_EDGE
from .steps import Step

if TYPE_CHECKING:
    from .settings import Settings
    from .transforms import Size

__all__ = [
    "center_crop",
    "crop_convnext",
    "crop_perceiver",
    "pad_donut",
    "resize_by_size",
    "resize_clip",
    "resize_convnext",
    "resize_donut",
    "resize_efficientformer",
    "resize_exactly",
    "resize_levit",
    "resize_poolformer",
    "resize_siglip",
    "resize_textnet",
    "scales_to",
    "short_edge",
    "squeeze",
    "thumbnail_donut",
    "turn_donut",
]

_SQUEEZE_FROM = 384
"""ConvNext: the shorter edge from which on nothing is cropped."""
_CONVNEXT_CROP_PCT = 224 / 256
"""ConvNext: what ``crop_pct: null`` means."""


def scales_to(size: Size, resample: int) -> Size | None:
    """Returns the size if the filter weighs all pixels; nearest picks single ones, which another scale lacks."""
    return None if resample == Image.Resampling.NEAREST else size


def squeeze(settings: Settings, size: Size) -> Step:
    """Makes the step that resizes to exactly a size."""
    _check_edges(settings, *size)
    resample = settings.resample()
    return Step(transforms.resize, (size, resample), size, scales_to(size, resample))


def short_edge(settings: Settings, edge: int, multiple: int = 1) -> Step:
    """Makes the step that resizes the shorter edge."""
    _check_edges(settings, edge)
    resample = settings.resample()
    return Step(transforms.resize_short_edge, (edge, resample, multiple), scales_to=scales_to((edge, edge), resample))


def _check_edges(settings: Settings, *edges: int) -> None:
    """Refuses a size that became unusable by what it was multiplied with."""
    if min(edges) < 1 or max(edges) > MAX_EDGE:
        raise settings.refuse("size", f"is {settings.values['size']!r}, which asks for an edge of {max(edges)} pixels")


def _target(settings: Settings, *, square: bool = False) -> int | Size:
    """Returns the shorter edge, or height and width; other forms of a size are refused."""
    size = settings.size("size", square=square)
    if "shortest_edge" in size:
        return size["shortest_edge"]  # the PIL classes ignore a longest_edge beside it
    if "height" in size:
        return size["height"], size["width"]
    raise settings.refuse("size", f"is {settings.values['size']!r}; it takes shortest_edge, or height and width")


def resize_exactly(settings: Settings) -> Step | None:
    """``size`` names height and width (a single integer: both); the aspect ratio is not kept."""
    return squeeze(settings, settings.exact_size("size")) if settings.flag("do_resize") else None


def resize_by_size(settings: Settings) -> Step | None:
    """``shortest_edge`` (or a single integer) keeps the aspect ratio, ``height`` and ``width`` do not."""
    if not settings.flag("do_resize"):
        return None
    target = _target(settings)
    return short_edge(settings, target) if isinstance(target, int) else squeeze(settings, target)


def resize_siglip(settings: Settings) -> Step | None:
    """``height`` and ``width`` only; transformers stops with an error at a single integer."""
    if not settings.flag("do_resize"):
        return None
    target = _target(settings)
    if isinstance(target, int):
        raise settings.refuse("size", f"is {settings.values['size']!r}, and this class takes height and width only")
    return squeeze(settings, target)


def resize_clip(settings: Settings) -> Step | None:
    """As by size; ``use_square_size`` makes a square of ``shortest_edge``."""
    if not settings.flag("do_resize") or not settings.flag("use_square_size"):
        return resize_by_size(settings)
    target = _target(settings)
    if not isinstance(target, int):
        raise settings.refuse("use_square_size", "needs a size with shortest_edge")
    return squeeze(settings, (target, target))


def resize_efficientformer(settings: Settings) -> Step | None:
    """As by size, but a single integer means both edges."""
    if not settings.flag("do_resize"):
        return None
    target = _target(settings, square=True)
    return short_edge(settings, target) if isinstance(target, int) else squeeze(settings, target)


def resize_levit(settings: Settings) -> Step | None:
    """As by size, but the shorter edge is enlarged by 256/224 first."""
    if not settings.flag("do_resize"):
        return None
    target = _target(settings)
    return short_edge(settings, int(256 / 224 * target)) if isinstance(target, int) else squeeze(settings, target)


def resize_poolformer(settings: Settings) -> Step | None:
    """The size is enlarged by 1 / ``crop_pct`` first (null: not); a square then means the shorter edge."""
    if not settings.flag("do_resize"):
        return None
    target, share = _target(settings), settings.share("crop_pct")
    if share is None:
        return resize_by_size(settings)
    if isinstance(target, int):
        return short_edge(settings, int(target / share))
    height, width = target
    if height == width:
        return short_edge(settings, int(height / share))
    return squeeze(settings, (int(height / share), int(width / share)))


def resize_textnet(settings: Settings) -> Step | None:
    """As by size; then both edges are rounded up to a multiple of ``size_divisor``."""
    if not settings.flag("do_resize"):
        return None
    target, multiple = _target(settings), settings.whole("size_divisor")
    if isinstance(target, int):
        return short_edge(settings, target, multiple)
    return squeeze(settings, transforms.round_up(target, multiple))


def _convnext_edge(settings: Settings) -> int | None:
    """Returns the shorter edge, the only form that ConvNext takes; ``None`` without resizing."""
    if not settings.flag("do_resize"):
        return None
    target = _target(settings)
    if not isinstance(target, int):
        raise settings.refuse("size", f"is {settings.values['size']!r}, and this class takes shortest_edge only")
    return target


def resize_convnext(settings: Settings) -> Step | None:
    """Below 384 the shorter edge is enlarged by 1 / ``crop_pct`` (null: 256/224); from 384 on a plain square."""
    edge = _convnext_edge(settings)
    if edge is None:
        return None
    if edge >= _SQUEEZE_FROM:
        return squeeze(settings, (edge, edge))
    share = settings.share("crop_pct")
    return short_edge(settings, int(edge / (_CONVNEXT_CROP_PCT if share is None else share)))


def crop_convnext(settings: Settings) -> Step | None:
    """Below 384 a square is cut out of the middle, as part of the resizing."""
    edge = _convnext_edge(settings)
    if edge is None or edge >= _SQUEEZE_FROM:
        return None
    return Step(transforms.center_crop, ((edge, edge),), (edge, edge))


def center_crop(settings: Settings) -> Step | None:
    """``crop_size`` is cut out of the middle, black beyond the picture."""
    if not settings.flag("do_center_crop"):
        return None
    size = settings.exact_size("crop_size")
    return Step(transforms.center_crop, (size,), size)


def crop_perceiver(settings: Settings) -> Step | None:
    """``size`` / ``crop_size`` of the shorter edge is cut out of the middle."""
    if not settings.flag("do_center_crop"):
        return None
    size, crop_size = settings.exact_size("size"), settings.exact_size("crop_size")
    # The whole picture, of which a share is cut out, ends up crop_size large once the share is resized to size.
    scale = scales_to(crop_size, settings.resample()) if settings.flag("do_resize") else None
    return Step(transforms.crop_share, (size, crop_size), scales_to=scale)


def _donut_frame(settings: Settings) -> Size:
    return settings.exact_size("size", width_first=True)


def turn_donut(settings: Settings) -> Step | None:
    """A picture that lies across ``size`` is turned clockwise."""
    if not settings.flag("do_align_long_axis"):
        return None
    return Step(transforms.turn_to_long_axis, (_donut_frame(settings),))


def resize_donut(settings: Settings) -> Step | None:
    """The shorter edge becomes the shorter of ``size``."""
    return short_edge(settings, min(_donut_frame(settings))) if settings.flag("do_resize") else None


def thumbnail_donut(settings: Settings) -> Step | None:
    """The picture is shrunk into ``size``, always bicubic."""
    if not settings.flag("do_thumbnail"):
        return None
    frame = _donut_frame(settings)
    return Step(transforms.thumbnail, (frame,), scales_to=frame)


def pad_donut(settings: Settings) -> Step | None:
    """The picture is put into the middle of ``size``, black around it."""
    if not settings.flag("do_pad"):
        return None
    size = _donut_frame(settings)
    return Step(transforms.pad_to_frame, (size,), size)
