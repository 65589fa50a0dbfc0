"""Pictures a second of ``predict_many`` against the best its two stages could do on the same CPUs.

    python benchmarks/throughput.py [--pictures 200] [--megapixels 2] [--cpus 0.5 1 2] [--model gender-small]

The limit: decoding with processing, and inference, each timed alone on one thread, take d and i CPU seconds a picture.
On c CPUs nothing does more than c / (d + i) pictures a second. What is reached is the rate of ``predict_many`` with its
defaults, in a process bound to those CPUs (whole CPUs by affinity, fractions by a cgroup quota, which takes root),
loading not counted. ``naive`` has onnxruntime's own defaults as seen in a container: as many threads as the
host has cores, spinning, and as many decoders.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from common import ROOT, cpu_quota, machine

if TYPE_CHECKING:
    from runtime.classifier import Classifier


def make_pictures(folder: Path, count: int, megapixels: float) -> list[Path]:
    """Writes one noisy JPEG of the wanted size and links it under many names."""
    import numpy as np
    from PIL import Image

    with Image.open(ROOT / "examples/average-woman.jpg") as face:
        side = round((megapixels * 1e6) ** 0.5)
        large = np.asarray(face.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(0).normal(0, 6, large.shape).astype(np.int16)
    first = folder / "0000.jpg"
    Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8)).save(first, quality=88)
    paths = [first]
    for number in range(1, count):
        paths.append(folder / f"{number:04}.jpg")
        os.link(first, paths[-1])
    return paths


def rate_of(classifier: Classifier, paths: list[Path], workers: int | None = None) -> float:
    """Returns pictures a second of ``predict_many``, warmed up."""
    list(classifier.predict_many(paths[:8], workers=workers))
    start = time.perf_counter()
    assert all(answer.ok for answer in classifier.predict_many(paths, workers=workers))
    return len(paths) / (time.perf_counter() - start)


def child(arguments: argparse.Namespace) -> None:
    """Measures in this process, which was bound to its CPUs by the parent, and prints JSON."""
    import runtime
    from runtime import session

    paths = sorted(Path(arguments.folder).glob("*.jpg"))
    single = runtime.load(arguments.model, threads=1, faces=False, exact=arguments.exact)
    tensor = single.prepare(paths[0])[None]
    single.logits(tensor)
    decode, infer = [], []
    for path in paths[:30]:  # in turn, so that a drift of the machine's speed hits both
        start = time.process_time()
        single.prepare(path)
        middle = time.process_time()
        single.logits(tensor)
        decode.append(middle - start)
        infer.append(time.process_time() - middle)
    classifier = runtime.load(arguments.model, faces=False, exact=arguments.exact)
    session._SESSION_CONFIG = {}
    cores = os.cpu_count() or 1
    naive = runtime.load(arguments.model, faces=False, exact=arguments.exact, threads=cores)
    rates = [(rate_of(classifier, paths), rate_of(naive, paths, cores)) for _ in range(3)]
    print(
        json.dumps(
            {
                "decode": statistics.median(decode),
                "infer": statistics.median(infer),
                "rate": statistics.median(ours for ours, _ in rates),
                "naive": statistics.median(theirs for _, theirs in rates),
            }
        )
    )


def bound(cpus: float, stack: ExitStack) -> Callable[[], object]:
    """Returns what a child process calls to be bound to that many CPUs."""
    if cpus == int(cpus):
        chosen = sorted(os.sched_getaffinity(0))[: int(cpus)]
        return lambda: os.sched_setaffinity(0, chosen)
    return stack.enter_context(cpu_quota(cpus))


def main() -> None:
    """Measures for every CPU count asked for, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--cpus", type=float, nargs="+", default=[0.5, 1, 2])
    parser.add_argument("--model", default="gender-small")
    parser.add_argument("--exact", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        child(arguments)
        return
    print(machine())
    print(f"{arguments.pictures} JPEGs of {arguments.megapixels:g} megapixels, model {arguments.model}")
    print(f"{'CPUs':>5}{'decode ms':>11}{'infer ms':>10}{'limit /s':>10}{'reached /s':>12}{'share':>8}{'naive /s':>10}")
    with tempfile.TemporaryDirectory() as temporary:
        make_pictures(Path(temporary), arguments.pictures, arguments.megapixels)
        command = [sys.executable, __file__, "--folder", temporary, "--model", arguments.model]
        command += ["--exact" if arguments.exact else "--no-exact"]
        for cpus in arguments.cpus:
            with ExitStack() as stack:
                join = bound(cpus, stack)
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=join)
            found = json.loads(done.stdout)
            limit = cpus / (found["decode"] + found["infer"])
            print(
                f"{cpus:5g}{1000 * found['decode']:11.2f}{1000 * found['infer']:10.2f}{limit:10.1f}"
                f"{found['rate']:12.1f}{found['rate'] / limit:8.0%}{found['naive']:10.1f}"
            )


if __name__ == "__main__":
    main()
