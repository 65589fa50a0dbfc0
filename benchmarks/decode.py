"""Measures the time and memory of decoding, and what a JPEG decoded at reduced scale does to the answers.

    python benchmarks/decode.py speed
    python benchmarks/decode.py formats
    python benchmarks/decode.py scans
    python benchmarks/decode.py reduced --pictures FOLDER [--pictures FOLDER ...] [--megapixels 12] [--count 100]

``speed`` decodes a made photograph of 12, 24 and 48 megapixels: Pillow alone, ``runtime`` exactly, and ``runtime`` at
the scale that inputs of 80 and 224 pixels allow. ``formats`` prints the peak of memory and the time per pixel of every
format that can be written: the source of the costs in ``runtime/decode/costs.py``. ``scans`` does so for what a small
file can ask for: scans of a JPEG, rows of a picture one pixel wide; and prints what looking for scans takes.
``reduced`` compares a model's probabilities for whole and for reduced decodes; with ``--megapixels`` the pictures are
enlarged to that size first, with grain, because an enlarged picture has none of its own;
without it the JPEG files are taken as they are.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, machine
from PIL import Image, ImageOps

from gender_classifier.runtime import decision
from gender_classifier.runtime.decode.decode import REDUCED_AT_LEAST, decode
from gender_classifier.runtime.decode.jpeg import inspect
from gender_classifier.runtime.decode.reader import GuardedReader
from gender_classifier.runtime.options import Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gender_classifier.runtime.classifier import Classifier
    from gender_classifier.runtime.prediction import Person

SIZES = {12: (4000, 3000), 24: (6000, 4000), 48: (8000, 6000)}
"""Megapixels and the sizes that cameras of that class write."""

WIDE = Limits(max_bytes=1 << 32, max_pixels=1 << 32)


def enlarged(picture: Image.Image, size: tuple[int, int], *, grain: float, seed: int) -> bytes:
    """Returns a JPEG (quality 92, 4:2:0) of a picture scaled to fill a size, with grain of that deviation."""
    import numpy as np

    big = np.asarray(ImageOps.fit(picture, size, Image.Resampling.BICUBIC)).astype(np.int16)
    tile = np.rint(grain * np.random.default_rng(seed).standard_normal((1000, 1000, 1))).astype(np.int16)
    for top in range(0, size[1], 1000):
        for left in range(0, size[0], 1000):
            big[top : top + 1000, left : left + 1000] += tile  # the sizes are whole thousands
    big = np.clip(big, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(big).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def made_photograph(size: tuple[int, int], seed: int = 0) -> bytes:
    """Returns a JPEG of soft shapes and grain: about as many bytes per pixel as a camera writes."""
    noise = Image.frombytes("RGB", (96, 72), random.Random(seed).randbytes(96 * 72 * 3))
    return enlarged(noise, size, grain=6, seed=seed)


def pillow_alone(data: bytes) -> Image.Image:
    """Decodes as transformers does."""
    with Image.open(io.BytesIO(data)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def seconds(run: Callable[[], object], runs: int) -> tuple[float, float]:
    """Returns the median of the CPU seconds of several runs, and the least."""
    taken = []
    for _ in range(runs):
        begun = time.process_time()
        run()
        taken.append(time.process_time() - begun)
    return statistics.median(taken), min(taken)


def speed(runs: int) -> None:
    """Prints time by megapixels and scale; the ways take turns, so that a busy machine hits all alike."""
    print(machine())
    print(f"JPEG of a made photograph, 4:2:0, quality 92; CPU ms, median (least) of {runs}")
    print(f"{'MP':>4} {'bytes/px':>9} {'Pillow alone':>16} {'exact':>16} {'for 224 px':>16} {'for 80 px':>16}  sizes")
    for megapixels, size in SIZES.items():
        data = made_photograph(size)
        ways: dict[str, Callable[[], Image.Image]] = {
            "Pillow alone": lambda data=data: pillow_alone(data),  # type: ignore[misc]
            "exact": lambda data=data: decode(data),  # type: ignore[misc]
            "224": lambda data=data: decode(data, target=(224, 224)),  # type: ignore[misc]
            "80": lambda data=data: decode(data, target=(80, 80)),  # type: ignore[misc]
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, way in ways.items():
                taken[name].append(seconds(way, 1)[0] * 1000)
        cells = [f"{statistics.median(t):.0f} ({min(t):.0f})".rjust(16) for t in taken.values()]
        scaled = ", ".join("x".join(map(str, ways[name]().size)) for name in ("exact", "224", "80"))
        print(f"{megapixels:4} {len(data) / size[0] / size[1]:9.2f} {' '.join(cells)}  {scaled}", flush=True)


MEASURE = """
import json, sys, time
from gender_classifier.runtime.decode.decode import decode
from gender_classifier.runtime.options import Limits
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
limits = Limits(max_bytes=1 << 32, max_pixels=1 << 32)
decode(sys.argv[2], limits)  # a small one of the format, so that its plugin and codec are there
before, begun = peak(), time.process_time()
pixels = decode(sys.argv[1], limits)
print(json.dumps([(peak() - before) / pixels.width / pixels.height,
                  (time.process_time() - begun) / pixels.width / pixels.height * 1e9]))
"""

FORMATS: list[tuple[str, str, dict[str, Any]]] = [
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    ("JPEG", "CMYK", {"progressive": True}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "I;16", {}),
    ("GIF", "P", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True, "method": 0}),
    ("AVIF", "RGB", {"speed": 10}),
    ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
    ("HEIF", "RGB", {}),
    ("HEIF", "RGBA", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGBA", {"compression": "tiff_deflate", "tiffinfo": {278: 100_000}}),
    ("TIFF", "CMYK", {"compression": "tiff_lzw"}),
    ("TIFF", "I;16", {}),
    ("BMP", "RGB", {}),
    ("PPM", "RGB", {}),
    ("PPM", "I", {}),
    ("TGA", "RGBA", {"compression": "tga_rle"}),
]


def costs(side: int) -> None:
    """Prints memory at the peak and CPU time per pixel, by format, each in a process of its own."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    print(machine())
    print(f"{side} x {side} pixels: bytes of memory at the peak and CPU nanoseconds, per pixel, file not counted")
    noise = Image.frombytes("RGBA", (96, 96), random.Random(0).randbytes(96 * 96 * 4))
    for name, mode, options in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, "large"), Path(folder, "small")]
            for path, size in zip(paths, (side, 64), strict=True):
                picture = noise.resize((size, size), Image.Resampling.BICUBIC)
                picture = picture.convert("L").convert(mode) if mode in ("I;16", "I", "F") else picture.convert(mode)
                try:
                    picture.save(path, name, **options)
                except (OSError, ValueError, KeyError) as error:
                    print(f"{name:9} {mode:5} cannot be written here: {error}")
                    break
            else:
                memory, nanoseconds = decoded_in_child(*paths)
                words = " ".join(f"{key}={value}" for key, value in options.items())
                print(f"{name:9} {mode:5} {memory:6.1f} {nanoseconds:8.0f}   {words}", flush=True)


def decoded_in_child(large: Path, small: Path) -> tuple[float, float]:
    """Returns bytes of memory and nanoseconds per pixel of a decode in a process of its own, after a small one."""
    command = [sys.executable, "-c", MEASURE, str(large), str(small)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    memory, nanoseconds = json.loads(done.stdout)
    return memory, nanoseconds


def scans(side: int) -> None:
    """Prints what repeated scans take, per pixel and per byte; what a row takes; and what looking for scans takes."""
    print(machine())
    noise = Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side))
    flat = Image.new("L", (side, side), 128)
    with tempfile.TemporaryDirectory() as folder:
        large, longer, small = (Path(folder, name) for name in ("large", "longer", "small"))
        for label, picture, number in (
            ("grey, last scan (refinement)", flat, -1),
            ("noise, last scan (refinement)", noise, -1),
            ("grey CMYK, first scan (DC of all)", flat.convert("RGB").convert("CMYK"), 0),
        ):
            for path, image in ((large, picture), (small, picture.resize((64, 64)))):
                image.save(path, "JPEG", progressive=True, quality=95)
            data = large.read_bytes()
            *_, scan = data.split(b"\xff\xda") if number else data.split(b"\xff\xda")[:2]
            scan = b"\xff\xda" + (scan[:-2] if number else scan[: scan.index(b"\xff\xc4")])
            longer.write_bytes(data[:-2] + scan * 40 + data[-2:])
            once = decoded_in_child(large, small)[1]
            each = (decoded_in_child(longer, small)[1] - once) / 40
            print(
                f"{label:34} {once:5.1f} ns/pixel; each more {each:5.2f} ns/pixel, "
                f"{each * side * side / len(scan):10.1f} ns/byte of {len(scan):,}",
                flush=True,
            )
        turned = Image.Exif()
        turned[0x0112] = 6
        for mode in ("1", "LA", "RGB"):
            Image.new(mode, (1, 8)).save(small, "PNG")
            Image.new(mode, (1, 200_000)).save(large, "PNG")
            Image.new(mode, (1, 200_000)).save(longer, "PNG", exif=turned)
            rows = [decoded_in_child(path, small)[0] for path in (large, longer)]
            print(
                f"PNG {mode:3} 1 x 200,000: {rows[0]:5.1f} bytes a row, {rows[1]:5.1f} where EXIF turns it", flush=True
            )
    for label, progressive in (("one scan", False), ("progressive", True)):
        buffer = io.BytesIO()
        noise.convert("RGB").save(buffer, "JPEG", quality=92, progressive=progressive)
        look = partial(inspect, GuardedReader(buffer, reads=1 << 20), "", WIDE)
        ways = [seconds(run, 7)[1] * 1000 for run in (look, partial(decode, buffer.getvalue()))]
        print(f"JPEG, {label}: looking for scans {ways[0]:.3f} ms, all {ways[1]:.0f} ms", flush=True)


def pictures(folders: list[Path], count: int) -> list[Path]:
    """Returns an even sample of the JPEG files of each folder, as many from each."""
    chosen = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        chosen += files[:: max(1, len(files) // count)][:count]
    return chosen


def inputs(paths: list[Path], megapixels: int | None) -> Iterator[bytes]:
    """Yields JPEG files: as they are, or enlarged."""
    for number, path in enumerate(paths):
        if megapixels is None:
            yield path.read_bytes()
        else:
            yield enlarged(decode(path), SIZES[megapixels], grain=6, seed=number)


def reduction(size: tuple[int, int], least: int) -> int:
    """Returns the largest of 8, 4, 2 and 1 by which both sides can be divided and stay as long as ``least``."""
    return next((scale for scale in (8, 4, 2) if min(size) // least >= scale), 1)


def answered(classifier: Classifier, tensor: NDArray[np.float32]) -> Person:
    """Runs the network on one input and decides as the classifier would."""
    manifest = classifier.manifest
    logits = classifier.network.logits(tensor[None])
    row = decision.probabilities(logits, manifest.activation, manifest.decision.temperature)[0]
    return decision.answer(row, manifest.labels, manifest.decision)


def reduced(arguments: argparse.Namespace) -> None:
    """Prints how far the probabilities move, and how many answers change, by how far a JPEG may be reduced."""
    import numpy as np

    from gender_classifier import runtime

    variants = arguments.variant or [None]
    classifiers = [runtime.load(arguments.model, variant=name, exact=True, faces=False) for name in variants]
    side = max(classifiers[0].pipeline.processor.output_size)
    paths = pictures(arguments.pictures, arguments.count)
    moved: dict[tuple[int, int], list[float]] = {}
    pixels: dict[int, list[float]] = {}
    flips: dict[tuple[int, int], list[int]] = {}
    used: dict[int, int] = {}
    for data in inputs(paths, arguments.megapixels):
        whole = decode(data, WIDE)
        tensor = classifiers[0].pipeline.processor(whole)
        truths = [answered(classifier, tensor) for classifier in classifiers]
        known: dict[int, Image.Image] = {}
        for factor in arguments.factors:
            scale = reduction(whole.size, side * factor)
            if scale == 1:
                continue
            if scale not in known:  # several factors may allow the same scale
                target = side * factor // REDUCED_AT_LEAST
                known[scale] = decode(data, WIDE, target=(target, target))
            used[factor] = used.get(factor, 0) + 1
            other = classifiers[0].pipeline.processor(known[scale])
            # The built-in processors scale to [-1, 1] or close to it: 127.5 steps of a byte per unit.
            pixels.setdefault(factor, []).append(float(np.abs(other - tensor).mean()) * 127.5)
            for index, (classifier, truth) in enumerate(zip(classifiers, truths, strict=True)):
                answer = answered(classifier, other)
                move = max(abs(answer.probabilities[key] - truth.probabilities[key]) for key in truth.probabilities)
                moved.setdefault((factor, index), []).append(move)
                counts = flips.setdefault((factor, index), [0, 0])
                counts[0] += answer.label != truth.label
                counts[1] += answer.raw_label != truth.raw_label
    print(machine())
    size = "as they are" if arguments.megapixels is None else f"enlarged to {arguments.megapixels} MP, with grain"
    print(f"{len(paths)} pictures {size}; model {arguments.model or 'built-in'}, input {side} px")
    print("at least  variant     reduced   pixel move   probability move: median, 99 %, largest   shown/raw flips")
    for factor in arguments.factors:
        for index, name in enumerate(variants):
            if factor not in used:
                print(f"{factor:7}x  no picture is large enough")
                break
            moves = moved[factor, index]
            print(
                f"{factor:7}x  {name or 'default':10} {used[factor]:8} {statistics.mean(pixels[factor]):9.2f}/255"
                f"{statistics.median(moves):19.5f} {float(np.quantile(moves, 0.99)):9.5f} {max(moves):9.5f}"
                f" {flips[factor, index][0]:14}/{flips[factor, index][1]}"
            )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed")
    one.add_argument("--runs", type=int, default=7)
    two = commands.add_parser("formats")
    two.add_argument("--side", type=int, default=2048)
    four = commands.add_parser("scans")
    four.add_argument("--side", type=int, default=4096)
    three = commands.add_parser("reduced")
    three.add_argument("--pictures", type=Path, action="append", required=True)
    three.add_argument("--count", type=int, default=100, help="pictures from each folder")
    three.add_argument("--megapixels", type=int, choices=sorted(SIZES))
    three.add_argument("--model")
    three.add_argument("--variant", action="append", help="more than once to compare")
    three.add_argument("--factors", type=int, nargs="+", default=[2, 3, 4, 6])
    arguments = parser.parse_args()
    if arguments.command == "speed":
        speed(arguments.runs)
    elif arguments.command == "formats":
        costs(arguments.side)
    elif arguments.command == "scans":
        scans(arguments.side)
    else:
        reduced(arguments)


if __name__ == "__main__":
    main()
