"""Picture in, upright RGB pixels out; or an :class:`~runtime.errors.ImageError` that says why not."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Union

from PIL import Image, UnidentifiedImageError

from runtime.errors import ImageError, OptionError
from runtime.limits import Limits
from runtime.prediction import Status

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["ImageInput", "decode"]

ImageInput = Union[
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
"""A path, the bytes of a file, a binary file object, a PIL picture, or a uint8 RGB array of shape (H, W, 3)."""

_DENIED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(
    image: ImageInput,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    target: tuple[int, int] | None = None,
) -> Image.Image:
    """Returns an upright RGB picture, fully loaded and independent of where it came from.

    Args:
        image: A path, the bytes of a picture file, a binary file object, a PIL picture, or a uint8 RGB array of shape
            (H, W, 3). A seekable file is read from its beginning, whatever its position, and its position is restored;
            no file is closed.
        limits: Largest file and largest picture accepted.
        target: ``(width, height)`` that the picture will be resized to, in pixels. Large JPEG files are then decoded
            at a reduced scale, never below twice the target. ``None`` decodes every pixel.

    Raises:
        ImageError: If the picture cannot be used; carries the status and a sentence for people.
        TypeError: If ``image`` is none of the above.
        OptionError: If an array has another shape.
    """
    if isinstance(image, (str, os.PathLike)):
        path = os.fspath(image)
        shown = repr(os.fsdecode(path))
        with _open_path(path, shown, limits) as file:
            return _decode_file(file, shown, limits, target)
    if isinstance(image, (bytes, bytearray, memoryview)):
        _check_bytes(len(memoryview(image).cast("B")), "the picture", limits)
        return _decode_file(io.BytesIO(image), "the picture", limits, target)
    if isinstance(image, Image.Image):
        return _guarded(lambda: _finish(image, "the picture", limits, copy=True), "the picture")
    if hasattr(image, "__array_interface__"):
        return _from_array(image, limits)
    if hasattr(image, "read"):
        return _from_stream(image, limits, target)
    raise TypeError(
        "A picture is a path, the bytes of a file, a binary file object, a PIL picture or a uint8 RGB array of "
        f"shape (height, width, 3), not {type(image).__name__}."
    )


def _open_path(path: str | bytes, shown: str, limits: Limits) -> IO[bytes]:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - the path may be bytes
        if not stat.S_ISREG(mode):
            raise ImageError(Status.NOT_A_FILE, f"{shown} is {_kind(mode)}, not a picture file.")
        # The kind may change between the two calls: without O_NONBLOCK a FIFO would hold us for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_open(error, shown) from error
    file = os.fdopen(descriptor, "rb")
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise ImageError(Status.NOT_A_FILE, f"{shown} is {_kind(info.st_mode)}, not a picture file.")
        _check_bytes(info.st_size, shown, limits)
    except BaseException:
        file.close()
        raise
    return file


def _kind(mode: int) -> str:
    kinds: dict[Callable[[int], bool], str] = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((words for test, words in kinds.items() if test(mode)), "something else")


def _cannot_open(error: Exception, shown: str) -> ImageError:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EACCES, errno.EPERM):
        return ImageError(Status.PERMISSION_DENIED, f"{shown} may not be read: permission denied.")
    if code == errno.ELOOP:
        return ImageError(Status.NOT_A_FILE, f"{shown} is a symbolic link that leads back to itself.")
    if code in (errno.ENXIO, errno.EISDIR):
        return ImageError(Status.NOT_A_FILE, f"{shown} is not a picture file.")
    if code in (None, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return ImageError(Status.NOT_FOUND, f"There is no file {shown}.")
    return ImageError(Status.UNREADABLE, f"{shown} cannot be opened: {error}.")


def _check_bytes(size: int, shown: str, limits: Limits) -> None:
    if size == 0:
        raise ImageError(Status.UNREADABLE, f"{shown} is empty.")
    if size > limits.max_bytes:
        raise ImageError(
            Status.TOO_LARGE,
            f"{shown} has {size:,} bytes, more than the limit of {limits.max_bytes:,}.",
        )


def _from_stream(stream: IO[bytes], limits: Limits, target: tuple[int, int] | None) -> Image.Image:
    if isinstance(stream, io.TextIOBase):
        raise TypeError("The file is open in text mode; open it in binary mode ('rb').")
    name = getattr(stream, "name", None)
    shown = repr(name) if isinstance(name, str) else "the picture"
    position: int | None
    try:
        position = stream.tell()
        stream.seek(0)
    except (AttributeError, OSError):
        position = None
    try:
        data = stream.read(limits.max_bytes + 1)
    except OSError as error:
        raise ImageError(Status.UNREADABLE, f"{shown} cannot be read: {error}.") from error
    finally:
        if position is not None:
            stream.seek(position)
    _check_bytes(len(data), shown, limits)
    return _decode_file(io.BytesIO(data), shown, limits, target)


def _from_array(array: Any, limits: Limits) -> Image.Image:
    import numpy as np

    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise TypeError(f"An array of pixels has dtype uint8, not {array.dtype}.")
    if array.ndim != 3 or array.shape[2] != 3:
        raise OptionError(f"An array of pixels has shape (height, width, 3), not {array.shape}.")
    height, width = array.shape[:2]
    _check_pixels((width, height), "the array", limits)
    return Image.fromarray(np.ascontiguousarray(array)).copy()


def _decode_file(file: IO[bytes], shown: str, limits: Limits, target: tuple[int, int] | None) -> Image.Image:
    def run() -> Image.Image:
        with _identify(file, shown) as opened:
            _check_pixels(opened.size, shown, limits)
            return _finish(opened, shown, limits, copy=False)

    return _guarded(run, shown)


def _identify(file: IO[bytes], shown: str) -> Image.Image:
    Image.init()
    formats = [name for name in Image.ID if name not in _DENIED]
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise ImageError(
            Status.UNSUPPORTED_FORMAT, f"{shown} is not a picture in a format that can be read."
        ) from error


def _check_pixels(size: tuple[int, int], shown: str, limits: Limits) -> None:
    width, height = size
    if width <= 0 or height <= 0:
        raise ImageError(Status.UNREADABLE, f"{shown} has no pixels ({width} x {height}).")
    if width * height > limits.max_pixels:
        raise ImageError(
            Status.TOO_LARGE,
            f"{shown} has {width} x {height} pixels, more than the limit of {limits.max_pixels:,}.",
        )


def _finish(image: Image.Image, shown: str, limits: Limits, *, copy: bool) -> Image.Image:
    _check_pixels(image.size, shown, limits)
    image.load()
    method = _UPRIGHT.get(_orientation(image))
    upright = image if method is None else image.transpose(method)
    if upright.mode != "RGB":
        return upright.convert("RGB")
    return upright.copy() if upright is image else upright


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - the picture is good even where its EXIF is not
        return 1


def _guarded(run: Callable[[], Image.Image], shown: str) -> Image.Image:
    try:
        return run()
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(Status.TOO_LARGE, f"{shown} has too many pixels.") from error
    except Exception as error:  # Pillow plugins raise nearly every builtin on hostile bytes
        raise ImageError(Status.UNREADABLE, f"{shown} is broken or truncated: {error}.") from error
