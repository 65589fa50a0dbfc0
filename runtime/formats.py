"""Which picture formats are read, by which of Pillow's plugins, and how many pixels each may have.

Formats are found by content, never by file name, and from a list: a plugin that runs another program (Ghostscript for
EPS), hands the bytes to the operating system (WMF), or opens nested files by rules of its own (IPTC) is never asked.
"""

from __future__ import annotations

import importlib
import io
import re
import struct
from collections.abc import Iterator
from typing import IO, Any, cast

from PIL import Image, ImageFile

from runtime.errors import ImageError
from runtime.limits import Limits
from runtime.prediction import Status
from runtime.sources import EndlessError, GuardedReader

__all__ = ["check_pixels", "open_picture"]

_PLUGINS = {
    # The common ones first: a folder of photographs imports no other plugin.
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "DIB": "BmpImagePlugin",
    "PPM": "PpmImagePlugin",
    # Then Pillow's own order, which decides between formats without a signature.
    "AVIF": "AvifImagePlugin",
    "BLP": "BlpImagePlugin",
    "CUR": "CurImagePlugin",
    "PCX": "PcxImagePlugin",
    "DCX": "DcxImagePlugin",
    "DDS": "DdsImagePlugin",
    "FITS": "FitsImagePlugin",
    "FLI": "FliImagePlugin",
    "FPX": "FpxImagePlugin",
    "FTEX": "FtexImagePlugin",
    "GBR": "GbrImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "ICNS": "IcnsImagePlugin",
    "ICO": "IcoImagePlugin",
    "IM": "ImImagePlugin",
    "IMT": "ImtImagePlugin",
    "MCIDAS": "McIdasImagePlugin",
    "MIC": "MicImagePlugin",
    "MSP": "MspImagePlugin",
    "PCD": "PcdImagePlugin",
    "PIXAR": "PixarImagePlugin",
    "PSD": "PsdImagePlugin",
    "QOI": "QoiImagePlugin",
    "SGI": "SgiImagePlugin",
    "SPIDER": "SpiderImagePlugin",
    "SUN": "SunImagePlugin",
    "TGA": "TgaImagePlugin",
    "XBM": "XbmImagePlugin",
    "XPM": "XpmImagePlugin",
    "XVTHUMB": "XVThumbImagePlugin",
}

_SIGNED = frozenset(
    {"JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "BLP", "DDS", "FITS", "FTEX", "JPEG2000"}
    | {"ICNS", "ICO", "PSD", "QOI", "XPM"}
)
"""Formats with a signature long enough that a file which bears it is that format, if a broken one."""

_UNGUARDED = frozenset({"BLP", "ICNS", "JPEG2000"})
"""Formats whose pixels do not pass through :class:`GuardedReader` call by call, so that it cannot see where they end.
"""

_HEADER = {"JPEG": (256_000, 12 << 20), "GIF": (256_000, 2 << 20), "TIFF": (256_000, 256 << 20)}
_HEADER_MOST = (256_000, 64 << 20)
_HEADER_UNSIGNED = (20_000, 1 << 20)
"""Most reads and most bytes in a header. Real ones take a few hundred reads; a TIFF directory has up to 65,535
entries. For JPEG and GIF less, because Pillow (GIF: before 13) joins EXIF segments and comments one by one, in time
that grows with the square of their number; for TIFF more, because Photoshop keeps its layers in a tag; for formats
without a signature next to nothing, because their plugins would search any long text."""

_TIFF_VALUES = 1 << 20
"""Most numbers in one tag of a TIFF directory. Pillow makes a Python tuple of them, 36 bytes each; 89 megapixels in
tiles of 16 x 16 need 350,000 offsets."""

_REFUSED = (
    (b"%!PS", "an EPS or PostScript file, which only an external program could draw"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file, which only an external program could draw"),
    (b"%PDF", "a PDF document, not a picture"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile, a drawing without pixels"),
    (b"<svg", "an SVG drawing, which has no pixels"),
    (b"<?xml", "an XML file, not a picture"),
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})

_BYTES_PER_PIXEL = 12
"""Memory that decoding takes per pixel at its peak, in bytes: 4 for the pixels, 4 for their RGB copy or the rotated
picture, and up to 6 for the coefficients of a progressive JPEG before the copy is made (8 for CMYK)."""

_COST = {
    # More memory per pixel than that: measured by benchmarks/decode.py.
    "WEBP": 22 / _BYTES_PER_PIXEL,
    "AVIF": 16 / _BYTES_PER_PIXEL,
    "JPEG2000": 36 / _BYTES_PER_PIXEL,  # 25 bytes, but also up to 0.3 microseconds; _check_jpeg2000 for its lists
    # A TIFF whose strips are JPEG of several scans: libtiff allows a hundred, and they take up to 0.32 microseconds.
    "tiff_jpeg_scans": 3.2,
    # Decoders that Pillow has in Python: 0.2 to 2 microseconds per pixel, where a JPEG takes 0.01. Ten seconds' worth.
    "qoi": 5.0,
    "bmp_rle": 4.0,
    "xpm": 4.0,
}
_PYTHON_DECODER_COST = 16.0
"""Cost of a pixel in a decoder written in Python that the table does not name."""

_FREE_SIDE = 65_535
_SIDE_COST = 512
"""What a row beyond the 65,535 that a JPEG may have is charged, in pixels of 12 bytes; columns likewise, because EXIF
may turn them into rows. Pillow keeps a pointer to each row of each copy and fills rows up to four bytes: 36 bytes where
a picture is turned and converted. A resize takes up to 48 bytes for its coefficients, and with an older Pillow (10.1)
first makes all the rows as wide as the network's input: 2,400 bytes a row for 600 pixels."""

_MOST_NANOSECONDS = 10e9
_MOST_SCANS = 500
"""Most scans of a JPEG, whatever its size; libjpeg-turbo's own fuzzers stop at this number (``TJPARAM_SCANLIMIT``).
Encoders write 10 to 20."""
_NS_PIXEL, _NS_PASS, _NS_PASS_ARITHMETIC, _NS_BYTE = 20.0, 0.75, 6.0, 33.0
"""Nanoseconds that a JPEG of several scans takes at most: for each pixel, for each pixel of each component of each scan
(which may hold next to no data), and for each byte. Measured by ``benchmarks/decode.py scans``; that of the arithmetic
coder is an estimate, from 130 binary decisions in a block of 64 pixels: nobody writes such files."""

_JPEG_HEAD = 256 << 10
"""Bytes in which the first scan of nearly every JPEG begins: behind EXIF with its thumbnail, XMP and a profile."""
_TILE_HEAD = 4 << 10
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker of JPEG that ends the data of a scan: in it, FF is followed by 00 or a restart marker (T.81, B.1.1.2)."""
_MOST_MARKERS = 256_000
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xC9, 0xCB})
_ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}

_J2K_SIZ, _J2K_COD, _J2K_COC, _J2K_SOT, _J2K_POC, _J2K_SOD, _J2K_EOC = (
    0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF5F, 0xFF93, 0xFFD9
)  # fmt: skip
_J2K_MARKERS = frozenset({*range(0xFF50, 0xFF54), *range(0xFF55, 0xFF5A), *range(0xFF5C, 0xFF62), 0xFF63, 0xFF64})
_J2K_MARKERS |= {0xFF74, 0xFF75, 0xFF77, 0xFF78, _J2K_SOT}
"""Markers that OpenJPEG knows by their length; past any other it searches for the next, where we would not follow."""
_J2K_READ = frozenset({_J2K_SIZ, _J2K_COD, _J2K_COC, _J2K_SOT, _J2K_POC})
_J2K_BYTES_PIXEL, _J2K_BYTES_BLOCK, _J2K_BYTES_TILE, _J2K_BYTES_TILE_COMPONENT = 25, 600, 9_000, 1_200
"""Memory of OpenJPEG 2.5: for each pixel, for each code block or precinct (which may be a single pixel) of each
component, and for each tile, of which a header of a hundred bytes may ask for 65,535."""
_J2K_NS_PACKET = 50.0
"""Nanoseconds for each packet: a block's share of a quality layer, of which there may be 65,535, without any data."""


def check_pixels(size: tuple[int, int], name: str, limits: Limits, cost: float = 1.0) -> None:
    """Refuses a picture without pixels, with more than the limit, or with a side too long for it.

    Args:
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits.
        cost: What a pixel of this format takes, in memory or time, compared with one of a JPEG file.

    Raises:
        ImageError: ``unreadable`` without pixels, ``too_large`` over the limit.
    """
    width, height = size
    if width <= 0 or height <= 0:
        raise ImageError(Status.UNREADABLE, f"{name} has no pixels: its size is {width} x {height}.")
    most = int(limits.max_pixels / cost)
    if width * height > most:
        which = "the limit" if cost == 1.0 else "the limit for its costly format"
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {width} x {height} pixels, more than {which} of {most:,}; "
            "raise the limit on pixels to read it.",
        )
    beyond = max(width, height) - _FREE_SIDE
    if beyond > 0 and width * height * cost + beyond * _SIDE_COST > limits.max_pixels:
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {width} x {height} pixels; a side that long takes more memory than the limit of "
            f"{limits.max_pixels:,} pixels allows; raise the limit on pixels to read it.",
        )


def open_picture(file: GuardedReader, name: str, limits: Limits) -> Image.Image:
    """Reads a picture's header and checks its size; no pixel is decoded (but for HEIF, after the check).

    Raises:
        ImageError: ``unsupported_format``, ``unreadable`` or ``too_large``.
    """
    file.header(*_HEADER_MOST)
    prefix = file.read(16)
    formats: tuple[str, ...] = tuple(_PLUGINS)
    if prefix[4:8] == b"ftyp":
        brands = _brands(file)
        if brands & _AVIF_BRANDS:
            formats = ("AVIF",)
        elif brands & _HEIF_BRANDS:
            return _open_heif(file, name, limits)
        else:
            raise ImageError(Status.UNSUPPORTED_FORMAT, f"{name} is a video, or another file of the MP4 family.")
    recognised: list[str] = []
    for format_name in formats:
        opened = _try_format(format_name, file, prefix, name, limits, recognised)
        if opened is not None:
            _check_opened(opened, format_name, file, name, limits)
            return opened
    raise _not_identified(prefix, recognised, name)


def _try_format(
    format_name: str,
    file: GuardedReader,
    prefix: bytes,
    name: str,
    limits: Limits,
    recognised: list[str],
) -> ImageFile.ImageFile | None:
    """Asks one plugin; the same protocol as ``Image.open``, without its process-wide bomb limit."""
    if format_name not in Image.OPEN:
        try:
            importlib.import_module(f"PIL.{_PLUGINS[format_name]}")
        except ImportError:
            return None  # an older Pillow, or a plugin whose own dependency is absent (FPX and MIC: olefile)
        if format_name not in Image.OPEN:
            return None
    factory, accept = Image.OPEN[format_name]
    try:
        verdict = accept(prefix) if accept else True
        if isinstance(verdict, str):  # recognised, but this Pillow was built without the codec
            raise ImageError(Status.UNSUPPORTED_FORMAT, f"{name} cannot be read: {verdict}.")
        if not verdict:
            return None
        if format_name in _SIGNED:
            recognised.append(format_name)
        if ImageFile.LOAD_TRUNCATED_IMAGES and format_name in _UNGUARDED:
            raise ImageError(
                Status.UNSUPPORTED_FORMAT,
                f"{name} is a {format_name} picture, which is not read while "
                "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set: a cut-off file would pass for a whole one.",
            )
        file.header(*_HEADER.get(format_name, _HEADER_MOST if accept else _HEADER_UNSIGNED))
        _check_before(format_name, file, name, limits)
        if format_name == "ICO":
            file.pixels(bounded=True)  # which its plugin decodes while it opens the file
        file.seek(0)
        return factory(cast("IO[bytes]", file), "")
    except (SyntaxError, IndexError, TypeError, struct.error):
        return None  # "not mine", in the protocol of Pillow's plugins
    except OSError:
        # A plugin without a signature tries its luck on any text; one with a signature means what it says.
        if accept:
            raise
        return None


def _check_opened(
    opened: ImageFile.ImageFile, format_name: str, file: GuardedReader, name: str, limits: Limits
) -> None:
    codecs = {str(tile[0]) for tile in opened.tile or ()}  # None for an icon, in Pillow before 11
    in_python = codecs & Image.DECODERS.keys()
    cost = max(
        _COST.get(format_name, 1.0),
        *(_COST.get(codec, _PYTHON_DECODER_COST) for codec in in_python),
        1.0,
    )
    check_pixels(opened.size, name, limits, cost)
    file.pixels(bounded=True)
    if format_name in ("JPEG", "MPO"):
        _check_jpeg(file, opened.size, name, limits)
    elif (tags := getattr(opened, "tag_v2", None)) is not None:  # a TIFF, or the one inside a MIC
        _check_tiff(tags, cast("IO[bytes]", opened.fp), opened.size, name, limits)
    elif format_name == "JPEG2000":
        _check_jpeg2000(file, 0, name, limits)
    elif format_name == "BLP":
        _check_blp(file, name, limits)
    elif format_name == "FPX":
        _check_fpx(opened, name)
    file.pixels(bounded=not in_python)


def _check_jpeg(file: GuardedReader, size: tuple[int, int], name: str, limits: Limits) -> None:
    """Checks the scans of a JPEG file; most have one, as the header tells, and are not gone through."""
    file.seek(0)
    if _in_one_scan(file.read(_JPEG_HEAD)):
        return
    file.seek(0)
    _check_scans(file.read(), size, name, limits)


def _check_scans(data: bytes, size: tuple[int, int], name: str, limits: Limits) -> None:
    """Refuses a JPEG whose scans take too long: each goes over the whole picture, even where it holds no data.

    Args:
        data: A JPEG file of several scans.
        size: Width and height, in pixels.
        name: The picture's name in the sentence.
        limits: The limits; time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``unreadable`` beyond the number of scans that any encoder writes, ``too_large`` where they would
            take more than ten seconds.
    """
    scans, nanoseconds = _count_scans(data, size[0] * size[1])
    if scans > _MOST_SCANS:
        raise ImageError(
            Status.UNREADABLE,
            f"{name} has {scans:,} scans, more than the {_MOST_SCANS} that any camera or program may write; "
            "it is made to keep a decoder busy.",
        )
    if nanoseconds > _MOST_NANOSECONDS * max(1.0, limits.max_pixels / Limits.max_pixels):
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} has {size[0]} x {size[1]} pixels in {scans} scans, which would take about "
            f"{nanoseconds / 1e9:.0f} seconds to decode; raise the limit on pixels to read it.",
        )


def _count_scans(data: bytes, pixels: int) -> tuple[int, float]:
    """Returns the number of scans in a JPEG file, and the nanoseconds that decoding them takes at most."""
    scans = passes = 0
    length, per_pass = len(data), _NS_PASS
    for marker, at in _jpeg_segments(data):
        if marker == _SOS:
            scans += 1
            passes += min(data[at + 2], 4)
        elif marker in _ARITHMETIC:
            per_pass = _NS_PASS_ARITHMETIC
        elif marker == _EOI:
            length = at  # behind it, a telephone keeps a video
    return scans, pixels * (_NS_PIXEL + passes * per_pass) + length * _NS_BYTE


def _in_one_scan(head: bytes) -> bool:
    """Whether a JPEG is known to have one scan: a sequential one whose first scan holds all its components."""
    components = 0
    for marker, at in _jpeg_segments(head):
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL:
                return False
            components = head[at + 7]
        elif marker == _SOS:
            return head[at + 2] == components
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the markers of the first picture in JPEG data, and where their segments begin (T.81, annex B).

    What libjpeg skips between segments and in the data of a scan is skipped; that includes the reserved markers below
    C0, which have no segment that scans could hide in. The end of the picture is the last one; a segment of which the
    first eight bytes are not all there is left out.

    Raises:
        EndlessError: If there are more than any encoder writes.
    """
    at = 0
    for _ in range(_MOST_MARKERS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, at = data[found.end() - 1], found.end()
        if marker == _EOI:
            yield marker, at
        if marker == _EOI or at + 8 > len(data):
            return
        if marker >= 0xC0 and marker != _SOI:
            yield marker, at
            at += max(2, data[at] << 8 | data[at + 1])
    raise EndlessError("it is made of too many pieces")


def _check_jpeg2000(file: GuardedReader, start: int, name: str, limits: Limits) -> None:
    """Refuses a JPEG 2000 picture cut into so many code blocks, tiles or layers that their lists are the cost of it.

    Args:
        file: The file.
        start: Where the picture begins in it, in bytes.
        name: The picture's name in the sentence.
        limits: The limits; memory and time may grow with the number of pixels beyond the default.

    Raises:
        ImageError: ``too_large`` beyond 1 GiB or ten seconds, or ``unreadable`` at an unknown marker.
    """
    pixels = components = tiles = 0
    layers = orders = 1
    density = 0.0
    for marker, body in _j2k_segments(file, _j2k_start(file, start), name):
        if marker == _J2K_SIZ:
            x1, y1, x0, y0, width, height, left, top, components = struct.unpack_from(">8IH", body, 2)
            pixels = max(0, x1 - x0) * max(0, y1 - y0)
            tiles = -(-(x1 - left) // max(1, width)) * -(-(y1 - top) // max(1, height))
        elif marker == _J2K_POC:  # each goes over all packets again, to find those that were not read yet
            orders += len(body) // 7
        elif marker == _J2K_COD:
            layers = max(layers, struct.unpack_from(">H", body, 2)[0])
            density = max(density, _j2k_blocks(body[5:], precincts=bool(body[0] & 1)))
        elif marker == _J2K_COC:
            at = 1 if components < 257 else 2
            density = max(density, _j2k_blocks(body[at + 1 :], precincts=bool(body[at] & 1)))
    # Each tile has a block at least in each of up to 33 resolutions.
    blocks = components * (pixels * density + tiles * 33)
    memory = pixels * (_J2K_BYTES_PIXEL + components * density * _J2K_BYTES_BLOCK) + tiles * (
        _J2K_BYTES_TILE + components * _J2K_BYTES_TILE_COMPONENT
    )
    nanoseconds = blocks * layers * orders * _J2K_NS_PACKET
    more = max(1.0, limits.max_pixels / Limits.max_pixels)
    if memory > _BYTES_PER_PIXEL * Limits.max_pixels * more or nanoseconds > _MOST_NANOSECONDS * more:
        raise ImageError(
            Status.TOO_LARGE,
            f"{name} is cut into {tiles:,} tiles, about {blocks:,.0f} blocks and {layers:,} layers, which would take "
            f"about {memory / (1 << 30):.1f} GiB of memory and {nanoseconds / 1e9:,.0f} seconds; "
            "raise the limit on pixels to read it.",
        )


def _j2k_blocks(style: bytes, *, precincts: bool) -> float:
    """Returns the number of code blocks per pixel that a coding style asks for (T.800, tables A.15 and A.20)."""
    levels, width, height = style[0], (style[1] & 15) + 2, (style[2] & 15) + 2
    blocks = 0.0
    for level in range(levels + 1):
        size = style[5 + level] if precincts else 0xFF
        halved = int(level > 0)  # a precinct lies over three sub-bands of half its size
        bits = max(0, min(width, (size & 15) - halved)) + max(0, min(height, (size >> 4) - halved))
        blocks += 4.0 ** (level - levels) / (1 << bits)
    return blocks


def _j2k_start(file: GuardedReader, start: int) -> int:
    """Returns where the codestream begins: at once, or in the box ``jp2c`` (T.800, annex I)."""
    file.seek(start)
    if file.read(4) == b"\xff\x4f\xff\x51":
        return start
    while True:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            header = 16
        if kind == b"jp2c":
            return start + header
        start += max(8, length)


def _j2k_segments(file: GuardedReader, at: int, name: str) -> Iterator[tuple[int, bytes]]:
    """Yields markers and what they hold from the main header and those of all tile parts (T.800, annex A).

    Raises:
        ImageError: ``unreadable`` at a marker that OpenJPEG does not know.
    """
    at += 2  # SOC
    end_of_part = 0
    while True:
        file.seek(at)
        head = file.read(4)
        marker, length = struct.unpack(">HH", head) if len(head) == 4 else (_J2K_EOC, 0)
        if marker == _J2K_EOC or (marker == _J2K_SOD and end_of_part <= at):
            return
        if marker == _J2K_SOD:
            at = end_of_part
            continue
        if marker not in _J2K_MARKERS:
            raise ImageError(
                Status.UNREADABLE,
                f"{name} is broken: its header has a marker {marker:04X}; copy it again from its source.",
            )
        body = file.read(max(0, length - 2)) if marker in _J2K_READ else b""
        if marker == _J2K_SOT:
            (part,) = struct.unpack_from(">I", body, 2)
            end_of_part = at + part if part else 0
        yield marker, body
        at += 2 + max(2, length)


def _check_tiff(tags: Any, file: IO[bytes], size: tuple[int, int], name: str, limits: Limits) -> None:
    """Checks the tiles of a TIFF: libtiff takes memory for a whole one, and each may be a JPEG of many scans.

    libtiff allows a hundred scans, and none in the older kind of JPEG (compression 6), so that a picture of ordinary
    size needs no look at its tiles.
    """
    width, height = tags.get(322), tags.get(323)
    if isinstance(width, int) and isinstance(height, int):
        check_pixels((max(width, 1), max(height, 1)), name, limits)
    cost = _COST["tiff_jpeg_scans"]
    if tags.get(259) != 7 or size[0] * size[1] * cost <= limits.max_pixels:
        return
    offsets = tags.get(324) or tags.get(273) or ()
    for offset in {offsets} if isinstance(offsets, int) else set(offsets):
        file.seek(offset)
        if not _in_one_scan(file.read(_TILE_HEAD)):
            check_pixels(size, name, limits, cost)


def _check_fpx(opened: Any, name: str) -> None:
    """Refuses JPEG tiles of several scans or with more pixels than a tile has: libjpeg would decode them whole.

    Raises:
        ImageError: ``unreadable``.
    """
    tiles = [tile for tile in opened.tile if tile[0] == "jpeg"]
    if not tiles:
        return
    data = opened.ole.openstream([*opened.stream[:2], "Subimage 0000 Data"])
    for _, _, offset, _ in tiles:
        data.seek(offset)
        head = opened.tile_prefix + data.read(_TILE_HEAD)
        sizes = [struct.unpack_from(">HH", head, at + 3) for marker, at in _jpeg_segments(head) if marker in _FRAMES]
        if not _in_one_scan(head) or any(height > 64 or width > 64 for height, width in sizes):
            raise ImageError(
                Status.UNREADABLE, f"{name} has a tile that holds another picture than it says; it is broken."
            )


def _not_identified(prefix: bytes, recognised: list[str], name: str) -> ImageError:
    if recognised:
        return ImageError(
            Status.UNREADABLE,
            f"{name} begins like a {recognised[0]} picture, but its header is broken or cut off.",
        )
    for signature, what in _REFUSED:
        if prefix.lstrip().startswith(signature) or prefix.startswith(signature):
            return ImageError(Status.UNSUPPORTED_FORMAT, f"{name} is {what}.")
    return ImageError(Status.UNSUPPORTED_FORMAT, f"{name} is not a picture in any format that can be read.")


def _brands(file: GuardedReader) -> frozenset[bytes]:
    """Returns the major and the compatible brands of an ISO base media file (ISO/IEC 14496-12, box ``ftyp``)."""
    file.seek(0)
    (length,) = struct.unpack(">I", file.read(4))
    box = file.read(min(max(length, 16), 4096) - 4)
    return frozenset(box[at : at + 4] for at in (4, *range(12, len(box) - 3, 4)))


def _open_heif(file: GuardedReader, name: str, limits: Limits) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            Status.UNSUPPORTED_FORMAT,
            f"{name} is a HEIC picture; install what reads it: pip install 'gender-classifier[heif]'.",
        ) from error
    file.seek(0)
    # Not through the plugin that the package registers in Pillow: that would change Pillow for the whole
    # application, and it gives a black picture for a truncated file where LOAD_TRUNCATED_IMAGES is set.
    heif = pillow_heif.open_heif(io.BytesIO(file.read()), convert_hdr_to_8bit=True)
    check_pixels(heif.size, name, limits)
    picture = cast("Image.Image", heif.to_pillow())
    # libheif has turned it by the file's own ``irot`` and ``imir``; a camera repeats the same turn in the EXIF.
    picture.info = {}
    return picture


def _check_before(format_name: str, file: GuardedReader, name: str, limits: Limits) -> None:
    """Checks what a plugin would act upon before it tells the picture's size."""
    if format_name == "ICO":
        _check_ico(file, name, limits)
    elif format_name == "ICNS":
        _check_icns(file, name, limits)
    elif format_name == "TIFF":
        _check_tiff_directory(file, name)


def _check_ico(file: GuardedReader, name: str, limits: Limits) -> None:
    """Checks the pictures inside an icon, whose sizes may differ from what its directory says."""
    file.seek(4)
    (count,) = struct.unpack("<H", file.read(2))
    entries = file.read(16 * count)
    for at in range(12, len(entries) - 3, 16):
        file.seek(struct.unpack_from("<I", entries, at)[0])
        check_pixels(_embedded_size(file.read(64)), name, limits)


def _check_icns(file: GuardedReader, name: str, limits: Limits) -> None:
    file.seek(4)
    (end,) = struct.unpack(">I", file.read(4))
    at = 8
    while at + 8 <= end:
        file.seek(at + 4)
        head = file.read(4 + 64)
        if len(head) < 4:
            return
        check_pixels(_embedded_size(head[4:]), name, limits, _COST["JPEG2000"])
        if head[4:].startswith(b"\xff\x4f\xff\x51") or head[8:12] == b"jP  ":
            _check_jpeg2000(file, at + 8, name, limits)
        at += max(struct.unpack(">I", head[:4])[0], 8)


def _check_tiff_directory(file: GuardedReader, name: str) -> None:
    """Refuses a first directory with tags of more values than any picture has use for (TIFF 6.0, section 2)."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43  # BigTIFF
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    file.seek(offset)
    (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
    size = 20 if big else 12
    entries = file.read(size * min(count, 65_535))
    for at in range(0, len(entries) - size + 1, size):
        kind, values = struct.unpack_from(order + ("HQ" if big else "HI"), entries, at + 2)
        if kind not in (1, 2, 6, 7) and values > _TIFF_VALUES:  # BYTE, ASCII, SBYTE, UNDEFINED stay bytes
            raise ImageError(Status.UNREADABLE, f"{name} has a TIFF tag of {values:,} values; it is broken.")


def _embedded_size(head: bytes) -> tuple[int, int]:
    """Returns the size that the first bytes of a PNG, JPEG 2000 or DIB picture state; (1, 1) for anything else."""
    if len(head) < 64:
        return 1, 1
    if head.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", head, 16)
    elif head[4:8] == b"jP  " and 0 <= (at := head.find(b"ihdr")) <= 52:
        height, width = struct.unpack_from(">II", head, at + 4)
    elif head.startswith(b"\xff\x4f\xff\x51"):
        width, height = struct.unpack_from(">II", head, 8)
    elif head[:4] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x40\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        width, height = struct.unpack_from("<HH" if head[0] == 12 else "<ii", head, 4)
        height //= 2  # colours and mask, one above the other
    else:
        return 1, 1
    return max(1, abs(width)), max(1, abs(height))


def _check_blp(file: GuardedReader, name: str, limits: Limits) -> None:
    """Checks the JPEG picture inside a BLP1 texture, whose own header may state another size."""
    file.seek(0)
    head = file.read(8)
    if head[:4] != b"BLP1" or head[4:8] != bytes(4):
        return
    from PIL.JpegImagePlugin import JpegImageFile

    file.seek(28)
    tables = struct.unpack("<33I", file.read(132))
    jpeg_header = file.read(tables[32])
    file.seek(tables[0])
    jpeg = jpeg_header + file.read(tables[16])
    size = JpegImageFile(io.BytesIO(jpeg)).size
    check_pixels(size, name, limits)
    if not _in_one_scan(jpeg):
        _check_scans(jpeg, size, name, limits)
