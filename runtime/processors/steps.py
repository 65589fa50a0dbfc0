"""Holds one operation on a picture as data: a function of :mod:`.transforms` with its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from .transforms import Size

__all__ = ["KnownSize", "Step"]

KnownSize = tuple["int | None", "int | None"]
"""``(height, width)`` in pixels; ``None`` where it depends on the picture."""


@dataclass(frozen=True)
class Step:
    """One operation on RGB pictures.

    Attributes:
        function: Takes a picture and the arguments, returns a picture.
        arguments: What follows the picture.
        output_size: The size it leaves behind.
        scales_to: For a step whose result does not depend on the scale of the picture: the ``(height, width)`` that
            the picture is scaled to. ``None`` where single pixels count.
    """

    function: Callable[..., Image.Image]
    arguments: tuple[Any, ...]
    output_size: KnownSize = (None, None)
    scales_to: Size | None = None

    def __call__(self, image: Image.Image) -> Image.Image:
        """Returns the changed picture."""
        return self.function(image, *self.arguments)
