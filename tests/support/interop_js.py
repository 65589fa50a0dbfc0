"""transformers.js as a client: installed once with npm, asked by way of Node."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parent / "transformersjs"
_OFFLINE = re.compile(r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|network|proxy", re.IGNORECASE)


def install() -> None:
    """Installs what ``package-lock.json`` pins, beside it, unless it is there; skips the test where it cannot be.

    Install scripts are not run: that of onnxruntime-node would download CUDA libraries from elsewhere.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    wanted = json.loads((PACKAGE / "package.json").read_text())["dependencies"]["@huggingface/transformers"]
    there = PACKAGE / "node_modules/@huggingface/transformers/package.json"
    if there.is_file() and json.loads(there.read_text())["version"] == wanted:
        return
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=PACKAGE,
        env={**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode and _OFFLINE.search(done.stderr):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr


def classify(root: Path, runs: list[dict[str, Any]], scratch: Path) -> dict[str, Any]:
    """Asks transformers.js.

    Args:
        root: Folder that holds the bundles.
        runs: ``{"model": name, "dtype": "fp32" | "q8" | "q4", "pictures": [paths]}``.
        scratch: Where the request is written.

    Returns:
        ``version``, ``node``, and ``answers``: one per run and picture, with ``logits`` and ``scores`` by label.
    """
    request = scratch / "request.json"
    plain = [{**run, "pictures": [str(path) for path in run["pictures"]]} for run in runs]
    request.write_text(json.dumps({"root": str(root), "runs": plain}), encoding="utf-8")
    done = subprocess.run(
        ["node", str(PACKAGE / "classify.mjs"), str(request)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
