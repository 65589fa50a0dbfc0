"""Files made to keep a parser busy or to fill the memory, and files that are cut off."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageFile

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.prediction import Status
from support.pictures import SECONDS, WHOLE, child_decodes, encoded, textured, tiff


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "LOAD_TRUNCATED_IMAGES"])
@pytest.mark.parametrize(("format_name", "mode", "options"), WHOLE)
def test_truncated_is_never_half_a_picture(
    format_name: str, mode: str, options: dict[str, Any], lenient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the file is cut: all the pixels, or none and a sentence."""
    data = encoded(textured(mode), format_name, **options)
    whole = decode(data).tobytes()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    refused, statuses = 0, set()
    for cut in sorted({len(data) * tenth // 20 for tenth in range(1, 20)} | {len(data) - 1, len(data) - 2}):
        try:
            assert decode(data[:cut]).tobytes() == whole, f"cut at {cut} of {len(data)}"
        except ImageError as error:
            refused += 1
            statuses.add((error.status, cut < 40))
    assert statuses <= {
        (Status.UNREADABLE, False), (Status.UNREADABLE, True),
        (Status.UNSUPPORTED_FORMAT, True),  # cut within its signature
    }  # fmt: skip
    assert refused >= 5


def repeated(piece: bytes, mebibytes: int = 100) -> bytes:
    return piece * (mebibytes * 1024 * 1024 // len(piece))


EXIF = b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", 0x9286, 7, 60_000_000, 8) * 65_535


def hostile(kind: str) -> bytes:
    jpeg, png = encoded(textured(), "JPEG"), encoded(textured(), "PNG")
    gif, progressive = encoded(textured("P"), "GIF"), encoded(textured(), "JPEG", progressive=True)
    colours = 13 + (3 << ((gif[10] & 7) + 1))
    text = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    empty = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    profile = b"k\0\0" + zlib.compress(bytes(500_000_000), 1)
    cases = {
        "jpeg-empty-segments": lambda: jpeg[:2] + repeated(b"\xff\xe5\0\2") + jpeg[2:],
        "jpeg-padding": lambda: jpeg[:2] + b"\xff" + repeated(b"\0" * 1024) + jpeg[2:],
        "jpeg-segments-between-scans": lambda: progressive[:-2] + repeated(b"\xff\xe5\0\2") + b"\xff\xd9",
        "jpeg-exif-segments": lambda: jpeg[:2] + repeated(b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) + jpeg[2:],
        "png-empty-texts": lambda: png[:33] + repeated(text) + png[33:],
        "png-empty-pixels": lambda: png[:33] + repeated(empty) + png[33:],
        "png-exif": lambda: png[:33] + struct.pack(">I", 100 << 20) + b"eXIf" + EXIF + bytes((100 << 20) - len(EXIF))
        + bytes(4) + png[33:],
        "png-profile-bomb": lambda: png[:33] + struct.pack(">I", len(profile)) + b"iCCP" + profile
        + struct.pack(">I", zlib.crc32(b"iCCP" + profile)) + png[33:],
        "gif-comments": lambda: gif[:colours] + b"!\xfe" + repeated(b"\xff" + bytes(255)) + b"\0" + gif[colours:],
        "ppm-comment": lambda: b"P6\n#" + repeated(b"a" * 1024) + b"\n8 8 255\n" + bytes(192),
        "tiff-offsets": lambda: tiff([(273, 4, 25_000_000, 200), (279, 4, 25_000_000, 200)], bytes(100 << 20)),
        "tiff-ratios": lambda: tiff([(282, 5, 12_500_000, 200)], bytes(100 << 20)),
        "text": lambda: repeated(b"one line of a very long log file\n"),
        "zeros": lambda: bytes(100 << 20),
    }  # fmt: skip
    return cases[kind]()


HOSTILE = [
    "jpeg-empty-segments", "jpeg-padding", "jpeg-segments-between-scans", "jpeg-exif-segments", "png-empty-texts",
    "png-empty-pixels", "png-exif", "png-profile-bomb", "gif-comments", "ppm-comment", "tiff-offsets",
    "tiff-ratios", "text", "zeros",
]  # fmt: skip


GOOD_PIXELS = {"jpeg-exif-segments", "png-profile-bomb", "png-exif", "tiff-ratios"}
"""What has nothing but metadata to take: its pixels are read."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file_of_100_mib_costs_little(kind: str, tmp_path: Path) -> None:
    """Made to keep a parser busy or to fill the memory: refused within seconds, in no more memory than it is long."""
    path = tmp_path / "hostile"
    path.write_bytes(hostile(kind))
    status, seconds, peak = child_decodes(path)
    path.unlink()
    assert status in (("ok",) if kind in GOOD_PIXELS else ("unreadable", "unsupported_format"))
    assert seconds < SECONDS
    assert peak < 105 << 20
