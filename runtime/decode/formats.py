"""Recognises a picture's format by its first bytes and opens it with Pillow.

Formats come from an allow list: what cameras, phones, scanners, editors and browsers write. Every parser is attack
surface, so nothing else is asked, and a plugin that runs another program (Ghostscript for EPS), hands the bytes to the
operating system (WMF) or opens nested files by rules of its own (IPTC) never is.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Callable
from typing import IO, NamedTuple, cast

from PIL import Image, ImageFile

from ..errors import ImageError
from ..installing import install_command
from ..options import Limits
from ..prediction import Status
from . import bitmaps, exif, gif, heif, jpeg, png, tiff, webp
from .costs import MOST_PIXELS_OF, check_pixels
from .inspected import Inspected, unsupported_pixels
from .reader import GuardedReader, Pieces

__all__ = ["open_picture"]


class _Format(NamedTuple):
    """A format that is read.

    Attributes:
        name: Pillow's name.
        plugin: The module of its plugin, which is imported when a file needs it.
        begins: Tells a file by its first 64 bytes.
        inspect: Looks through the file before Pillow does.
        signed: Whether a file that begins so is that format for certain, if a broken one.
    """

    name: str
    plugin: str
    begins: Callable[[bytes], bool]
    inspect: Callable[[GuardedReader, str, Limits], Inspected]
    signed: bool = True


def _as_it_is(_file: GuardedReader, _name: str, _limits: Limits) -> Inspected:
    return Inspected()


def _like_tga(head: bytes) -> bool:
    """Whether the header of a TGA, which has no signature, makes sense (Truevision TGA 2.0, header of 18 bytes)."""
    colours, kind, depth, flags = head[1:2], head[2:3], head[16:17], head[17:18]
    return (
        colours in (b"\0", b"\1")
        and kind in (b"\1", b"\2", b"\3", b"\x09", b"\x0a", b"\x0b")
        and depth in (b"\x08", b"\x0f", b"\x10", b"\x18", b"\x20", b"\1")
        and flags < b"\x40"
    )


_PNG = b"\x89PNG\r\n\x1a\n"
_ICON = b"\0\0\1\0"
_AVIF = _Format("AVIF", "AvifImagePlugin", lambda head: head[4:8] == b"ftyp", heif.inspect_avif)
_FORMATS = (
    _Format("JPEG", "JpegImagePlugin", lambda head: head.startswith(b"\xff\xd8\xff"), jpeg.inspect),
    _Format("PNG", "PngImagePlugin", lambda head: head.startswith(_PNG), png.inspect),
    _Format("GIF", "GifImagePlugin", lambda head: head.startswith((b"GIF87a", b"GIF89a")), gif.inspect),
    _Format("WEBP", "WebPImagePlugin", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", webp.inspect),
    _Format(
        "TIFF",
        "TiffImagePlugin",
        lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")),
        tiff.inspect,
    ),
    _Format("BMP", "BmpImagePlugin", lambda head: head.startswith(b"BM"), _as_it_is),
    _Format("ICO", "IcoImagePlugin", lambda head: head.startswith(_ICON), bitmaps.inspect_ico),
    _Format("PSD", "PsdImagePlugin", lambda head: head.startswith(b"8BPS"), bitmaps.inspect_psd),
    _Format(
        "DIB",
        "BmpImagePlugin",
        lambda head: head[:4] in [struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124)],
        _as_it_is,
        signed=False,
    ),
    _Format(
        "PPM",
        "PpmImagePlugin",
        lambda head: head[:1] == b"P" and head[1:2] in b"123456fF",
        bitmaps.inspect_ppm,
        signed=False,
    ),
    _Format("TGA", "TgaImagePlugin", _like_tga, _as_it_is, signed=False),
)
"""Formats without a signature last; MPO is a JPEG, APNG a PNG."""

_LOOK_READS = 256_000
_HEADER_READS = 20_000
_HEADER_BYTES = 4 << 20
_TIFF_HEADER_BYTES = 32 << 20
"""Most reads in the look through a file; most reads and bytes in the header that is left of it for Pillow. Real files
take a few hundred reads; a PNG of 256 MiB in chunks of 8 KiB takes 32,000 in the look."""

_OTHER_PICTURES = (
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
    (4, b"ftypcrx ", "a camera's raw file"),
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
    (0, b"%!PS", "an EPS or PostScript file, which only an external program could draw"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file, which only an external program could draw"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile, a drawing without pixels"),
    (40, b" EMF", "a Windows metafile, a drawing without pixels"),
    (0, b"<svg", "an SVG drawing, which has no pixels"),
    (0, b"%PDF", "a PDF document"),
    (4, b"ftyp", "a video, or another file of the MP4 family"),
    (8, b"AVI ", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
)
"""Where and by which bytes other files with a picture in them are known, and what they are."""

_OTHER_FILES = (
    (0, b"#define", "C source or an X bitmap"),
    (0, b"<?xml", "an XML file"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
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
"""The same for files without one that lie among pictures."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def open_picture(file: IO[bytes] | Pieces, name: str, limits: Limits) -> tuple[Image.Image, int]:
    """Reads a picture's header and checks its size; no pixel is decoded (but for HEIF, after the check).

    Args:
        file: The file, from its beginning, whatever its position.
        name: The picture's name in the sentence.
        limits: The limits.

    Returns:
        A picture whose pixels are still in ``file`` (a decoded one where the file is HEIF), and how they are to be
        turned, 1 (as they are) to 8, as EXIF numbers it.

    Raises:
        ImageError: ``unsupported_format``, ``unreadable`` or ``too_large``.
        Exception: Whatever Pillow's plugins raise on broken bytes, nearly every builtin; the picture is unreadable.
    """
    look = GuardedReader(file, reads=_LOOK_READS)
    head = look.read(64)
    if head[4:8] == b"ftyp":
        return _open_container(file, head, name, limits)
    if head.startswith(_ICON):
        file = _png_in_icon(file) or file
        head = GuardedReader(file, reads=_LOOK_READS).read(64)
    for format_ in _FORMATS:
        if format_.begins(head):
            try:
                return _open(format_, file, name, limits)
            except (SyntaxError, struct.error) as error:  # how Pillow's plugins say "not mine"
                if format_.signed:
                    raise ImageError(
                        Status.UNREADABLE,
                        f"{name} begins like a {format_.name} picture, but its header is broken or cut off.",
                    ) from error
            except (OSError, ValueError) as error:  # an ImageError is an OSError
                if format_.signed or isinstance(error, ImageError):
                    raise
    raise _not_a_picture(head, name)


def _open(format_: _Format, file: IO[bytes] | Pieces, name: str, limits: Limits) -> tuple[Image.Image, int]:
    inspected = format_.inspect(GuardedReader(file, reads=_LOOK_READS), name, limits)
    opened = _opened(format_, file, inspected, name)
    codecs = {str(tile[0]) for tile in opened.tile or ()}  # none where the plugin decodes by itself
    if format_.name == "TGA" and not codecs:
        raise unsupported_pixels(name, f"a variant of {format_.name}")
    check_pixels(
        opened.size, name, limits, min(MOST_PIXELS_OF.get(codec, inspected.most_pixels) for codec in {"", *codecs})
    )
    reader = cast("GuardedReader", opened.fp)
    if "bmp_rle" in codecs:
        bitmaps.check_run_lengths(reader.length() - opened.tile[0].offset, opened.size, name)
    reader.pixels(bounded=not codecs & Image.DECODERS.keys())
    return opened, inspected.orientation


def _opened(format_: _Format, file: IO[bytes] | Pieces, inspected: Inspected, name: str) -> ImageFile.ImageFile:
    """Asks one of Pillow's plugins; the same protocol as ``Image.open``, without its process-wide bomb limit."""
    if format_.name == "TGA":
        Image.init()  # or an application's own ``Image.open`` would ask its plugin, which takes anything, too early
    importlib.import_module(f"PIL.{format_.plugin}")
    factory, accept = Image.OPEN[format_.name]
    view = file if inspected.parts is None else Pieces(file, inspected.parts)
    volume = _TIFF_HEADER_BYTES if format_.name == "TIFF" else _HEADER_BYTES
    reader = GuardedReader(view, reads=_HEADER_READS, volume=volume)
    if isinstance(verdict := accept(reader.read(64)) if accept else True, str):  # built without the codec
        raise ImageError(Status.UNSUPPORTED_FORMAT, f"{name} cannot be read: {verdict}.")
    reader.seek(0)
    if format_.name == "ICO":
        reader.pixels(bounded=True)  # which its plugin decodes while it opens the file
    try:
        return factory(cast("IO[bytes]", reader), "")
    except OSError as error:
        if str(error).startswith("Unsupported BMP "):
            raise unsupported_pixels(name, str(error)[len("Unsupported ") :]) from error
        raise


def _open_container(file: IO[bytes] | Pieces, head: bytes, name: str, limits: Limits) -> tuple[Image.Image, int]:
    """Opens a file of boxes: AVIF, HEIF, or a video."""
    brands = heif.brands_of(GuardedReader(file, reads=_LOOK_READS))
    if brands & _AVIF_BRANDS:
        opened, _ = _open(_AVIF, file, name, limits)
        return opened, exif.orientation(opened.info.get("exif", b""))  # which Pillow makes of ``irot`` and ``imir``
    if brands & _HEIF_BRANDS:
        return _open_heif(file, name, limits), 1
    raise _not_a_picture(head, name)


def _not_a_picture(head: bytes, name: str) -> ImageError:
    sentence = f"{name} is not a picture in a format that can be read; if it is a picture, save it as JPEG or PNG."
    if what := _known(head, _OTHER_PICTURES):
        sentence = f"{name} is {what}, and is not read; save the picture in it as JPEG or PNG."
    elif what := _known(head, _OTHER_FILES):
        sentence = f"{name} is {what}, not a picture."
    return ImageError(Status.UNSUPPORTED_FORMAT, sentence)


def _known(head: bytes, others: tuple[tuple[int, bytes, str], ...]) -> str | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")  # a mark of UTF-8 and spaces may stand before text
    for at, signature, what in others:
        if head.startswith(signature, at) or (at == 0 and text.startswith(signature)):
            return what
    return None


def _png_in_icon(file: IO[bytes] | Pieces) -> Pieces | None:
    """Returns the PNG that is an icon's largest picture, so that it is looked through like any other, if it is one."""
    look = GuardedReader(file, reads=_LOOK_READS)
    try:
        _, at = bitmaps.largest_in_icon(look)
    except struct.error:
        return None
    png = Pieces(file, [(at, max(0, look.length() - at))])
    return png if png.read(8) == _PNG else None


def _open_heif(file: IO[bytes] | Pieces, name: str, limits: Limits) -> Image.Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            Status.UNSUPPORTED_FORMAT,
            f"{name} is a HEIC picture; to install what reads it: {install_command('heif')}",
        ) from error
    inspected = heif.inspect_heif(GuardedReader(file, reads=_LOOK_READS), name, limits)
    data = Pieces(file, inspected.parts or ()).read()
    # Not through the plugin that the package registers in Pillow: that would change Pillow for the whole
    # application, and it gives a black picture for a truncated file where LOAD_TRUNCATED_IMAGES is set.
    opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    check_pixels(opened.size, name, limits, inspected.most_pixels)
    picture = cast("Image.Image", opened.to_pillow())
    # libheif has turned it by the file's own ``irot`` and ``imir``; a camera repeats the same turn in the EXIF.
    picture.info = {}
    return picture
