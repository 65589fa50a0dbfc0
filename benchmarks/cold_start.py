"""Measures one picture from a cold start: ``gender-classifier`` against ``transformers.pipeline``.

    python benchmarks/cold_start.py [--runs 7] [--checkpoint training/checkpoint] [--picture FILE]

Same weights, same picture; whole processes, one after the other in turn; the ratio is taken pair by pair. Needs the
export extra for the pipeline.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import ROOT, interleaved, machine, median, paired_ratio

PIPELINE = """
import sys
from transformers import AutoImageProcessor, pipeline
processor = AutoImageProcessor.from_pretrained(sys.argv[1], use_fast=False)
print(pipeline("image-classification", model=sys.argv[1], image_processor=processor)(sys.argv[2]))
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "training/checkpoint")
    parser.add_argument("--model", default="gender-small")
    parser.add_argument("--picture", type=Path, default=ROOT / "examples/average-woman.jpg")
    arguments = parser.parse_args()
    ours = [sys.executable, str(ROOT / "gender_classifier.py"), str(arguments.picture), "--model", arguments.model]
    theirs = [sys.executable, "-c", PIPELINE, str(arguments.checkpoint), str(arguments.picture)]
    found = interleaved(
        {"transformers.pipeline": theirs, "gender-classifier": [*ours, "--no-faces"]}, runs=arguments.runs
    )
    print(machine())
    print(f"{'':24}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}   medians of {arguments.runs}")
    for name, runs in found.items():
        figures = (median(runs, "wall"), median(runs, "cpu"), median(runs, "peak_mib"))
        print(f"{name:24}{figures[0]:9.2f}{figures[1]:9.2f}{figures[2]:10.0f}")
    for field, word in (("wall", "times faster"), ("peak_mib", "times the memory")):
        low, middle, high = paired_ratio(found["transformers.pipeline"], found["gender-classifier"], field)
        print(f"pipeline / gender-classifier, {word}: {middle:.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
