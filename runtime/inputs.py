"""Says what an input is: unwraps records and Arrow values, and tells one picture from several."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from .errors import ImageError, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from .decode.decode import ImageInput
    from .prediction import Box, Eyes

    Picture: TypeAlias = ImageInput | Buffer | Mapping[str, Any] | "ArrowValue"
    """What :meth:`Classifier.predict` takes: see there."""

    Request: TypeAlias = tuple[Picture | ImageError, Sequence[Box] | None, Sequence[Eyes | None] | None]

__all__ = ["EYES_ALONE", "requests", "unwrapped"]


EYES_ALONE = "Eyes belong to boxes, one pair of eyes to each box; give both."


class ArrowValue(Protocol):
    """A scalar of Arrow or of something like it."""

    def as_py(self) -> Any:
        """Returns the value as Python's own type."""


def unwrapped(picture: Picture) -> tuple[ImageInput, str | None]:
    """Returns what :func:`~runtime.decode.decode.decode` takes, and the path by which results name it.

    Args:
        picture: What ``decode`` takes; any other object with a one-dimensional buffer of bytes; a mapping with
            ``bytes`` or ``path``, the first that is not ``None``, as Hugging Face's datasets have it; or an Arrow
            scalar of one of these.

    Raises:
        TypeError: If it is a mapping without both. What is no picture at all is left to ``decode``.
    """
    value: Any = picture.as_py() if hasattr(picture, "as_py") else picture
    if isinstance(value, Mapping):
        content, path = value.get("bytes"), value.get("path")
        if content is None and path is None:
            raise TypeError(
                f"A mapping that stands for a picture has bytes or path, not only {sorted(map(str, value))}."
            )
        value = path if content is None else content
    else:
        path = value
    name = os.fsdecode(path) if isinstance(path, (str, os.PathLike)) else None
    return (view if (view := _bytes_of(value)) is not None else value), name


def requests(
    images: Iterable[Picture | ImageError],
    boxes: Iterable[Sequence[Box] | None] | None,
    eyes: Iterable[Sequence[Eyes | None] | None] | None,
) -> Iterator[Request]:
    """Yields each picture with its boxes and eyes, lazily.

    Raises:
        TypeError: If ``images`` is one picture (at the call).
        OptionError: If there are more or fewer boxes or eyes than pictures (when that shows).
    """
    if _is_one(images):
        raise TypeError(
            f"predict_many takes several pictures, in a list for example; {type(images).__name__} is one. "
            "Use predict for one picture."
        )
    return _requests(iter(images), boxes, eyes)


def _requests(images: Iterator[Any], boxes: Iterable[Any] | None, eyes: Iterable[Any] | None) -> Iterator[Request]:
    if boxes is None and eyes is None:
        yield from ((picture, None, None) for picture in images)
        return
    if boxes is None:
        raise OptionError(EYES_ALONE)
    missing: Any = object()
    for picture, box, eye in zip_longest(images, boxes, () if eyes is None else eyes, fillvalue=missing):
        if picture is missing or box is missing or (eyes is not None and eye is missing):
            raise OptionError("There are not as many boxes, or eyes, as pictures; each picture has its own entry.")
        yield picture, box, None if eye is missing else eye


def _is_one(images: object) -> bool:
    """Whether something is a picture, though it can be iterated over: a path by its characters, a file by its lines."""
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, Mapping)) or hasattr(images, "read"):
        return True
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(images, numpy.ndarray):
        return bool(images.ndim <= 3 and images.dtype.kind in "buif")
    return _bytes_of(images) is not None


def _bytes_of(value: object) -> memoryview | None:
    """Returns the bytes of an object that holds nothing else, such as Arrow's buffers; not those of an array."""
    if isinstance(value, (str, bytes, os.PathLike)) or hasattr(value, "read"):
        return None
    if hasattr(type(value), "__array_interface__"):  # that of the object itself copies all pixels of a PIL picture
        return None
    try:
        view = memoryview(cast("Buffer", value))
    except TypeError:
        return None
    return view if view.ndim == 1 and view.itemsize == 1 and view.c_contiguous else None
