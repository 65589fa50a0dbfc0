"""Measures the peak memory of the command line for few and for many pictures: it must not grow with their number.

python benchmarks/memory.py [--counts 1000 20000] [--megapixels 0.3]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from common import ROOT, machine, measure
from throughput import make_pictures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 20000])
    parser.add_argument("--megapixels", type=float, default=0.3)
    parser.add_argument("--model", default="gender-small")
    arguments = parser.parse_args()
    print(machine())
    print(f"JPEGs of {arguments.megapixels:g} megapixels, JSON lines, model {arguments.model}")
    print(f"{'pictures':>9}{'peak MiB':>10}{'wall s':>9}{'pictures /s':>13}")
    peaks = []
    for count in arguments.counts:
        with tempfile.TemporaryDirectory() as temporary:
            make_pictures(Path(temporary), count, arguments.megapixels)
            command = [sys.executable, str(ROOT / "gender_classifier.py"), temporary, "--jsonl", "--no-faces"]
            run = measure([*command, "--model", arguments.model])
            if run.code != 0:
                raise SystemExit(f"exit code {run.code}")
            peaks.append(run.peak_mib)
            print(f"{count:9}{run.peak_mib:10.1f}{run.wall:9.1f}{count / run.wall:13.1f}")
    print(f"largest / smallest peak: {max(peaks) / min(peaks):.3f}")


if __name__ == "__main__":
    main()
