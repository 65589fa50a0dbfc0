"""Looks through a TIFF file: reads the first directory, and leaves Pillow one of its own that says the same.

Pillow and libtiff read the tags of a directory each in its own way: of which of two equal tags, and of which integer
types. So both are given a new directory, of nothing but what the pixels need, each tag once and in its usual type.
What it does not hold (EXIF, further pages, the layers of an editor) can neither cost memory nor be read in two ways.
"TIFF 6.0" is Adobe's specification of 1992; BigTIFF is libtiff's extension of it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from .costs import MOST_BYTES, MOST_PIXELS, check_pixels
from .exif import MOST_XMP, orientation
from .inspected import Inspected, unsupported_pixels
from .jpeg import one_scan_of
from .reader import GuardedReader, Part

__all__ = ["inspect"]

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _COUNTS, _PLANAR = 273, 274, 277, 278, 279, 284
_T4, _T6, _PREDICTOR, _COLOURS, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = (
    292, 293, 317, 320, 322, 323, 324, 325,
)  # fmt: skip
_EXTRA, _FORMAT, _TABLES, _XMP = 338, 339, 347, 700
_OLD_JPEG = (512, 513, 514, 515, 519, 520, 521)
_SUBSAMPLING, _POSITIONING, _COEFFICIENTS, _BLACK_WHITE = 530, 531, 529, 532

_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""The integer types of TIFF 6.0, section 2, and BigTIFF."""
_BYTES = {1: 1, 2: 1, 6: 1, 7: 1, 5: 8}
"""Types of which the bytes are taken as they are, and their sizes: BYTE, ASCII, SBYTE, UNDEFINED, RATIONAL."""
_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7

_MOST_VALUES = 1 << 20
"""Most numbers in one tag: Pillow makes a Python tuple of them, 36 bytes each. 89 megapixels in tiles of 16 x 16 need
350,000 offsets."""
_MOST_SAMPLES = 16
_MOST_TABLES = 64 << 10
_SCANS_PIXELS = 27_962_026
"""Pixels by the default limits where the strips or tiles are JPEG of several scans: libtiff allows a hundred, and they
take up to 0.32 microseconds a pixel. Measured by hand on made files."""
_TILE_HEAD = 4 << 10
"""Bytes of a JPEG tile in which its first scan is looked for: before it are tables and a frame, and no EXIF."""

_RAW, _OLD, _JPEG = 1, 6, 7
_COMPRESSIONS = frozenset({_RAW, 2, 3, 4, 5, _OLD, _JPEG, 8, 32773, 32946})
"""None, CCITT (three kinds), LZW, JPEG (two kinds), Deflate (two numbers), PackBits."""
_GREY_INVERTED, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOUR = {
    _GREY_INVERTED: ("grey, white at zero", 1), _GREY: ("grey", 1), _RGB: ("RGB", 3), _PALETTE: ("palette", 1),
    _CMYK: ("CMYK", 4), _YCBCR: ("YCbCr", 3), _LAB: ("Lab", 3),
}  # fmt: skip
"""Name and number of channels by PhotometricInterpretation."""
_READ: dict[tuple[int, int], frozenset[tuple[int, ...]]] = {
    **{(grey, bits): frozenset({()}) for grey in (_GREY_INVERTED, _GREY, _PALETTE) for bits in (1, 2, 4)},
    (_GREY_INVERTED, 8): frozenset({()}),
    (_GREY, 8): frozenset({(), (2,)}),
    (_GREY, 16): frozenset({()}),
    (_PALETTE, 8): frozenset({(), (2,)}),
    (_RGB, 8): frozenset({(), (0,), (1,), (2,), (0, 0), (1, 0), (2, 0), (0, 0, 0), (1, 0, 0), (2, 0, 0)}),
    (_RGB, 16): frozenset({(), (0,), (1,), (2,)}),
    (_CMYK, 8): frozenset({(), (0,), (0, 0)}),
    (_CMYK, 16): frozenset({()}),
    (_YCBCR, 8): frozenset({()}),
    (_LAB, 8): frozenset({()}),
}
"""What Pillow turns into the right pixels: colour and bits per sample, and which extra samples there may be (0 without
a meaning, 1 premultiplied alpha, 2 alpha)."""


class _Tag(NamedTuple):
    kind: int
    values: int
    field: bytes
    """The value, or where it lies."""


class _Directory:
    """The first directory of a TIFF file, read with little trust."""

    def __init__(self, file: GuardedReader, name: str) -> None:
        self._file, self._name = file, name
        file.seek(0)
        head = file.read(16)
        self.order = "<" if head.startswith(b"II") else ">"
        self.big = struct.unpack_from(self.order + "H", head, 2)[0] in (43, 43 << 8)
        word, entry = ("Q", "HHQ8s") if self.big else ("I", "HHI4s")
        (at,) = struct.unpack_from(self.order + word, head, 8 if self.big else 4)
        file.seek(at)
        counter = self.order + ("Q" if self.big else "H")
        (count,) = struct.unpack(counter, file.read(struct.calcsize(counter)))
        size = struct.calcsize(self.order + entry)
        entries = file.read(size * min(count, 65_535))
        self._tags: dict[int, _Tag] = {}
        for number in range(len(entries) // size):
            tag, kind, values, field = struct.unpack_from(self.order + entry, entries, number * size)
            self._tags.setdefault(tag, _Tag(kind, values, field))  # of two equal tags the first counts

    def __contains__(self, tag: int) -> bool:
        return tag in self._tags

    def integers(self, tag: int, *default: int, most: int = _MOST_VALUES) -> tuple[int, ...]:
        """Returns the values of a tag of any integer type, or the default where there is none.

        Raises:
            ImageError: ``unreadable`` if it has too many, is of another type or is cut off.
        """
        if tag not in self._tags:
            return default
        kind, count, _ = self._tags[tag]
        if kind not in _INTEGERS or not 0 < count <= most:
            raise self._broken(f"has a TIFF tag {tag} of {count:,} values of type {kind}")
        layout = f"{self.order}{count}{_INTEGERS[kind]}"
        data = self._value(tag, struct.calcsize(layout))
        return struct.unpack(layout, data)

    def integer(self, tag: int, default: int) -> int:
        """Returns the first value of a tag; raises as :meth:`integers`."""
        return self.integers(tag, default)[0]

    def data(self, tag: int, most: int) -> bytes:
        """Returns the bytes of a tag, at most so many; none where it is absent or of a type that has no bytes."""
        found = self._tags.get(tag)
        if found is None or found.kind not in _BYTES:
            return b""
        return self._value(tag, min(found.values * _BYTES[found.kind], most), whole=False)

    def _value(self, tag: int, size: int, *, whole: bool = True) -> bytes:
        field = self._tags[tag].field
        if size <= len(field):
            return field[:size]
        self._file.seek(struct.unpack(self.order + ("Q" if self.big else "I"), field)[0])
        data = self._file.read(size)
        if whole and len(data) < size:
            raise self._broken(f"is cut off in its TIFF tag {tag}")
        return data

    def _broken(self, what: str) -> ImageError:
        return ImageError(Status.UNREADABLE, f"{self._name} {what}; it is broken. Copy it again from its source.")


class _Layout(NamedTuple):
    """How the pixels of a TIFF lie in the file."""

    size: tuple[int, int]
    tile: tuple[int, int]
    """Width and height of a tile, or of a strip."""
    compression: int
    colour: int
    bits: int
    extra: tuple[int, ...]
    samples: int
    planes: int
    """1, or as many as samples where each channel lies apart."""
    tiled: bool

    @property
    def pieces(self) -> int:
        """How many strips or tiles there have to be."""
        across, down = (-(-whole // part) for whole, part in zip(self.size, self.tile, strict=True))
        return across * down * self.planes

    def raw_bytes(self, number: int) -> int:
        """Returns how many bytes of a strip or tile are read where nothing is compressed."""
        across, down = (-(-whole // part) for whole, part in zip(self.size, self.tile, strict=True))
        rows = min(self.tile[1], self.size[1] - number // across % down * self.tile[1])
        return rows * -(-self.tile[0] * self.samples // self.planes * self.bits // 8)


def inspect(file: GuardedReader, name: str, limits: Limits) -> Inspected:
    """Finds the pixels and the orientation of the first page of a TIFF or BigTIFF.

    Args:
        file: The file.
        name: The picture's name in the sentence.
        limits: The limits.

    Raises:
        ImageError: ``unsupported_format`` for pixels or a compression that are not read, ``unreadable`` where the
            directory is broken or strips are missing, ``too_large`` for a tile over the limit.
        struct.error: If the header is cut off.
        EndlessError: If it takes more reads or bytes than ``file`` allows.
    """
    directory = _Directory(file, name)
    layout = _layout(directory, name)
    check_pixels(layout.size, name, limits, MOST_PIXELS)
    check_pixels(layout.tile, name, limits, MOST_PIXELS)
    if file.length() >= 1 << 32:
        raise unsupported_pixels(name, "a BigTIFF of more than 4 GiB")
    new = _new_directory(directory, layout, file.length(), name)
    if layout.compression == _JPEG and layout.size[0] * layout.size[1] > _SCANS_PIXELS:
        _check_scans(file, new[_TILE_OFFSETS if layout.tiled else _OFFSETS].values, layout.size, name, limits)
    turn = directory.integer(_ORIENTATION, 0)
    if turn == 0:
        turn = orientation(b"", directory.data(_XMP, MOST_XMP))
    stored = layout.samples * layout.bits / 8  # in libtiff's buffer, beside Pillow's two copies of four bytes
    most = min(MOST_PIXELS, int(MOST_BYTES / (8 + stored)))
    return Inspected(_with_directory(directory.order, new, file.length()), turn, most)


def _layout(directory: _Directory, name: str) -> _Layout:
    """Returns how the pixels lie, if they are of a kind that is read."""
    compression = directory.integer(_COMPRESSION, _RAW)
    if compression not in _COMPRESSIONS:
        raise ImageError(
            Status.UNSUPPORTED_FORMAT,
            f"{name} is a TIFF compressed in a way that is not read (number {compression}); save it as JPEG or PNG.",
        )
    size = directory.integer(_WIDTH, 0), directory.integer(_LENGTH, 0)
    colour = _YCBCR if compression == _OLD else directory.integer(_PHOTOMETRIC, _GREY_INVERTED)
    samples = directory.integer(_SAMPLES, 3 if compression == _OLD else 1)
    if not 0 < samples <= _MOST_SAMPLES:
        raise unsupported_pixels(name, f"{samples} samples")
    if colour == _YCBCR and samples == 1:
        colour = _GREY
    words, channels = _COLOUR.get(colour, (f"colours of number {colour}", samples))
    depths = directory.integers(_BITS, 1)[:samples]
    formats = directory.integers(_FORMAT, 1)[:samples]
    extra = _extra_samples(directory, samples - channels, colour)
    apart = directory.integer(_PLANAR, 1) == 2 and samples > 1
    bits = depths[0]
    readable = (
        channels <= samples
        and set(depths) == {bits}
        and set(formats) <= {1, 4}  # 4 says that nothing is known
        and extra in _READ.get((colour, bits), ())
        and (not apart or _read_apart(colour, bits, extra, compression))
        and (colour != _YCBCR or compression != _RAW)  # Pillow would take half the colours for all
    )
    if not readable:
        kinds = "/".join({1: "bit", 2: "bit signed", 3: "bit float"}.get(each, "bit") for each in sorted(set(formats)))
        sizes = "/".join(map(str, sorted(set(depths))))
        where = ", each channel apart" if apart else ""
        raise unsupported_pixels(name, f"{words}, {samples} x {sizes} {kinds}{where}")
    tiled = _TILE_OFFSETS in directory
    if tiled:
        tile = directory.integer(_TILE_WIDTH, 0), directory.integer(_TILE_LENGTH, 0)
    else:
        tile = size[0], min(directory.integer(_ROWS, size[1]), size[1])
    return _Layout(size, tile, compression, colour, bits, extra, samples, samples if apart else 1, tiled)


def _extra_samples(directory: _Directory, number: int, colour: int) -> tuple[int, ...]:
    """Returns what the samples beyond those of the colour are, as TIFF 6.0 numbers it."""
    stated = directory.integers(_EXTRA)
    if not stated and number == 1 and colour == _RGB:
        return (2,)
    stated = tuple(2 if each == 999 else each for each in stated)  # as Corel Draw 10 writes it
    extra = (stated + (0,) * max(number, 0))[: max(number, 0)]
    return (2,) if extra == (0,) and colour in (_GREY, _PALETTE) else extra  # which older Pillows know


def _read_apart(colour: int, bits: int, extra: tuple[int, ...], compression: int) -> bool:
    """Whether Pillow puts the channels together right where each lies apart."""
    if compression == _RAW:
        return bits == 8 and colour in (_RGB, _CMYK) and extra in ((), (2,))
    return colour != _LAB and (not any(extra) or extra in ((1,), (2,)))


class _New(NamedTuple):
    """A tag of the new directory: numbers of an integer type, or bytes."""

    kind: int
    values: tuple[int, ...]
    data: bytes = b""


def _new_directory(directory: _Directory, layout: _Layout, length: int, name: str) -> dict[int, _New]:
    """Returns the tags that the pixels need."""
    offsets, counts = (_TILE_OFFSETS, _TILE_COUNTS) if layout.tiled else (_OFFSETS, _COUNTS)
    new = {
        _WIDTH: _New(_LONG, layout.size[:1]),
        _LENGTH: _New(_LONG, layout.size[1:]),
        _BITS: _New(_SHORT, (layout.bits,) * layout.samples),
        _COMPRESSION: _New(_SHORT, (layout.compression,)),
        _PHOTOMETRIC: _New(_SHORT, (layout.colour,)),
        _SAMPLES: _New(_SHORT, (layout.samples,)),
        _PLANAR: _New(_SHORT, (1 if layout.planes == 1 else 2,)),
    }
    if layout.extra:
        new[_EXTRA] = _New(_SHORT, layout.extra)
    if layout.tiled:
        new |= {_TILE_WIDTH: _New(_LONG, layout.tile[:1]), _TILE_LENGTH: _New(_LONG, layout.tile[1:])}
    else:
        new[_ROWS] = _New(_LONG, layout.tile[1:])
    if layout.compression == _OLD:
        stated = (offsets, counts, *_OLD_JPEG)
        new |= {tag: _New(_LONG, directory.integers(tag)) for tag in stated if tag in directory}
    else:
        places = _pieces(directory, layout, (offsets, counts), length, name)
        new |= {tag: _New(_LONG, values) for tag, values in zip((offsets, counts), places, strict=True)}
    return new | _colour_tags(directory)


def _pieces(
    directory: _Directory, layout: _Layout, tags: tuple[int, int], length: int, name: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns where the strips or tiles begin, and their bytes.

    Raises:
        ImageError: ``unreadable`` where some are missing, or lie behind the end of the file.
    """
    offsets = directory.integers(tags[0])[: layout.pieces]
    if layout.compression == _RAW:
        counts = tuple(map(layout.raw_bytes, range(layout.pieces)))
    else:
        counts = directory.integers(tags[1], *(length - offset for offset in offsets[:1]))[: layout.pieces]
    here = sum(offset + count <= length for offset, count in zip(offsets, counts, strict=False))
    if here < layout.pieces:
        raise ImageError(
            Status.UNREADABLE,
            f"{name} is cut off: {here:,} of its {layout.pieces:,} strips or tiles are there; "
            "copy it again from its source.",
        )
    # One and the same stretch of bytes could be decoded for every strip, for hours; a byte may belong to a few.
    if layout.compression != _RAW and sum(counts) > 2 * length + (1 << 20):
        raise ImageError(Status.UNREADABLE, f"{name} has strips that are longer than the file; it is broken.")
    return offsets, counts


def _colour_tags(directory: _Directory) -> dict[int, _New]:
    """Returns the tags, as far as there are any, that tell how samples become colours."""
    new = {}
    for tag in (_FILL_ORDER, _T4, _T6, _PREDICTOR, _SUBSAMPLING, _POSITIONING, _COLOURS):
        if tag in directory:
            new[tag] = _New(_SHORT, tuple(each & 0xFFFF for each in directory.integers(tag, most=1 << 17)))
    if tables := directory.data(_TABLES, _MOST_TABLES):
        new[_TABLES] = _New(_UNDEFINED, (), tables)
    for tag, number in ((_COEFFICIENTS, 3), (_BLACK_WHITE, 6)):
        if len(rationals := directory.data(tag, 8 * number)) == 8 * number:
            new[tag] = _New(_RATIONAL, (), rationals)
    return new


def _check_scans(
    file: GuardedReader, offsets: tuple[int, ...], size: tuple[int, int], name: str, limits: Limits
) -> None:
    """Refuses a picture too large for strips or tiles that are JPEG of several scans.

    libtiff allows a hundred scans, and none in the older kind of JPEG (compression 6), so that a picture of ordinary
    size needs no look at its tiles.
    """
    for offset in set(offsets):
        file.seek(offset)
        if not one_scan_of(file.read(_TILE_HEAD)):
            check_pixels(size, name, limits, _SCANS_PIXELS)


def _with_directory(order: str, new: dict[int, _New], length: int) -> list[Part]:
    """Returns the parts of the file as before, but for a header that points to a new directory behind it.

    It is a TIFF even where the file was a BigTIFF, of which Pillow reads only one byte order.
    """
    at = length + length % 2
    behind = at + 2 + 12 * len(new) + 4
    entries, values = [], b""
    for tag, (kind, numbers, raw) in sorted(new.items()):
        data = raw or struct.pack(f"{order}{len(numbers)}{_INTEGERS[kind]}", *numbers)
        count = len(numbers) or len(raw) // _BYTES[kind]
        if len(data) > 4:
            place = struct.pack(order + "I", behind + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries.append(struct.pack(order + "HHI4s", tag, kind, count, place))
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, at)
    directory = struct.pack(order + "H", len(new)) + b"".join(entries) + bytes(4) + values
    return [head, (8, length - 8), b"\0" * (length % 2) + directory]
