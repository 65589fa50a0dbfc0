"""Recognises a picture's format by its first bytes and opens it with Pillow.

Formats come from an allow list: what cameras, phones, scanners, editors and browsers write. Every parser is attack
surface, so nothing else is asked, and a plugin that runs another program (Ghostscript for EPS), hands the bytes to the
operating system (WMF) or opens nested files by rules of its own (IPTC) never is.
"""

from __future__ import annotations

import importlib
import io
import struct
from typing import IO, cast

from PIL import Image, ImageFile

from ..errors import ImageError
from ..options import Limits
from ..prediction import Status
from . import containers
from .costs import check_pixels, pixel_cost
from .jpeg import check_jpeg
from .opening import GuardedReader

__all__ = ["open_picture"]

_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "DIB": "BmpImagePlugin",
    "PPM": "PpmImagePlugin",
    "AVIF": "AvifImagePlugin",
    "ICO": "IcoImagePlugin",
    "PSD": "PsdImagePlugin",
    "TGA": "TgaImagePlugin",  # last: it has no signature
}
"""Pillow's name of each format (MPO is a JPEG), and its plugin, which is imported when a file needs it."""

_SIGNED = frozenset({"JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "ICO", "PSD"})
"""Formats with a signature long enough that a file which bears it is that format, if a broken one."""

_HEADER = {"JPEG": (256_000, 12 << 20), "GIF": (256_000, 2 << 20), "TIFF": (256_000, 256 << 20)}
_HEADER_MOST = (256_000, 64 << 20)
_HEADER_UNSIGNED = (20_000, 1 << 20)
"""Most reads and most bytes in a header. Real ones take a few hundred reads; a TIFF directory has up to 65,535
entries. For JPEG and GIF less, because Pillow (GIF: before 13) joins EXIF segments and comments one by one, in time
that grows with the square of their number; for TIFF more, because Photoshop keeps its layers in a tag; for formats
without a signature next to nothing, because their plugins would search any long text."""

_OTHERS = (
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL picture"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"II\xbc\x01", "a JPEG XR picture"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (0, b"IIRO", "a camera's raw file"),
    (0, b"IIRS", "a camera's raw file"),
    (0, b"MMOR", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"FOVb", "a camera's raw file"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"gimp xcf", "a GIMP project"),
    (0, b"DDS ", "a DirectDraw texture"),
    (0, b"BLP", "a Blizzard texture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"icns", "a Mac icon"),
    (0, b"\0\0\2\0", "a Windows cursor"),
    (0, b"\x0a\x05\x01", "a PCX picture"),
    (0, b"\x01\xda", "an SGI picture"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster picture"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"/* XPM", "an X pixmap"),
    (0, b"#define", "an X bitmap, or C source"),
    (0, b"%!PS", "an EPS or PostScript file, which only an external program could draw"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file, which only an external program could draw"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile, a drawing without pixels"),
    (40, b" EMF", "a Windows metafile, a drawing without pixels"),
    (0, b"<svg", "an SVG drawing, which has no pixels"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<?xml", "an XML file"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (4, b"ftypcrx ", "a camera's raw file"),
    (4, b"ftyp", "a video, or another file of the MP4 family"),
    (8, b"AVI ", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"OggS", "a video or a sound"),
    (0, b"ID3", "a sound"),
    (8, b"WAVE", "a sound"),
    (0, b"PK\3\4", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "a compressed file"),
    (0, b"7z\xbc\xaf", "an archive"),
    (0, b"Rar!", "an archive"),
    (0, b"\xd0\xcf\x11\xe0", "an office document"),
    (0, b"\0\x05\x16\x07", "what macOS notes about another file (AppleDouble)"),
)
"""Where and by which bytes other files that lie among pictures are known, and what they are."""

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
    prefix = file.read(64)
    formats: tuple[str, ...] = tuple(_PLUGINS)
    if prefix[4:8] == b"ftyp":
        brands = _brands(file)
        if brands & _AVIF_BRANDS:
            formats = ("AVIF",)
        elif brands & _HEIF_BRANDS:
            return _open_heif(file, name, limits)
        else:
            formats = ()
    recognised: list[str] = []
    for format_name in formats:
        opened = _try_format(format_name, file, prefix[:16], name, limits, recognised)
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
            return None  # an older Pillow
    factory, accept = Image.OPEN[format_name]
    try:
        verdict = accept(prefix) if accept else True
        if isinstance(verdict, str):  # recognised, but this Pillow was built without the codec
            raise ImageError(Status.UNSUPPORTED_FORMAT, f"{name} cannot be read: {verdict}.")
        if not verdict:
            return None
        if format_name in _SIGNED:
            recognised.append(format_name)
        file.header(*_HEADER.get(format_name, _HEADER_MOST if accept else _HEADER_UNSIGNED))
        _check_before(format_name, file, name, limits)
        if format_name == "ICO":
            file.pixels(bounded=True)  # which its plugin decodes while it opens the file
        file.seek(0)
        return factory(cast("IO[bytes]", file), "")
    except (SyntaxError, IndexError, TypeError, struct.error):
        return None  # "not mine", in the protocol of Pillow's plugins
    except (OSError, ValueError):
        # A plugin without a signature tries its luck on any text; one with a signature means what it says.
        if format_name in _SIGNED:
            raise
        return None


def _check_before(format_name: str, file: GuardedReader, name: str, limits: Limits) -> None:
    """Checks what a plugin would act upon before it tells the picture's size."""
    if format_name == "ICO":
        containers.check_ico(file, name, limits)
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
    if format_name == "JPEG":
        check_jpeg(file, opened.size, name, limits)
    elif format_name == "TIFF":
        containers.check_tiff_tiles(getattr(opened, "tag_v2", {}), file, opened.size, name, limits)
    file.pixels(bounded=not in_python)


def _not_identified(prefix: bytes, recognised: list[str], name: str) -> ImageError:
    if recognised:
        return ImageError(
            Status.UNREADABLE,
            f"{name} begins like a {recognised[0]} picture, but its header is broken or cut off.",
        )
    text = prefix.lstrip(b"\xef\xbb\xbf \t\r\n")  # a mark of UTF-8 and spaces may stand before text
    for at, signature, what in _OTHERS:
        if prefix.startswith(signature, at) or (at == 0 and text.startswith(signature)):
            return ImageError(
                Status.UNSUPPORTED_FORMAT, f"{name} is {what}; if there is a picture in it, save that as JPEG or PNG."
            )
    return ImageError(
        Status.UNSUPPORTED_FORMAT,
        f"{name} is not a picture in a format that can be read; save it as JPEG or PNG if it is a picture.",
    )


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
