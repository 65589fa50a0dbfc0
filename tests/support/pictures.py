"""Pictures to decode, and what becomes of them."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.options import Limits
from support import ROOT

SECONDS = 10.0


def failure(source: Any, limits: Limits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(source, limits or Limits())
    error = caught.value
    assert error.message.endswith((".", "'."))
    assert "\n" not in error.message
    if isinstance(source, (str, Path)):
        assert Path(source).name.encode("unicode_escape").decode() in error.message or str(source) == ""
    return error


def encoded(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def textured(mode: str = "RGB", size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Something that does not compress to nothing, the same every time."""
    noise = np.random.default_rng(1).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA").resize(size, Image.Resampling.BICUBIC)
    return picture.convert("L").convert("1") if mode == "1" else picture.convert(mode)


WHOLE = [
    ("JPEG", "RGB", {}), ("JPEG", "L", {}), ("JPEG", "CMYK", {}), ("JPEG", "RGB", {"progressive": True}),
    ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "LA", {}), ("PNG", "1", {}),
    ("GIF", "P", {}), ("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True}),
    ("TIFF", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "RGB", {"compression": "tiff_deflate"}), ("TIFF", "1", {"compression": "group4"}),
    ("BMP", "RGB", {}), ("TGA", "RGB", {"compression": "tga_rle"}), ("PPM", "RGB", {}),
    ("DIB", "RGB", {}), ("AVIF", "RGB", {}), ("ICO", "RGBA", {}), ("ICO", "RGBA", {"bitmap_format": "bmp"}),
    ("MPO", "RGB", {}),
]  # fmt: skip


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def jpeg_with_scans(picture: Image.Image, more: int, **options: Any) -> bytes:
    """Returns a progressive JPEG whose last scan is repeated so many times."""
    data = encoded(picture, "JPEG", progressive=True, **options)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * more + data[-2:]


GREY = Image.new("L", (64, 64), 128)


SCANS = encoded(GREY, "JPEG", progressive=True).count(b"\xff\xda")


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Returns a JPEG whose header states another size; what its scans lack is grey."""
    at = next(at for at in range(len(jpeg)) if jpeg[at] == 0xFF and jpeg[at + 1] in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)) + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    basic = {256: (3, 1, 64), 257: (3, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
             277: (3, 1, 1), 278: (3, 1, 64), 279: (4, 1, 4096)}  # fmt: skip
    basic.update({tag: (kind, count, value) for tag, kind, count, value in entries})
    directory = b"".join(struct.pack("<HHII", tag, *basic[tag]) for tag in sorted(basic))
    return b"II*\0" + struct.pack("<IH", 8, len(basic)) + directory + bytes(4) + tail


def sequential(
    components: int, scans: list[tuple[int, ...]], size: tuple[int, int] = (64, 64), frame: int = 0xC1
) -> bytes:
    """Returns a sequential JPEG of scans without data, each of some of the components."""
    segment = lambda kind, data: b"\xff" + bytes([kind]) + struct.pack(">H", len(data) + 2) + data  # noqa: E731
    codes = bytes([0, 3, *[0] * 14]) + bytes([0, 1, 2])
    return (
        b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC4, b"\0" + codes) + segment(0xC4, b"\x10" + codes)
        + segment(frame, struct.pack(">BHHB", 8, size[1], size[0], components)
                  + b"".join(bytes([number + 1, 0x11, 0]) for number in range(components)))
        + b"".join(segment(0xDA, bytes([len(scan)]) + b"".join(bytes([c, 0]) for c in scan) + b"\0\x3f\0")
                   for scan in scans) + b"\xff\xd9"
    )  # fmt: skip


def plain(picture: Image.Image, *, comment: bytes = b"") -> bytes:
    """Returns a picture of the PPM family in text, with a comment in each line."""
    samples = np.asarray(picture)
    magic = b"P3" if picture.mode == "RGB" else b"P2"
    lines = (b" ".join(b"%d" % each for each in row.flat) for row in samples)
    return magic + b"\n# made by hand\n%d %d\n255\n" % picture.size + (b"\n" + comment).join(lines) + b"\n"


def psd(
    bits: int, colour: int, channels: int, *, compression: int = 0, version: int = 1, resources: int = 1000
) -> bytes:
    """Returns a Photoshop file of 30 x 20 pixels."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", version, channels, 20, 30, bits, colour)
    pixels = bytes(range(200)) * (3 * channels) * max(1, bits // 8)
    return (
        head + bytes(4) + struct.pack(">I", resources) + bytes(resources + 4) + struct.pack(">H", compression) + pixels
    )


MEASURE = """
import json, sys, time
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
before, begun = peak(), time.process_time()
try:
    decode(sys.argv[1])
    status = "ok"
except ImageError as error:
    status = error.status.value
print(json.dumps([status, time.process_time() - begun, peak() - before]))
"""


def child_decodes(path: Path, *arguments: str) -> tuple[str, float, int]:
    """Returns status, CPU seconds and memory in bytes at the peak of a decode in a process of its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    status, seconds, peak = json.loads(done.stdout)
    return status, seconds, peak
