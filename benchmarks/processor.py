"""Measures how long a picture in memory takes to become a network's input, here and in transformers' PIL class.

    python benchmarks/processor.py [--runs 15]

ViTImageProcessor to 224 x 224, one picture at a time, A B A B ...; decoding is not part of it. Needs the export extra.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from common import machine
from PIL import Image
from transformers import ViTImageProcessor

from gender_classifier.runtime.processors.processor import Processor


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    theirs = ViTImageProcessor()
    ours = Processor.from_config(theirs.to_dict())
    print(machine())
    print(f"{'picture':>12}{'transformers ms':>17}{'ours ms':>9}{'ratio':>7}   medians of {arguments.runs} pairs")
    for width, height in ((4032, 3024), (1920, 1080), (640, 480), (224, 224)):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
        pairs: list[tuple[float, float]] = []
        for number in range(1 + arguments.runs):
            start = time.perf_counter()
            theirs(image)
            middle = time.perf_counter()
            ours(image)
            end = time.perf_counter()
            if number:  # the first pair warms up
                pairs.append((middle - start, end - middle))
        their_ms, our_ms = (1000 * statistics.median(pair[i] for pair in pairs) for i in range(2))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{f'{width}x{height}':>12}{their_ms:>17.1f}{our_ms:>9.2f}{ratio:>7.1f}")


if __name__ == "__main__":
    main()
