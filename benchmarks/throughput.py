"""Measures pictures a second of ``predict_many`` against the best its two stages could do on the same CPUs.

    python benchmarks/throughput.py [--pictures 160] [--megapixels 2] [--cpus 0.5 1 2] [--rounds 9] [--model NAME]

The limit: one process per CPU (one for a fraction of a CPU), each decoding, processing and answering its share of the
pictures on one thread, batch after batch, with nothing to wait for and nothing to keep in order. No division of the
same work does more on those CPUs. What is reached is the rate of ``predict_many`` with its defaults, in one process
bound to the same CPUs (whole CPUs by affinity, fractions by a cgroup quota, which takes root), loading not counted.
``naive`` is the same program with onnxruntime's own defaults as seen in a container: as many threads as the host has
cores, spinning, and as many decoders. The three are measured in turn, round by round, and each share is that of one
round, so that a drift of the machine's speed hits both sides of it; medians are printed, with the smallest and the
largest.
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
    from multiprocessing.connection import Connection

    from gender_classifier.runtime.classifier import Classifier

DEFAULT_BATCH_SIZE = 8
"""That of ``runtime.classifier``; not imported, so that ``--help`` stays light."""


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
    """Returns pictures a second of ``predict_many``."""
    start = time.perf_counter()
    assert all(answer.ok for answer in classifier.predict_many(paths, workers=workers))
    return len(paths) / (time.perf_counter() - start)


def answer_alone(folder: str, model: str, exact: bool, pipe: Connection) -> None:
    """One process of the limit: whenever it is sent numbers of pictures, answers them on one thread.

    Sends back the CPU seconds that decoding and inference took.
    """
    import numpy as np

    from gender_classifier import runtime

    classifier = runtime.load(model, threads=1, faces=False, exact=exact)
    paths = sorted(Path(folder).glob("*.jpg"))
    while (chosen := pipe.recv()) is not None:
        decode = infer = 0.0
        for start in range(0, len(chosen), DEFAULT_BATCH_SIZE):
            began = time.process_time()
            tensors = np.stack(
                [classifier.pipeline.pixels(paths[n]) for n in chosen[start : start + DEFAULT_BATCH_SIZE]]
            )
            middle = time.process_time()
            classifier.network.logits(tensors)
            decode, infer = decode + middle - began, infer + time.process_time() - middle
        pipe.send((decode, infer))


def child(arguments: argparse.Namespace) -> None:
    """Measures in this process, which was bound to its CPUs by the parent, and prints JSON."""
    import multiprocessing

    from gender_classifier import runtime
    from gender_classifier.runtime import session
    from gender_classifier.runtime.threads import available_cpus

    paths = sorted(Path(arguments.folder).glob("*.jpg"))
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(max(1, round(available_cpus()))):
        here, there = context.Pipe()
        given = (arguments.folder, arguments.model, arguments.exact, there)
        context.Process(target=answer_alone, args=given, daemon=True).start()
        pipes.append(here)

    def alone(numbers: range) -> tuple[float, float, float]:
        start = time.perf_counter()
        for n, pipe in enumerate(pipes):
            pipe.send(list(numbers[n :: len(pipes)]))
        spent = [pipe.recv() for pipe in pipes]
        rate = len(numbers) / (time.perf_counter() - start)
        return rate, sum(d for d, _ in spent) / len(numbers), sum(i for _, i in spent) / len(numbers)

    classifier = runtime.load(arguments.model, faces=False, exact=arguments.exact)
    session._SESSION_CONFIG = {}
    cores = os.cpu_count() or 1
    naive = runtime.load(arguments.model, faces=False, exact=arguments.exact, threads=cores)
    alone(range(len(pipes) * DEFAULT_BATCH_SIZE))
    for one, workers in ((classifier, None), (naive, cores)):
        list(one.predict_many(paths[:16], workers=workers))
    rounds = []
    for _ in range(arguments.rounds):
        limit, decode, infer = alone(range(len(paths)))
        reached, theirs = rate_of(classifier, paths), rate_of(naive, paths, cores)
        rounds.append({"limit": limit, "decode": decode, "infer": infer, "reached": reached, "naive": theirs})
    for pipe in pipes:
        pipe.send(None)
    print(json.dumps(rounds))


def bound(cpus: float, stack: ExitStack) -> Callable[[], object]:
    """Returns what a child process calls to be bound to that many CPUs."""
    if cpus == int(cpus):
        chosen = sorted(os.sched_getaffinity(0))[: int(cpus)]
        return lambda: os.sched_setaffinity(0, chosen)
    return stack.enter_context(cpu_quota(cpus))


def main() -> None:
    """Measures for every CPU count asked for, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=160)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--cpus", type=float, nargs="+", default=[0.5, 1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", default="gender-small")
    parser.add_argument("--exact", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        child(arguments)
        return
    print(machine())
    print(f"{arguments.pictures} JPEGs of {arguments.megapixels:g} megapixels, model {arguments.model}")
    print(f"medians of {arguments.rounds} rounds; the share's smallest and largest in brackets")
    print(
        f"{'CPUs':>5}{'decode ms':>11}{'infer ms':>10}{'limit /s':>10}{'reached /s':>12}{'share':>20}{'naive /s':>10}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        make_pictures(Path(temporary), arguments.pictures, arguments.megapixels)
        command = [sys.executable, __file__, "--folder", temporary, "--model", arguments.model]
        command += ["--rounds", str(arguments.rounds), "--exact" if arguments.exact else "--no-exact"]
        for cpus in arguments.cpus:
            with ExitStack() as stack:
                join = bound(cpus, stack)
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=join)
            rounds = json.loads(done.stdout)
            middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            shares = sorted(one["reached"] / one["limit"] for one in rounds)
            share = f"{statistics.median(shares):.0%} ({shares[0]:.0%} to {shares[-1]:.0%})"
            print(
                f"{cpus:5g}{1000 * middle['decode']:11.2f}{1000 * middle['infer']:10.2f}{middle['limit']:10.1f}"
                f"{middle['reached']:12.1f}{share:>20}{middle['naive']:10.1f}"
            )


if __name__ == "__main__":
    main()
