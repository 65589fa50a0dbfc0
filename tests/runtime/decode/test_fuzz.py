"""Mutated pictures: a picture or a sentence, never another exception, a crash or a hang.

By default a few hundred; 20,000 with ``--slow`` or as many as ``FUZZ_COUNT`` says. Every case is named by its number:
``python tests/runtime/test_fuzz.py FIRST COUNT`` runs a range again, ``... save NUMBER FILE`` writes one down.

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
import time
import zlib
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from PIL import Image

from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError
from gender_classifier.runtime.options import Limits
from gender_classifier.runtime.prediction import Status

SEED = 20_26
FEW, MANY = 400, 20_000
BATCH = 2_000
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


@functools.cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """The whole pictures that are mutated: name of the format and bytes."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    plans: list[tuple[str, str, dict[str, Any]]] = [
        ("JPEG", "RGB", {"exif": exif.tobytes(), "icc_profile": bytes(300)}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("JPEG", "L", {"restart_marker_blocks": 2}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {"exif": exif.tobytes()}),
        ("PNG", "P", {"transparency": bytes(range(200))}),
        ("PNG", "RGBA", {"save_all": True, "append_images": [textured("RGBA", 9)]}),
        ("PNG", "I;16", {}),
        ("PNG", "1", {"bits": 1}),
        ("WEBP", "RGB", {"exif": exif.tobytes()}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGBA", {"save_all": True, "append_images": [textured("RGBA", 9)]}),
        ("GIF", "P", {}),
        ("GIF", "P", {"save_all": True, "append_images": [textured("P", 9)], "transparency": 3}),
        ("GIF", "L", {"interlace": 1, "comment": b"a comment"}),
        ("TIFF", "RGB", {"exif": exif}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "CMYK", {"compression": "tiff_deflate"}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
        ("TIFF", "1", {"compression": "group4"}),
        ("TIFF", "I;16", {}),
        ("TIFF", "P", {"compression": "packbits", "save_all": True, "append_images": [textured("P", 9)]}),
    ]
    made = []
    for number, (name, mode, options) in enumerate(plans):
        buffer = io.BytesIO()
        textured(mode, number).save(buffer, name, **options)
        made.append((name, buffer.getvalue()))
    return tuple(made)


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


def splice(data: bytearray, rng: random.Random) -> None:
    other = rng.choice(seeds())[1]
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


def case(number: int) -> bytes:
    """Returns the mutated picture of that number, the same on every machine with the same Pillow."""
    rng = random.Random(SEED * 1_000_003 + number)
    name, whole = seeds()[number % len(seeds())]
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) > 16:
            rng.choice(MUTATIONS)(data, rng)
    if name == "PNG" and rng.random() < 0.8:
        right_checksums(data)
    return bytes(data)


def run(number: int) -> str:
    """Decodes one case and returns its status; raises for anything but a picture or a sentence."""
    try:
        picture = decode(case(number), LIMITS)
    except ImageError as error:
        refused = error
    else:
        return checked(picture)
    assert refused.message.endswith(".")
    assert "\n" not in refused.message
    assert refused.status in (Status.UNREADABLE, Status.UNSUPPORTED_FORMAT, Status.TOO_LARGE)
    return refused.status.value


def checked(picture: Image.Image) -> str:
    """Returns ``ok`` for an RGB picture within the limits, all of whose pixels can be read."""
    assert picture.mode == "RGB"
    assert 0 < picture.width * picture.height <= LIMITS.max_pixels
    assert len(picture.tobytes()) == picture.width * picture.height * 3
    return "ok"


def child(first: int, count: int) -> None:
    """Runs a range of cases and prints how many had which outcome; names the case that goes wrong."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"took more than {SECONDS_PER_CASE} s")

    signal.signal(signal.SIGALRM, late)
    tally: dict[str, int] = {}
    for number in range(first, first + count):
        print(f"case {number}", end="\r", flush=True)
        signal.alarm(SECONDS_PER_CASE)
        try:
            outcome = run(number)
        except BaseException as error:
            print(f"case {number}: {type(error).__name__}: {error}", flush=True)
            raise
        signal.alarm(0)
        tally[outcome] = tally.get(outcome, 0) + 1
    print("\ntally", " ".join(f"{name}={count}" for name, count in sorted(tally.items())))


def tally_of(first: int, count: int) -> dict[str, int]:
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, __file__, str(first), str(count)]
    begun = time.monotonic()
    done = subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, errors="replace", timeout=60 + count
    )
    last = done.stdout.replace("\r", "\n").strip().splitlines()[-1:]
    assert done.returncode == 0, f"{last} (exit {done.returncode})\n{done.stderr[-3000:]}"
    assert last
    assert last[0].startswith("tally"), last
    assert time.monotonic() - begun < 60 + count
    return {name: int(number) for name, _, number in (item.partition("=") for item in last[0].split()[1:])}


def test_few_mutated_pictures() -> None:
    tally = tally_of(0, FEW)
    assert sum(tally.values()) == FEW
    # Neither a fuzz that breaks nothing nor one that breaks everything tests a decoder.
    assert tally["ok"] > FEW // 20
    assert tally["unreadable"] > FEW // 20


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, int(os.environ.get("FUZZ_COUNT", MANY)), BATCH))
def test_mutated_pictures(first: int) -> None:
    count = min(BATCH, int(os.environ.get("FUZZ_COUNT", MANY)) - first)
    assert sum(tally_of(first, count).values()) == count


@pytest.mark.parametrize("number", range(len(seeds())))
def test_seeds_are_whole_pictures(number: int) -> None:
    assert decode(seeds()[number][1], LIMITS).size in ((90, 70), (70, 90))


def test_cases_are_the_same_every_time() -> None:
    assert [zlib.crc32(case(number)) for number in range(30)] == [zlib.crc32(case(number)) for number in range(30)]
    assert len({case(number) for number in range(300)}) > 290


if __name__ == "__main__":
    if sys.argv[1] == "save":
        Path(sys.argv[3]).write_bytes(case(int(sys.argv[2])))
    else:
        child(int(sys.argv[1]), int(sys.argv[2]))
