"""Which picture formats are read, by which of Pillow's plugins, and how many pixels each may have.

Formats are found by content, never by file name, and from a list: a plugin that runs another program (Ghostscript for
EPS), hands the bytes to the operating system (WMF), or opens nested files by rules of its own (IPTC) is never asked.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterator
from typing import IO, Any, cast

from PIL import Image, ImageFile

from runtime.errors import ImageError
from runtime.limits import Limits
from runtime.prediction import Status
from runtime.sources import GuardedReader

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
    "JPEG2000": 36 / _BYTES_PER_PIXEL,  # 25 bytes, but also up to 0.3 microseconds
    # Decoders that Pillow has in Python: 0.2 to 2 microseconds per pixel, where a JPEG takes 0.01. Ten seconds' worth.
    "qoi": 5.0,
    "bmp_rle": 4.0,
    "xpm": 4.0,
}
_PYTHON_DECODER_COST = 16.0
"""Cost of a pixel in a decoder written in Python that the table does not name."""


def check_pixels(size: tuple[int, int], name: str, limits: Limits, cost: float = 1.0) -> None:
    """Refuses a picture without pixels, or with more than the limit.

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
    if format_name == "TIFF":
        # libtiff takes memory for one whole tile, which may be larger than the picture.
        tags = cast("Any", opened).tag_v2
        width, height = tags.get(322), tags.get(323)
        if isinstance(width, int) and isinstance(height, int):
            check_pixels((max(width, 1), max(height, 1)), name, limits)
    elif format_name == "BLP":
        for size in _blp_jpeg_size(file):
            check_pixels(size, name, limits)
    file.pixels(bounded=not in_python)


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


def _blp_jpeg_size(file: GuardedReader) -> Iterator[tuple[int, int]]:
    """Yields the size of the JPEG picture inside a BLP1 texture, whose own header may state another."""
    file.seek(0)
    head = file.read(8)
    if head[:4] != b"BLP1" or head[4:8] != bytes(4):
        return
    from PIL.JpegImagePlugin import JpegImageFile

    file.seek(28)
    tables = struct.unpack("<33I", file.read(132))
    jpeg_header = file.read(tables[32])
    file.seek(tables[0])
    yield JpegImageFile(io.BytesIO(jpeg_header + file.read(tables[16]))).size
