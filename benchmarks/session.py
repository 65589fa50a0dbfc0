"""Measures what onnxruntime's last optimisation, a layout of the weights for this processor, costs and brings.

    python benchmarks/session.py [--model gender-small] [--runs 9]

Fresh processes, in turn: one loads the model with it and one without, each answers pictures one by one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from common import ROOT, machine

CHILD = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
from gender_classifier import runtime
from gender_classifier.runtime.session import import_onnxruntime
import_onnxruntime()
start = time.perf_counter()
classifier = runtime.load(sys.argv[2], optimize=sys.argv[3] == "with", faces=False, threads=1)
loaded = time.perf_counter()
size = classifier.pipeline.pixels(np.zeros((8, 8, 3), np.uint8)).shape
tensor = np.zeros((1, *size), np.float32)
classifier.network.logits(tensor)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
times = []
for _ in range(200):
    began = time.perf_counter()
    classifier.network.logits(tensor)
    times.append(time.perf_counter() - began)
print(json.dumps({"load": loaded - start, "run": sorted(times)[100], "peak": peak}))
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="gender-small")
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    print(machine())
    found: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    for _ in range(arguments.runs):
        for kind, rows in found.items():
            command = [sys.executable, "-c", CHILD, str(ROOT), arguments.model, kind]
            rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    print(f"{'':8}{'load ms':>9}{'run ms':>9}{'peak MiB':>10}   medians of {arguments.runs}")
    for kind, rows in found.items():
        load, run, peak = (statistics.median(row[key] for row in rows) for key in ("load", "run", "peak"))
        print(f"{kind:8}{1000 * load:9.1f}{1000 * run:9.2f}{peak:10.1f}")


if __name__ == "__main__":
    main()
