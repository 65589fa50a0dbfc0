"""Looks through an AVIF or HEIF file: bounds what is really decoded, and hides the metadata.

The size that the container states (``ispe``) is not the size that is decoded: an item may hold a larger frame or many,
and a grid may name thousands of items. So the boxes are walked before anything is decoded, from the primary picture to
each stream that a decoder would reach. HEIF is ISO/IEC 23008-12, its boxes ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .coded_size import av1_pixels, hevc_pixels
from .costs import MOST_PIXELS, MOST_PIXELS_OF, check_pixels, raised
from .inspected import Inspected
from .reader import GuardedReader, Part, Pieces

__all__ = ["brands_of", "inspect_avif", "inspect_heif"]

_MOST_META = 4 << 20
"""Most bytes of the box that describes the items; that of a telephone's picture of 48 tiles has five thousand."""
_MOST_EXTENTS = 100_000
_MOST_BRANDS = 4096
_MOST_DEPTH = 4
"""How deep items may be made of items: a picture of a grid of tiles is 1."""
_LEAST_PIXELS = 128 * 128
"""What an item is charged at least: starting a decoder takes about as long."""
_SLACK = 4 << 20
"""Pixels that may be decoded beyond the limit: tiles reach over the edges."""

_HIDDEN = frozenset({b"Exif", b"mime", b"uri "})
_DERIVED = frozenset({b"grid", b"iovl", b"iden"})


@dataclass
class _Item:
    kind: bytes = b""
    extents: list[tuple[int, int]] = field(default_factory=list)
    in_meta: bool = False
    configuration: bytes = b""


class _Box(NamedTuple):
    kind: bytes
    at: int
    """Where what it holds begins."""
    end: int


def brands_of(file: GuardedReader) -> frozenset[bytes]:
    """Returns the major and the compatible brands of an ISO base media file (ISO/IEC 14496-12, box ``ftyp``)."""
    file.seek(0)
    (length,) = struct.unpack(">I", file.read(4))
    box = file.read(min(max(length, 16), _MOST_BRANDS) - 4)
    return frozenset(box[at : at + 4] for at in (4, *range(12, len(box) - 3, 4)))


def inspect_avif(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Finds the primary picture of an AVIF file, also where it begins an animation.

    Args:
        file: The file.
        name: The picture's name in the sentence.
        limits: The limits.

    Raises:
        ImageError: ``unreadable`` where the boxes are broken, ``too_large`` where more pixels would be decoded than
            the limit allows, ``unsupported_format`` for pictures of another kind.
        struct.error: If a box is cut off.
        ValueError: If the header of a stream is.
        EndlessError: If it takes more reads than ``file`` allows.
    """
    return _inspect(file, name, limits, MOST_PIXELS_OF["AVIF"], b"av01")


def inspect_heif(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Finds the primary picture of a HEIC file; arguments and errors as :func:`inspect_avif`."""
    return _inspect(file, name, limits, MOST_PIXELS, b"hvc1")


def _inspect(file: GuardedReader, name: str, limits: Limits, most: int, coding: bytes) -> Inspected:
    end = file.length()
    top = list(_boxes(file, 0, end))
    meta = _only(top, b"meta", name)
    if meta is None:
        raise ImageError(
            Status.UNSUPPORTED_FORMAT, f"{name} is a video without a still picture; save a frame of it as JPEG or PNG."
        )
    if meta.end - meta.at > _MOST_META:
        raise _broken(name)
    file.seek(meta.at)
    items = _Items(file, file.read(meta.end - meta.at), meta.at, name, coding)
    reached = items.pixels(items.primary)
    allowed = 2 * min(limits.max_pixels, int(most * raised(limits))) + _SLACK  # colours, and transparency
    if reached > allowed:
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {reached:,} pixels to be decoded in all its parts, more than {allowed:,}; "
            "raise Limits(max_pixels=...) to read it.",
        )
    for size in items.canvases:
        check_pixels(size, name, limits, most)
    changes = {meta.at: items.without_metadata()}
    if coding == b"av01":
        changes |= _as_still_picture(file, top)
    return Inspected(_changed(changes, end), most_pixels=most)


class _Items:
    """The items of a file, as its ``meta`` box describes them."""

    def __init__(self, file: GuardedReader, meta: bytes, at: int, name: str, coding: bytes) -> None:
        self._file, self._meta, self._at, self._name, self._coding = file, meta, at, name, coding
        self._items: dict[int, _Item] = {}
        self._parts: dict[int, list[int]] = {}
        self._extra: dict[int, list[int]] = {}
        self._costs: dict[int, int] = {}
        self._kinds_at: list[int] = []
        self.canvases: list[tuple[int, int]] = []
        self.primary = 0
        boxes = list(self._boxes(4, len(meta)))
        for kind, read in (
            (b"pitm", self._read_primary),
            (b"iinf", self._read_kinds),
            (b"iloc", self._read_places),
            (b"iref", self._read_references),
            (b"iprp", self._read_properties),
        ):
            box = _only(boxes, kind, name)
            if box is not None:
                read(box)
        data = _only(boxes, b"idat", name)
        self._data_at = data.at if data else len(meta)

    def pixels(self, number: int, depth: int = 0) -> int:
        """Returns how many pixels are decoded for an item, with all that it is made of and its transparency.

        Raises:
            ImageError: ``unreadable`` where items are made of each other, ``unsupported_format`` for another coding.
        """
        if number in self._costs:
            return self._costs[number]
        item = self._items.get(number)
        if item is None or depth > _MOST_DEPTH:
            raise _broken(self._name)
        if item.kind == self._coding:
            own = max(self._stream_pixels(item), _LEAST_PIXELS)
        elif item.kind in _DERIVED:
            own = self._canvas_pixels(item)
        else:
            what = item.kind.decode("latin-1").strip()
            raise ImageError(
                Status.UNSUPPORTED_FORMAT,
                f"{self._name} holds a picture of a kind that is not read ({what}); save it as JPEG or PNG.",
            )
        parts = (*self._parts.get(number, ()), *self._extra.get(number, ()))
        self._costs[number] = own + sum(self.pixels(part, depth + 1) for part in parts)
        return self._costs[number]

    def without_metadata(self) -> bytes:
        """Returns the ``meta`` box's content with the items of metadata renamed, so that no decoder finds them."""
        meta = bytearray(self._meta)
        for at in self._kinds_at:
            if bytes(meta[at : at + 4]) in _HIDDEN:
                meta[at : at + 4] = b"free"
        return bytes(meta)

    def _stream_pixels(self, item: _Item) -> int:
        stream, length = self._data(item)
        if item.kind == b"av01":
            return av1_pixels(stream, length)
        return hevc_pixels(stream, length, item.configuration)

    def _canvas_pixels(self, item: _Item) -> int:
        """Returns the pixels of a picture that is put together, by its own data (ISO/IEC 23008-12, section 6.6.2)."""
        if item.kind == b"iden":
            return 0
        stream, _ = self._data(item)
        data = stream.read(20)
        at = 4 if item.kind == b"grid" else 10  # rows and columns; a colour
        width, height = struct.unpack_from(">II" if data[1] & 1 else ">HH", data, at)
        self.canvases.append((width, height))
        return int(width * height)

    def _data(self, item: _Item) -> tuple[Pieces, int]:
        origin = self._at + self._data_at if item.in_meta else 0
        parts: list[Part] = [(origin + at, length) for at, length in item.extents]
        return Pieces(self._file, parts), sum(length for _, length in item.extents)

    def _boxes(self, at: int, end: int) -> Iterator[_Box]:
        return _boxes_in(self._meta, at, end)

    def _full(self, box: _Box) -> tuple[int, int, int]:
        """Returns version and flags of a box, and where the rest begins."""
        (head,) = struct.unpack_from(">I", self._meta, box.at)
        return head >> 24, head & 0xFFFFFF, box.at + 4

    def _read_primary(self, box: _Box) -> None:
        version, _, at = self._full(box)
        (self.primary,) = struct.unpack_from(">I" if version else ">H", self._meta, at)

    def _read_kinds(self, box: _Box) -> None:
        version, _, at = self._full(box)
        for entry in self._boxes(at + (4 if version else 2), box.end):
            version, _, at = self._full(entry)
            if entry.kind == b"infe" and version in (2, 3):
                (number,) = struct.unpack_from(">I" if version == 3 else ">H", self._meta, at)
                at += 6 if version == 3 else 4
                item = self._item(number)
                if item.kind:  # decoders differ in which of two counts
                    raise _broken(self._name)
                item.kind = self._meta[at : at + 4]
                self._kinds_at.append(at)

    def _read_places(self, box: _Box) -> None:
        version, _, at = self._full(box)
        sizes = int.from_bytes(self._meta[at : at + 2], "big")
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version else 0
        at += 2

        def number(size: int) -> int:
            nonlocal at
            if at + size > box.end:
                raise _broken(self._name)
            value = int.from_bytes(self._meta[at : at + size], "big")
            at += size
            return value

        left = _MOST_EXTENTS
        for _ in range(number(4 if version == 2 else 2)):
            item = self._item(number(4 if version == 2 else 2))
            item.in_meta = bool(version) and number(2) & 15 == 1
            number(2)  # a reference to another file
            base = number(base_size)
            extents = number(2)
            left -= extents
            if item.extents or left < 0:
                raise _broken(self._name)
            for _ in range(extents):
                number(index_size)
                begun, length = base + number(offset_size), number(length_size)
                item.extents.append((begun, length or max(0, self._file.length() - begun)))

    def _read_references(self, box: _Box) -> None:
        version, _, at = self._full(box)
        for entry in self._boxes(at, box.end):
            layout = ">I" if version else ">H"
            size = struct.calcsize(layout)
            (source,) = struct.unpack_from(layout, self._meta, entry.at)
            (count,) = struct.unpack_from(">H", self._meta, entry.at + size)
            begun = entry.at + size + 2
            targets = [struct.unpack_from(layout, self._meta, begun + size * each)[0] for each in range(count)]
            if entry.kind == b"dimg":
                self._parts.setdefault(source, []).extend(targets)
            elif entry.kind == b"auxl":
                for target in targets:
                    self._extra.setdefault(target, []).append(source)

    def _read_properties(self, box: _Box) -> None:
        boxes = list(self._boxes(box.at, box.end))
        container = _only(boxes, b"ipco", self._name)
        if container is None:
            return
        known = list(self._boxes(container.at, container.end))
        for each in boxes:
            if each.kind != b"ipma":
                continue
            version, flags, at = self._full(each)
            (count,) = struct.unpack_from(">I", self._meta, at)
            at += 4
            for _ in range(count):  # ends with the box at the latest
                (number,) = struct.unpack_from(">I" if version else ">H", self._meta, at)
                at += 4 if version else 2
                associations = self._meta[at]
                at += 1
                for _ in range(associations):
                    index = struct.unpack_from(">H", self._meta, at)[0] & 0x7FFF if flags & 1 else self._meta[at] & 127
                    at += 2 if flags & 1 else 1
                    if 0 < index <= len(known) and known[index - 1].kind == b"hvcC":
                        self._item(number).configuration = self._meta[known[index - 1].at : known[index - 1].end]

    def _item(self, number: int) -> _Item:
        return self._items.setdefault(number, _Item())


def _boxes(file: GuardedReader, at: int, end: int) -> Iterator[_Box]:
    """Yields the boxes of a file (ISO/IEC 14496-12, section 4.2)."""
    while at + 8 <= end:
        file.seek(at)
        box = _box(file.read(16), at, end)
        yield box
        at = box.end


def _boxes_in(data: bytes, at: int, end: int) -> Iterator[_Box]:
    """Yields the boxes within a box."""
    while at + 8 <= end:
        box = _box(data[at : at + 16], at, end)
        yield box
        at = box.end


def _box(head: bytes, at: int, end: int) -> _Box:
    size, kind = struct.unpack_from(">I4s", head)
    begun = 8
    if size == 1:
        (size,) = struct.unpack_from(">Q", head, 8)
        begun = 16
    if size == 0:  # to the end
        size = end - at
    if size < begun:
        raise ValueError("a box of it is shorter than its head")
    return _Box(kind, at + begun, min(at + size, end))


def _only(boxes: list[_Box], kind: bytes, name: str) -> _Box | None:
    """Returns the box of a kind, if there is one.

    Raises:
        ImageError: ``unreadable`` if there are several: decoders differ in which counts.
    """
    found = [box for box in boxes if box.kind == kind]
    if len(found) > 1:
        raise _broken(name)
    return found[0] if found else None


def _as_still_picture(file: GuardedReader, top: list[_Box]) -> dict[int, bytes]:
    """Returns what to change in an AVIF so that its primary picture is decoded and not the first frame of a track."""
    changes = {}
    for box in top:
        if box.kind == b"moov":
            changes[box.at - 4] = b"free"
        elif box.kind == b"ftyp":
            file.seek(box.at)
            brands = file.read(min(box.end - box.at, _MOST_BRANDS))
            rest = (brands[at : at + 4] for at in range(8, len(brands), 4))
            still = (b"mif1" if brand in (b"avis", b"msf1") else brand for brand in rest)
            changes[box.at] = b"avif" + brands[4:8] + b"".join(still)
    return changes


def _changed(changes: dict[int, bytes], end: int) -> list[Part]:
    """Returns the parts of a file with other bytes in some places."""
    parts: list[Part] = []
    at = 0
    for place, new in sorted(changes.items()):
        parts += [(at, place - at), new]
        at = place + len(new)
    return [*parts, (at, end - at)]


def _broken(name: str) -> ImageError:
    return ImageError(Status.UNREADABLE, f"{name} is broken: its parts do not fit together; copy it again.")
