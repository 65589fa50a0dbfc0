"""Pillow's own test images, broken and hostile ones among them: one result each, and Pillow's pixels.

The files are not part of this repository; the tests skip where they are absent.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import ROOT, shared

FORMATS = {"JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "AVIF", "PPM", "TGA", "PSD", "ICO"}
OURS_ALONE = {
    "hopper.heif", "chunk_no_fctl.png", "png_decompression_dos.png", "unknown_compression_method.png",
    "tiff_overflow_rows_per_strip.tif", "timeout-dedc7a4ebd856d79b4359bbcc79e8ef231ce38f6.psd",
}  # fmt: skip
"""A format that Pillow lacks, and good pixels beside broken metadata."""
XMP_OF_AVIF = "xmp_tags_orientation.avif"
"""Pillow turns it by its XMP; an AVIF is turned by its own properties alone."""
SECONDS = 10.0
BYTES = 1 << 30

CHILD = r"""
import hashlib, json, os, sys, time, warnings
from PIL import Image, ImageOps
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.errors import ImageError

def digest(picture):
    return [picture.mode, list(picture.size), hashlib.sha256(picture.tobytes()).hexdigest()]

def peak(reset=False):
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

for line in sys.stdin:
    path = json.loads(line)
    peak(reset=True)
    begun = time.perf_counter()
    status, error, mine, theirs, format = "ok", None, None, None, None
    try:
        mine = decode(path)
    except ImageError as failure:
        status, error = failure.status.value, failure.message
    seconds, memory = time.perf_counter() - begun, peak()
    # Only where it decoded: what Pillow alone does on the others is not our subject.
    if status in ("ok", "unreadable", "unsupported_format"):
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as opened:
                format = opened.format
                upright = ImageOps.exif_transpose(opened)
                if upright.mode.startswith("I;16") or (upright.mode == "I" and format == "PPM"):
                    upright = upright.convert("I").point(lambda value: value / 256).convert("L")  # ours scales
                theirs = digest(upright.convert("RGB"))
        except Exception:
            pass
    print(json.dumps([status, error, mine and digest(mine), theirs, format, seconds, memory]), flush=True)
"""


def corpus() -> list[Path]:
    return sorted(path for path in shared("decode_corpus").rglob("*") if path.is_file())


def answers(paths: list[Path]) -> Iterator[tuple[Path, list[Any]]]:
    """Decodes each in a child; a crash or a file that takes too long fails the test with its name."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is read from /proc")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libtiff writes its complaints there itself
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        for path in paths:
            child.stdin.write(json.dumps(str(path)).encode() + b"\n")
            child.stdin.flush()
            ready, _, _ = select.select([child.stdout], [], [], 3 * SECONDS)  # ours and Pillow's
            assert ready, f"{path} hangs"
            line = child.stdout.readline()
            assert line, f"{path} killed the process (exit {child.wait()})"
            yield path, json.loads(line)
    finally:
        child.kill()
        child.wait()


def check(paths: list[Path]) -> Counter[str]:
    tally: Counter[str] = Counter()
    for path, (status, error, mine, theirs, format_name, seconds, memory) in answers(paths):
        tally[status] += 1
        assert seconds < SECONDS, path
        assert memory < BYTES, path
        if status == "ok":
            assert mine[0] == "RGB"
            assert mine == theirs or (theirs is None and path.name in OURS_ALONE) or path.name == XMP_OF_AVIF, path
        else:
            assert error.endswith("."), error
            assert path.name in error
            # What Pillow decodes we refuse only in a format or a kind of pixels that is not on our list.
            assert theirs is None or status == "unsupported_format", (path, error)
            assert theirs is None or format_name not in FORMATS or "of a kind that" in error or "in a way that" in error
    return tally


def test_a_sample_of_the_corpus() -> None:
    paths = corpus()[::9]
    tally = check(paths)
    assert sum(tally.values()) == len(paths)
    assert tally["ok"] > len(paths) // 2


@pytest.mark.slow
def test_the_whole_corpus() -> None:
    paths = corpus()
    tally = check(paths)
    print(f"\n{len(paths)} files: {dict(tally)}")
    assert sum(tally.values()) == len(paths)
    assert tally["ok"] >= 765
    assert set(tally) == {"ok", "unreadable", "unsupported_format", "too_large"}
