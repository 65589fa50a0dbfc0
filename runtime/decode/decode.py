"""Decodes a picture into upright RGB pixels, or says why not by an :class:`~runtime.errors.ImageError`.

The pixels are those of the reference, transformers' own pipeline (``transformers.image_utils.load_image``):
``ImageOps.exif_transpose`` and then ``convert("RGB")``, which drops transparency and ignores colour profiles. Only
16-bit grey is better: scaled to 8 bits where the reference clips it. docs/decode.md has the table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeAlias, Union, cast

from PIL import Image

from ..errors import ImageError, OptionError
from ..options import Limits
from ..prediction import Status
from .costs import MOST_BYTES_A_PIXEL, check_pixels
from .exif import orientation
from .formats import open_picture
from .inspected import unsupported_pixels
from .opening import open_bytes, open_path, open_stream, shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["REDUCED_AT_LEAST", "ImageInput", "decode"]

ImageInput: TypeAlias = Union[
    str,
    "os.PathLike[str]",
    "os.PathLike[bytes]",
    bytes,
    bytearray,
    memoryview,
    IO[bytes],
    Image.Image,
    "npt.NDArray[np.uint8]",
]
"""A path, the bytes of a file, a binary file object, a PIL picture, or a uint8 array: grey (H, W) or (H, W, 1), RGB
(H, W, 3), RGBA (H, W, 4)."""

REDUCED_AT_LEAST = 4
"""How many times the longer side of the target a JPEG still measures, on both sides, when it is decoded smaller.
At 2, the resize that follows no longer averages over enough pixels, and probabilities move five times as far as at 4
(docs/decode.md)."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_DEFAULT = Limits()


def decode(
    image: ImageInput,
    limits: Limits = _DEFAULT,
    *,
    target: tuple[int, int] | None = None,
    claim: Callable[[int], None] | None = None,
) -> Image.Image:
    """Returns an upright RGB picture, fully loaded and independent of where it came from.

    The first frame of an animation and the first page of a document count. Safe to call from several threads at once,
    but not on the same file object or PIL picture.

    Args:
        image: A path, the bytes of a picture file, a binary file object, a PIL picture, or a uint8 array: grey (H, W)
            or (H, W, 1), RGB (H, W, 3), RGBA (H, W, 4). A seekable file is read from its beginning, whatever its
            position, and its position is restored; any other is read from where it stands. No file of the caller is
            closed, no picture of the caller changed.
        limits: Largest file and largest picture accepted, by the header, before any pixel is decoded.
        target: ``(width, height)``, in pixels, that the picture will be resized to. A large JPEG file is then decoded
            at 1/2, 1/4 or 1/8 of its scale, never below :data:`REDUCED_AT_LEAST` times the longer side of the target.
            ``None`` decodes every pixel.
        claim: Called with the bytes that a file's pixels may take, when its header has been read; it may wait.

    Returns:
        A picture of mode ``RGB`` without metadata; where ``target`` was given for a JPEG file, ``info["full_size"]`` is
        the width and height that it has when every pixel is decoded.

    Raises:
        ImageError: If the picture cannot be used; carries the status and a sentence for people.
        TypeError: If ``image`` is none of the above, a file in text mode, or an array of another dtype.
        OptionError: If an array has another shape.
    """
    if isinstance(image, (str, os.PathLike)):
        path = os.fspath(image)
        with open_path(path, limits) as file:
            return _from_file(file, shown(path), limits, target, claim)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _from_file(open_bytes(image, limits), "The picture", limits, target, claim)
    if isinstance(image, Image.Image):
        with _failures("The picture"):
            check_pixels(image.size, "The picture", limits)
            picture = _upright_rgb(image, _orientation_of(image), "The picture")
            return picture if picture is not image else _detached(image.copy())
    if (numpy := sys.modules.get("numpy")) is not None and isinstance(image, numpy.ndarray):
        return _from_array(image, limits)
    if hasattr(image, "read"):
        file, name = open_stream(cast("IO[bytes]", image), limits)
        return _from_file(file, name, limits, target, claim)
    raise TypeError(
        "A picture is a path, the bytes of a file, a binary file object, a PIL picture or a uint8 array of "
        f"pixels, not {type(image).__name__}."
    )


def _from_file(
    file: IO[bytes],
    name: str,
    limits: Limits,
    target: tuple[int, int] | None,
    claim: Callable[[int], None] | None,
) -> Image.Image:
    with _failures(name):
        picture, turn = open_picture(file, name, limits)
        if claim is not None:
            baseline = picture.format == "JPEG" and not picture.info.get("progressive")
            claim(picture.width * picture.height * (8 if baseline else MOST_BYTES_A_PIXEL))
        if target is None or picture.format != "JPEG":
            return _upright_rgb(picture, turn, name)
        size, side = picture.size, REDUCED_AT_LEAST * max(target)
        picture.draft(None, (side, side))
        upright = _upright_rgb(picture, turn, name)
        upright.info["full_size"] = size[::-1] if turn in (5, 6, 7, 8) else size
        return upright


def _from_array(array: Any, limits: Limits) -> Image.Image:
    if array.dtype != "uint8":
        raise TypeError(f"An array of pixels has dtype uint8, not {array.dtype}.")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in (3, 4)):
        raise OptionError(
            "An array of pixels has shape (height, width, 3), (height, width, 4), (height, width, 1) or "
            f"(height, width), not {array.shape}."
        )
    check_pixels((array.shape[1], array.shape[0]), "The array", limits)
    picture = Image.fromarray(array)  # copies: Pillow keeps RGB in four bytes
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _upright_rgb(picture: Image.Image, turn: int, name: str) -> Image.Image:
    """Loads, turns and converts; a new picture, except that an upright RGB one not from a file is given back."""
    picture.load()
    upright = picture.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else picture
    if upright.mode != "RGB":
        if upright.mode.startswith("I;16") or (upright.mode == "I" and picture.format == "PPM"):
            upright = _eight_bits(upright)
        try:
            upright = upright.convert("RGB")
        except ValueError as error:
            raise unsupported_pixels(name, f"Pillow's mode {upright.mode}") from error
    if upright is picture and not hasattr(picture, "tile"):
        return picture
    return _detached(upright)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Returns 16-bit grey as 8-bit grey: the upper eight bits, where ``convert`` would clip all but the darkest."""
    return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")


def _detached(picture: Image.Image) -> Image.Image:
    """Returns the same pixels, not copied, without file, metadata and format.

    Without the EXIF above all: its orientation would be applied to the result a second time.
    """
    plain = picture._new(picture.im)
    plain.info = {}
    return plain


def _orientation_of(picture: Image.Image) -> int:
    """Returns how a caller's picture is to be turned, by its raw EXIF and XMP, which may be hostile."""
    picture.load()  # TIFF applies its own, a PNG may hold it behind its pixels
    exif = picture.info.get("exif")
    xmp = picture.info.get("XML:com.adobe.xmp", picture.info.get("xmp"))
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return orientation(exif if isinstance(exif, bytes) else b"", xmp if isinstance(xmp, bytes) else b"")


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Turns whatever Pillow raises on a bad picture into an ``ImageError``."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(Status.TOO_LARGE, f"{name} needs more memory than there is to be decoded.") from error
    except Image.DecompressionBombError as error:  # a check inside a plugin, by Pillow's own limit
        raise ImageError(Status.TOO_LARGE, f"{name} holds more pixels than Pillow's own limit allows.") from error
    except Exception as error:  # Pillow's plugins raise nearly every builtin on hostile bytes
        raise ImageError(Status.UNREADABLE, _broken(error, name)) from error


def _broken(error: Exception, name: str) -> str:
    detail = str(error).strip().rstrip(".")
    if "truncated" in detail.lower() or isinstance(error, EOFError):
        return f"{name} is cut off: the file ends before the picture does; copy it again from its source."
    return f"{name} is broken ({detail or type(error).__name__}); copy it again from its source."
