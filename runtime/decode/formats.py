"""Which picture formats are read, by which of Pillow's plugins, and how a file is opened.

Formats are found by content, never by file name, and from a list: a plugin that runs another program (Ghostscript for
EPS), hands the bytes to the operating system (WMF), or opens nested files by rules of its own (IPTC) is never asked.
"""

from __future__ import annotations

import importlib
import io
import struct
from typing import IO, cast

from PIL import Image, ImageFile

from ..errors import ImageError
from ..limits import Limits
from ..prediction import Status
from . import containers
from .costs import check_pixels, pixel_cost
from .jpeg import check_jpeg
from .jpeg2000 import check_jpeg2000
from .opening import GuardedReader

__all__ = ["open_picture"]

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


def open_picture(file: GuardedReader, name: str, limits: Limits) -> Image.Image:
    """Reads a picture's header and checks its size; no pixel is decoded (but for HEIF, after the check).

    Args:
        file: The file, from its beginning, whatever its position.
        name: The picture's name in the sentence.
        limits: The limits.

    Returns:
        A picture whose pixels are still in ``file``; a decoded one, without metadata, where the file is HEIF.

    Raises:
        ImageError: ``unsupported_format``, ``unreadable`` or ``too_large``.
        Exception: Whatever Pillow's plugins raise on broken bytes, nearly every builtin; the picture is unreadable.
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


def _check_before(format_name: str, file: GuardedReader, name: str, limits: Limits) -> None:
    """Checks what a plugin would act upon before it tells the picture's size."""
    if format_name == "ICO":
        containers.check_ico(file, name, limits)
    elif format_name == "ICNS":
        containers.check_icns(file, name, limits)
    elif format_name == "TIFF":
        containers.check_tiff_directory(file, name)


def _check_opened(
    opened: ImageFile.ImageFile, format_name: str, file: GuardedReader, name: str, limits: Limits
) -> None:
    """Checks the size that a plugin found, by its format's cost, and what else decoding may cost."""
    codecs = {str(tile[0]) for tile in opened.tile or ()}  # None for an icon, in Pillow before 11
    in_python = codecs & Image.DECODERS.keys()
    check_pixels(opened.size, name, limits, pixel_cost(format_name, in_python))
    file.pixels(bounded=True)
    if format_name in ("JPEG", "MPO"):
        check_jpeg(file, opened.size, name, limits)
    elif (tags := getattr(opened, "tag_v2", None)) is not None:  # a TIFF, or the one inside a MIC
        containers.check_tiff_tiles(tags, cast("IO[bytes]", opened.fp), opened.size, name, limits)
    elif format_name == "JPEG2000":
        check_jpeg2000(file, 0, name, limits)
    elif format_name == "BLP":
        containers.check_blp(file, name, limits)
    elif format_name == "FPX":
        containers.check_fpx(opened, name)
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
