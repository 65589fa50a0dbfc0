"""Metadata: it tells the orientation, costs next to nothing, and never makes good pixels unreadable."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.decode.exif import orientation
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.prediction import Status
from support.pictures import encoded, textured

TURNED = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def exif_of(value: int, *, order: str = ">", kind: int = 3, before: int = 0, count: int = 1) -> bytes:
    """Returns EXIF whose first directory has an orientation behind so many other tags."""
    field = struct.pack(order + ("H2x" if kind == 3 else "I"), value)
    tags = [struct.pack(order + "HHI4x", 270, 2, 1)] * before + [struct.pack(order + "HHI", 274, kind, count) + field]
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(tags)) + b"".join(tags) + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_is_read_from_the_first_directory(value: int, kind: int, order: str) -> None:
    exif = exif_of(value, order=order, kind=kind, before=value)
    assert orientation(exif) == orientation(b"Exif\0\0" + exif) == value
    assert orientation(exif, TURNED) == value, "EXIF counts before XMP"


@pytest.mark.parametrize(
    "exif",
    [
        b"", b"Exif\0\0", b"MM", b"MM\0*\0\0", b"MM\0*\xff\xff\xff\xff" + bytes(99), b"XX\0*\0\0\0\x08" + bytes(99),
        exif_of(3)[:18], exif_of(3, kind=4, count=9), exif_of(3, kind=4)[:20], b"MM\0*\0\0\0\x08\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 9,
    ],
)  # fmt: skip
def test_broken_exif_says_nothing(exif: bytes) -> None:
    assert orientation(exif) == 1
    assert orientation(exif, TURNED) == 6


@pytest.mark.parametrize("value", [0, 9, 99, 65_535])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    assert orientation(exif_of(value), TURNED) == 1


def test_xmp_is_searched_in_bounded_time() -> None:
    assert orientation(b"", b" " * 1_000_000 + TURNED) == 6
    assert orientation(b"", b"<tiff:Orientation>8</tiff:Orientation>") == 8
    assert orientation(b"", b"tiff:Orientation=" * 1_000_000) == 1
    assert orientation(b"", b" " * (5 << 20) + TURNED) == 1


# PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = encoded(textured(), "PNG")
PIXELS = decode(PNG).tobytes()
EXIF_60_MB = exif_of(1) + bytes(60_000_000)


def with_chunk(data: bytes, *, behind: bool = False) -> bytes:
    return PNG[:-12] + data + PNG[-12:] if behind else PNG[:33] + data + PNG[33:]


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize(
    "data",
    [
        chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(1_300_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x" * 1_500_000)),
        chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(b"x" * 1_500_000)),
        chunk(b"eXIf", EXIF_60_MB[:2_000_000]),
        chunk(b"tEXt", b"Comment"), chunk(b"tEXt", b"\xff\0\xff"), chunk(b"iTXt", b"XML:com.adobe.xmp"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"), chunk(b"zTXt", b"k\0\7odd"), chunk(b"iCCP", b"k\0"),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 8\nzz"), chunk(b"pHYs", b""), chunk(b"gAMA", b"\0"),
        chunk(b"acTL", struct.pack(">II", 5, 0)), chunk(b"fcTL", bytes(26)), chunk(b"fdAT", b""), chunk(b"tRNS", b""),
        chunk(b"cHRM", b"short"), chunk(b"tEXt", b"k\0v")[:-4] + b"\0\0\0\0", chunk(b"abCD", bytes(100)),
    ],
    ids=lambda data: f"{data[4:8].decode()}-{len(data)}",
)  # fmt: skip
def test_metadata_of_a_png_never_makes_its_pixels_unreadable(data: bytes, behind: bool) -> None:
    """Too large, broken, in the wrong place: what no viewer minds."""
    assert decode(with_chunk(data, behind=behind)).tobytes() == PIXELS


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize(
    "data",
    [
        chunk(b"eXIf", exif_of(6)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + TURNED),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(TURNED)),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  40\n" + exif_of(6).hex().encode())),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  40\n" + exif_of(6).hex().encode()),
    ],
    ids=["eXIf", "iTXt", "compressed-iTXt", "zTXt", "tEXt"],
)
def test_orientation_of_a_png(data: bytes, behind: bool) -> None:
    upright = Image.open(io.BytesIO(PNG)).convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert decode(with_chunk(data, behind=behind)).tobytes() == upright.tobytes()


def test_an_animation_costs_its_first_picture() -> None:
    """With Pillow before 13, 133 bytes took 3.4 GiB when they were opened."""
    frame = struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0)
    assert decode(with_chunk(chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame))).tobytes() == PIXELS


def test_a_png_of_apples_tools_is_named() -> None:
    with pytest.raises(ImageError, match="Apple") as caught:
        decode(PNG[:8] + chunk(b"CgBI", b"P\0 \6") + PNG[8:])
    assert caught.value.status is Status.UNSUPPORTED_FORMAT


def test_pixels_in_many_chunks_are_one_picture() -> None:
    at = PNG.index(b"IDAT")
    (length,) = struct.unpack_from(">I", PNG, at - 4)
    data = PNG[at + 4 : at + 4 + length]
    pieces = [chunk(b"IDAT", data[start : start + 100]) for start in range(0, length, 100)]
    assert decode(PNG[: at - 4] + b"".join(pieces) + PNG[-12:]).tobytes() == PIXELS
    assert decode(PNG[: at - 4] + chunk(b"tIME", bytes(7)).join(pieces) + PNG[-12:]).tobytes() == PIXELS


# JPEG, WebP, GIF


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


JPEG = encoded(textured(), "JPEG")


@pytest.mark.parametrize(
    "data",
    [
        segment(0xE1, b"Exif\0\0" + exif_of(1) + bytes(60_000)) * 500, segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(9)),
        segment(0xE2, b"MPF\0" + bytes(60)), segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 99), segment(0xFE, b"c" * 9),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 9), segment(0xEB, b"JP" + bytes(65_000)) * 300,
    ],
    ids=["exif", "icc", "mpf", "photoshop", "comment", "xmp", "jumbf"],
)  # fmt: skip
def test_metadata_of_a_jpeg_never_makes_its_pixels_unreadable(data: bytes) -> None:
    assert decode(JPEG[:2] + data + JPEG[2:]).tobytes() == decode(JPEG).tobytes()
    assert decode(JPEG[:20] + data + JPEG[20:]).tobytes() == decode(JPEG).tobytes()


@pytest.mark.parametrize("before", [b"", segment(0xFE, b"first"), b"\xff\xff\xff"], ids=["first", "second", "filled"])
@pytest.mark.parametrize(
    "data",
    [segment(0xE1, b"Exif\0\0" + exif_of(6)), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + TURNED)],
    ids=["exif", "xmp"],
)
def test_orientation_of_a_jpeg(data: bytes, before: bytes) -> None:
    upright = Image.open(io.BytesIO(JPEG)).convert("RGB").transpose(Image.Transpose.ROTATE_270)
    assert decode(JPEG[:2] + before + data + JPEG[2:]).tobytes() == upright.tobytes()


@pytest.mark.parametrize(("precision", "components", "marker"), [(12, 3, 0xC1), (8, 2, 0xC0), (8, 3, 0xC5)])
def test_samples_of_a_jpeg_that_are_not_read_are_named(precision: int, components: int, marker: int) -> None:
    frame = segment(marker, struct.pack(">BHHB", precision, 8, 8, components) + bytes(3 * components))
    with pytest.raises(ImageError, match="JPEG") as caught:
        decode(b"\xff\xd8" + frame + b"\xff\xd9")
    assert caught.value.status is Status.UNSUPPORTED_FORMAT


def test_metadata_and_further_frames_of_a_webp_are_left_out() -> None:
    frames = [textured(), textured().rotate(90)]
    options: dict[str, Any] = {"lossless": True, "save_all": True, "append_images": frames[1:]}
    data = encoded(frames[0], "WEBP", exif=b"Exif\0\0" + exif_of(6), **options)
    body = data[12:] + b"EXIF" + struct.pack("<I", 3_000_000) + bytes(3_000_000) + b"XMP \xff\xff\0\0" + bytes(65_536)
    got = decode(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    assert got.tobytes() == decode(data[:4] + struct.pack("<I", len(data) - 8) + data[8:]).tobytes()
    assert got.size == (120, 160)


def test_comments_and_extensions_of_a_gif_are_left_out() -> None:
    """Pillow before 13 joined comments one by one, in time that grows with the square of their number."""
    data = encoded(textured("P"), "GIF")
    colours = 13 + (3 << ((data[10] & 7) + 1))
    blocks = (b"\xff" + bytes(255)) * 40_000 + b"\0"
    for extension in (b"!\xfe" + blocks, b"!\xff\x0bXMP DataXMP" + blocks, b"!\xfe\0" * 1000):
        assert decode(data[:colours] + extension + data[colours:]).tobytes() == decode(data).tobytes()
