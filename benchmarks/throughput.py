"""Pictures a second of ``predict_many`` against the best its two stages could do on the same CPUs.

    python benchmarks/throughput.py [--pictures 200] [--megapixels 2] [--cpus 1 2] [--model gender-small]

The limit: decoding with processing, and inference, each timed alone on one CPU and one thread, take d and i CPU seconds
a picture. On c CPUs nothing can do more than c / (d + i) pictures a second. What is reached is the rate of
``predict_many`` with its defaults, in a process bound to those CPUs, loading not counted. Half a CPU needs a cgroup:
run it as ``systemd-run --scope -p CPUQuota=50% python benchmarks/throughput.py --cpus 1``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, machine


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


def child(arguments: argparse.Namespace) -> None:
    """Measures in this process, which was bound to its CPUs by the parent."""
    import runtime

    paths = sorted(Path(arguments.folder).glob("*.jpg"))
    single = runtime.load(arguments.model, threads=1, faces=False, exact=arguments.exact)
    tensors = [single.prepare(path)[None] for path in paths[:3]]
    single.logits(tensors[0])
    start = time.process_time()
    for path in paths[:20]:
        single.prepare(path)
    decode = (time.process_time() - start) / len(paths[:20])
    start = time.process_time()
    for number in range(50):
        single.logits(tensors[number % len(tensors)])
    infer = (time.process_time() - start) / 50
    classifier = runtime.load(arguments.model, faces=False, exact=arguments.exact)
    list(classifier.predict_many(paths[:8]))
    start, cpu = time.perf_counter(), time.process_time()
    assert all(answer.ok for answer in classifier.predict_many(paths))
    wall = time.perf_counter() - start
    used = time.process_time() - cpu
    print(json.dumps({"decode": decode, "infer": infer, "rate": len(paths) / wall, "cpus_used": used / wall}))


def main() -> None:
    """Measures for every CPU count asked for, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--cpus", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default="gender-small")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        child(arguments)
        return
    print(machine())
    print(f"{arguments.pictures} JPEGs of {arguments.megapixels:g} megapixels, model {arguments.model}")
    print(
        f"{'CPUs':>5}{'decode ms':>11}{'infer ms':>10}{'limit /s':>10}{'reached /s':>12}{'share':>8}{'CPUs used':>11}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        make_pictures(Path(temporary), arguments.pictures, arguments.megapixels)
        for cpus in arguments.cpus:
            command = [sys.executable, __file__, "--folder", temporary, "--model", arguments.model]
            chosen = sorted(os.sched_getaffinity(0))[:cpus]
            done = subprocess.run(
                [*command, *(["--exact"] if arguments.exact else [])],
                check=True,
                capture_output=True,
                text=True,
                preexec_fn=lambda chosen=chosen: os.sched_setaffinity(0, chosen),
            )
            found = json.loads(done.stdout)
            limit = len(chosen) / (found["decode"] + found["infer"])
            print(
                f"{len(chosen):5}{1000 * found['decode']:11.2f}{1000 * found['infer']:10.2f}{limit:10.1f}"
                f"{found['rate']:12.1f}{found['rate'] / limit:8.0%}{found['cpus_used']:11.2f}"
            )


if __name__ == "__main__":
    main()
