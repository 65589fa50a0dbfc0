"""Mutated pictures: a picture or a sentence, never another exception, a crash or a hang.

Each format of the list is a target with a small corpus of its own. By default a few cases of each; with ``--slow``
24,000 together, or as many as ``FUZZ_COUNT`` says. Every case is named by its format and number:
``python tests/runtime/decode/test_fuzz.py FIRST COUNT [FORMAT ...]`` runs a range of each format (or of those named),
``... save FORMAT NUMBER FILE`` writes one down.

The cases run in child processes, so that a crash of a decoder is a failed test and not the end of the test run.
"""

from __future__ import annotations

import functools
import io
import os
import random
import signal
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status
from support.made_heif import Item, av1, container, full, grid, hevc
from support.made_tiff import Kind, write
from support.pictures import plain, psd

SEED = 20_26
FEW, MANY = 60, 24_000
BATCH = 2_000
MOST_MIB = 600
"""Memory that a child may take at its peak, with all it has imported."""
SECONDS_PER_CASE = 10
LIMITS = Limits(max_bytes=4 << 20, max_pixels=4_000_000)


def textured(mode: str, seed: int) -> Image.Image:
    """Returns 90 x 70 pixels of smooth noise."""
    noise = Image.frombytes("RGBA", (16, 12), random.Random(seed).randbytes(16 * 12 * 4))
    picture = noise.resize((90, 70), Image.Resampling.BICUBIC)
    if mode == "1":
        return picture.convert("L").convert("1")
    if mode == "I;16":
        return Image.frombytes("I;16", (90, 70), random.Random(seed).randbytes(90 * 70 * 2))
    return picture.convert(mode)


def written(name: str, mode: str, seed: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    textured(mode, seed).save(buffer, name, **options)
    return buffer.getvalue()


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112], found[0x010F] = 6, "camera"
    return found


def jpegs() -> list[bytes]:
    return [
        written("JPEG", "RGB", 0, exif=exif().tobytes(), icc_profile=bytes(300)),
        written("JPEG", "RGB", 1, progressive=True, subsampling=0),
        written("JPEG", "L", 2, restart_marker_blocks=2),
        written("JPEG", "CMYK", 3),
        written("MPO", "RGB", 4, save_all=True, append_images=[textured("RGB", 5)]),
    ]


def pngs() -> list[bytes]:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>', zip=True)
    text.add_text("Raw profile type exif", "\nexif\n  8\n4d4d002a00000008", zip=True)
    return [
        written("PNG", "RGB", 4, exif=exif().tobytes()),
        written("PNG", "P", 5, transparency=bytes(range(200))),
        written("PNG", "RGBA", 6, save_all=True, append_images=[textured("RGBA", 9)]),
        written("PNG", "I;16", 7),
        written("PNG", "1", 8, bits=1, pnginfo=text),
    ]


def gifs() -> list[bytes]:
    return [
        written("GIF", "P", 12),
        written("GIF", "P", 13, save_all=True, append_images=[textured("P", 9)], transparency=3),
        written("GIF", "L", 14, interlace=1, comment=b"a comment"),
    ]


def webps() -> list[bytes]:
    return [
        written("WEBP", "RGB", 9, exif=exif().tobytes()),
        written("WEBP", "RGBA", 10, lossless=True),
        written("WEBP", "RGBA", 11, save_all=True, append_images=[textured("RGBA", 9)]),
    ]


def tiffs() -> list[bytes]:
    samples = np.asarray(textured("RGB", 3)).astype(np.int64)
    return [
        written("TIFF", "RGB", 15, exif=exif()),
        written("TIFF", "RGB", 16, compression="tiff_lzw"),
        written("TIFF", "CMYK", 17, compression="tiff_deflate"),
        written("TIFF", "RGB", 18, compression="jpeg"),
        written("TIFF", "1", 19, compression="group4"),
        written("TIFF", "I;16", 20),
        written("TIFF", "P", 21, compression="packbits", save_all=True, append_images=[textured("P", 9)]),
        written("TIFF", "RGB", 22, big_tiff=True),
        write(samples, Kind(planar=2, rows=16)),
        write(samples * 257, Kind(bits=16, tile=32, compression=8, order=">")),
    ]


def bitmaps() -> list[bytes]:
    runs = b"".join(bytes([9, each]) for each in range(10)) + b"\0\0"
    rle = struct.pack("<IiiHHIIiiII", 40, 90, 70, 1, 8, 1, 0, 0, 0, 0, 0) + bytes(range(256)) * 4 + runs * 70 + b"\0\1"
    return [
        written("BMP", "RGB", 23), written("BMP", "P", 24), written("BMP", "1", 25), written("BMP", "RGBA", 26),
        b"BM" + struct.pack("<III", 14 + len(rle), 0, 14 + 40 + 1024) + rle,
        written("DIB", "RGB", 27), rle,
    ]  # fmt: skip


def ppms() -> list[bytes]:
    text = plain(textured("RGB", 28), comment=b"# one\n")
    bits = b"P1\n90 70\n" + b"01" * (90 * 35)
    return [
        written("PPM", "RGB", 29), written("PPM", "L", 30), written("PPM", "I;16", 31), written("PPM", "1", 32),
        text, bits, b"P6\n90 70\n100\n" + bytes(90 * 70 * 3),
    ]  # fmt: skip


def tgas() -> list[bytes]:
    return [
        written("TGA", mode, 33, compression=each) for mode in ("RGB", "RGBA", "P", "L") for each in (None, "tga_rle")
    ]


def psds() -> list[bytes]:
    return [psd(8, 3, 3), psd(8, 4, 5), psd(8, 1, 1), psd(1, 0, 1)]


def icons() -> list[bytes]:
    small = {"sizes": [(32, 32), (48, 48)]}
    return [written("ICO", "RGBA", 34, **small), written("ICO", "RGBA", 35, bitmap_format="bmp", **small)]


def avifs() -> list[bytes]:
    tile = av1(textured("RGB", 36).resize((64, 64)))
    return [
        written("AVIF", "RGB", 37), written("AVIF", "RGBA", 38),
        written("AVIF", "RGB", 39, save_all=True, append_images=[textured("RGB", 9)]),
        container(b"avif", [grid(1, 2, 128, 64), tile, tile, Item(b"Exif", bytes(40))], [(b"dimg", 1, [2, 3])]),
    ]  # fmt: skip


def heics() -> list[bytes]:
    tile, mask = (hevc(textured(mode, 40).resize((64, 64))) for mode in ("RGB", "L"))
    mask = replace(mask, properties=(*mask.properties, full(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0")))
    return [
        container(b"heic", [hevc(textured("RGB", 41))]),
        container(b"heic", [tile, mask], [(b"auxl", 2, [1])]),
        container(b"heic", [grid(1, 2, 128, 64), tile, tile, Item(b"Exif", bytes(40))], [(b"dimg", 1, [2, 3])]),
    ]


TARGETS: dict[str, Callable[[], list[bytes]]] = {
    "JPEG": jpegs, "PNG": pngs, "GIF": gifs, "WEBP": webps, "TIFF": tiffs, "BMP": bitmaps, "PPM": ppms, "TGA": tgas,
    "PSD": psds, "ICO": icons, "AVIF": avifs, "HEIC": heics,
}  # fmt: skip
"""The whole pictures that are mutated, by format."""

seeds = functools.cache(lambda target: tuple(TARGETS[target]()))


INTERESTING = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 5, 20, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def edit_header(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 3))):
        layout = rng.choice((">H", "<H", ">I", "<I", "B"))
        size = struct.calcsize(layout)
        at = rng.randrange(min(len(data), rng.choice((32, 128, 600))) - size)
        struct.pack_into(layout, data, at, rng.choice(INTERESTING) & ((1 << 8 * size) - 1))


def edit_tail(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(max(0, len(data) - 300), len(data) - 4)  # libtiff writes its directory last
    struct.pack_into(rng.choice((">I", "<I")), data, at, rng.choice(INTERESTING))


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def remove(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 2, 16, 200))]


def duplicate(data: bytearray, rng: random.Random) -> None:
    at, length = rng.randrange(len(data)), rng.choice((1, 4, 32, 500))
    data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))


SPLICED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "PSD", "ICO")
"""What every Pillow can write."""


def splice(data: bytearray, rng: random.Random) -> None:
    other = rng.choice(seeds(rng.choice(SPLICED)))
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def fill(data: bytearray, rng: random.Random) -> None:
    at, length = rng.randrange(len(data)), rng.choice((4, 64, 1000))
    piece = data[at : at + length]
    data[at : at + length] = bytes([rng.choice((0, 255, rng.randrange(256)))]) * len(piece)


MUTATIONS = (flip, overwrite, edit_header, edit_header, edit_tail, truncate, remove, duplicate, splice, fill)


def right_checksums(data: bytearray) -> None:
    """Makes a mutated PNG's checksums right again, or every mutation would end there."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(bytes(data[at + 4 : end])))
        at = end + 4


def case(target: str, number: int) -> bytes:
    """Returns the mutated picture of that number, the same on every machine with the same Pillow."""
    rng = random.Random(SEED * 1_000_003 + number)
    data = bytearray(seeds(target)[number % len(seeds(target))])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) > 16:
            rng.choice(MUTATIONS)(data, rng)
    if target == "PNG" and rng.random() < 0.8:
        right_checksums(data)
    return bytes(data)


def run(target: str, number: int) -> str:
    """Decodes one case and returns its status; raises for anything but a picture or a sentence."""
    try:
        picture = decode(case(target, number), LIMITS)
    except ImageError as error:
        refused = error
    else:
        return checked(picture)
    assert refused.message.isprintable()
    assert refused.status in (Status.UNREADABLE, Status.UNSUPPORTED_FORMAT, Status.TOO_LARGE)
    return refused.status.value


def checked(picture: Image.Image) -> str:
    """Returns ``ok`` for an RGB picture within the limits, all of whose pixels can be read."""
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= LIMITS.max_pixels
    assert len(picture.tobytes()) == picture.width * picture.height * 3
    return "ok"


def child(target: str, first: int, count: int) -> None:
    """Runs a range of cases and prints how many had which outcome; names the case that goes wrong."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"took more than {SECONDS_PER_CASE} s")

    signal.signal(signal.SIGALRM, late)
    warnings.simplefilter("ignore")
    tally: dict[str, int] = {}
    for number in range(first, first + count):
        print(f"{target} case {number}", end="\r", flush=True)
        signal.alarm(SECONDS_PER_CASE)
        try:
            outcome = run(target, number)
        except BaseException as error:
            print(f"{target} case {number}: {type(error).__name__}: {error}", flush=True)
            raise
        signal.alarm(0)
        tally[outcome] = tally.get(outcome, 0) + 1
    print("\ntally", " ".join(f"{name}={count}" for name, count in sorted(tally.items())), f"peak_mib={peak_mib()}")


def peak_mib() -> int:
    """Returns this process's memory at its peak, or 0 where the system does not tell."""
    status = Path("/proc/self/status")  # getrusage would count what the parent had before this program began
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")), 0)


def tally_of(target: str, first: int, count: int) -> dict[str, int]:
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, __file__, str(first), str(count), target]
    done = subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, errors="replace", timeout=120 + count
    )
    last = done.stdout.replace("\r", "\n").strip().splitlines()[-1:]
    assert done.returncode == 0, f"{last} (exit {done.returncode})\n{done.stderr[-3000:]}"
    assert last
    assert last[0].startswith("tally"), last
    tally = {name: int(number) for name, _, number in (item.partition("=") for item in last[0].split()[1:])}
    assert tally.pop("peak_mib") < MOST_MIB
    return tally


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_whole_pictures(target: str) -> None:
    for data in seeds(target):
        assert decode(data, LIMITS).width * decode(data, LIMITS).height >= 600


@pytest.mark.parametrize("target", TARGETS)
def test_few_mutated_pictures(target: str) -> None:
    seeds(target)  # skips where its encoder is absent
    tally = tally_of(target, 0, FEW)
    assert sum(tally.values()) == FEW
    # Neither a fuzz that breaks nothing nor one that breaks everything tests a decoder.
    assert tally["ok"] > FEW // 20
    assert tally["ok"] < FEW * 19 // 20


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_mutated_pictures(target: str) -> None:
    seeds(target)
    count = int(os.environ.get("FUZZ_COUNT", MANY)) // len(TARGETS)
    for first in range(0, count, BATCH):
        part = min(BATCH, count - first)
        assert sum(tally_of(target, first, part).values()) == part


def test_cases_are_the_same_every_time() -> None:
    cases = [zlib.crc32(case("JPEG", number)) for number in range(300)]
    assert cases == [zlib.crc32(case("JPEG", number)) for number in range(300)]
    assert len(set(cases)) > 290


def main(words: list[str]) -> None:
    """Runs a range of cases of each format, or of the formats named; or writes one down."""
    if words[0] == "save":
        target, number, path = words[1:]
        Path(path).write_bytes(case(target, int(number)))
        return
    for target in words[2:] or TARGETS:
        child(target, int(words[0]), int(words[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
