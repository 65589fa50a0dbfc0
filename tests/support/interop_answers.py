"""Answers of this environment's onnxruntime, for comparison with another's: ``python interop_answers.py REQUEST OUT``.

REQUEST is JSON: ``{"checkout": path, "runs": [{"model": folder, "variant": name, "pictures": [paths]}]}``. OUT is an
``.npz`` file with one array of logits per run, by its position, float32 (pictures, classes), and the versions in use.
This runs in environments that have nothing but the package's own dependencies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(request: str, out: str) -> None:
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    sys.path.insert(0, asked["checkout"])
    import numpy as np
    import onnxruntime
    import PIL

    from gender_classifier import runtime

    arrays = {}
    for index, run in enumerate(asked["runs"]):
        classifier = runtime.load(run["model"], variant=run["variant"], faces=False, threads=1)
        pixels = np.stack([classifier.pipeline.pixels(path) for path in run["pictures"]])
        arrays[f"logits{index}"] = classifier.network.logits(pixels)
    versions = {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__, "Pillow": PIL.__version__}
    np.savez(out, versions=np.array(json.dumps(versions)), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
