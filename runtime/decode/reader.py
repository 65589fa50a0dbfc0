"""Reads a picture file for Pillow: parts of it only, within bounds, and never past its end unseen."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import IO, TypeAlias

from PIL import ImageFile

__all__ = ["EndlessError", "GuardedReader", "Part", "Pieces"]

Part: TypeAlias = "bytes | tuple[int, int]"
"""Bytes, or position and length of a stretch of another file."""

_UNBOUNDED = 1 << 62
_PIXEL_READS = 500_000
"""Most calls of ``read`` for the pixels: a 256 MiB PNG in chunks of 8 KiB takes a quarter of that."""


class EndlessError(OSError):
    """A file asks for more reads than any real picture of its format."""

    def __init__(self) -> None:
        super().__init__("it is made of too many pieces")


class Pieces:
    """Parts of a binary file, and bytes between them, read as one file without copying it.

    It hands a decoder the pixels of a picture without the metadata around them.
    """

    def __init__(self, file: IO[bytes] | GuardedReader | Pieces, parts: Sequence[Part]) -> None:
        self._file = file
        self._parts = parts
        lengths = (len(part) if isinstance(part, bytes) else part[1] for part in parts)
        self._starts = list(accumulate(lengths, initial=0))
        self._at = 0

    def tell(self) -> int:
        """Returns the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position, which may lie behind the end."""
        base = (0, self._at, self._starts[-1])[whence]
        if base + offset < 0:
            raise ValueError("a position before the start of the file")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads like any binary file."""
        end = self._starts[-1]
        if size is not None and size >= 0:
            end = min(end, self._at + size)
        found = []
        while self._at < end:
            number = bisect_right(self._starts, self._at) - 1
            part, begun = self._parts[number], self._at - self._starts[number]
            length = min(end, self._starts[number + 1]) - self._at
            if isinstance(part, bytes):
                piece = part[begun : begun + length]
            else:
                self._file.seek(part[0] + begun)
                piece = self._file.read(length)
            if not piece:
                break
            found.append(piece)
            self._at += len(piece)
        return found[0] if len(found) == 1 else b"".join(found)


class GuardedReader:
    """A binary file as a parser sees it, which ends endless files and never hides the end of a short one.

    A file made of millions of empty segments would keep Python loops busy for minutes and fill the memory with their
    list, so the number and the volume of reads are bounded: when the reader is made, for a header, and by
    :meth:`pixels`. From then on, where the application has set ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``, reading past
    the end of the file is an error, because Pillow would otherwise fill the rest of the picture with grey.

    Only the methods that Pillow's plugins use are there. Closing it closes nothing.
    """

    def __init__(self, file: IO[bytes] | Pieces, *, reads: int, volume: int = _UNBOUNDED) -> None:
        self._file = file
        self._strict = False
        self._reads, self._volume = reads, volume
        self.seek = file.seek
        self.tell = file.tell
        file.seek(0)

    def pixels(self, *, bounded: bool) -> None:
        """Ends the header; ``bounded`` for a decoder that reads in blocks rather than byte by byte."""
        self._reads = _PIXEL_READS if bounded else _UNBOUNDED
        self._volume = _UNBOUNDED
        self._strict = bool(ImageFile.LOAD_TRUNCATED_IMAGES)
        if not bounded and not self._strict:
            # Such a decoder reads single bytes by the million: no call of ours between it and the file.
            self.read = self._file.read  # type: ignore[method-assign, assignment]

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads like any binary file.

        Raises:
            EndlessError: If there were too many reads.
            OSError: If the file ends within the pixels where that would go unseen.
        """
        if size is None or size < 0:
            return self._file.read()
        data = self._file.read(size)
        self._reads -= 1
        self._volume -= len(data)
        if self._reads < 0 or self._volume < 0:
            raise EndlessError
        if self._strict and size and not data:
            raise OSError("image file is truncated")
        return data

    def length(self) -> int:
        """Returns the number of bytes in the file; the position stays."""
        at = self.tell()
        end = self.seek(0, io.SEEK_END)
        self.seek(at)
        return end

    def close(self) -> None:
        """Does nothing: the file belongs to the caller."""
