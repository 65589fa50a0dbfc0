"""How large a picture may be before it is refused unread."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import OptionError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits on one picture, checked before any pixel is decoded.

    Attributes:
        max_bytes: Largest file, in bytes. The default, 256 MiB, holds the largest photographs of today's cameras
            in any compressed format.
        max_pixels: Most pixels, width times height as the header states them. The default, 89,478,485, is the size
            from which Pillow itself warns of a decompression bomb (``Image.MAX_IMAGE_PIXELS``: a quarter of a GiB
            at three bytes per pixel). Formats that need more memory or time per pixel than a JPEG are held to a
            smaller number, and so are very long sides, JPEG files of very many scans and JPEG 2000 files of very many
            pieces; docs/decode.md has the tables.

    Raises:
        OptionError: If a limit is not a positive whole number.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 1024 * 1024 * 1024 // 4 // 3

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name} is a positive whole number, not {value!r}.")
