"""One operation on a picture, as data: a function of :mod:`runtime.transforms` with its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

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
    """

    function: Callable[..., Image.Image]
    arguments: tuple[Any, ...]
    output_size: KnownSize = (None, None)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Returns the changed picture."""
        return self.function(image, *self.arguments)
