"""The table in docs/processors.md is what the code says and what a comparison measures.

``UPDATE_DOCS=1 pytest tests/runtime/processors/test_docs.py`` writes it anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the reference is transformers")

from docs.build.blocks import find, rewrite
from gender_classifier.runtime.processors.classes import CLASS_OF_MODEL_TYPE, CLASSES, REFUSED_CLASSES
from gender_classifier.runtime.processors.processor import Processor
from gender_classifier.runtime.processors.timm import TIMM_CLASS
from support import ROOT
from tests.runtime.processors import test_parity as parity
from tests.runtime.processors import test_timm as timm

PAGE = ROOT / "docs" / "processors.md"
SIZES = [(217, 333), (40, 3)]


def ulps(values: np.ndarray, expected: np.ndarray) -> int:
    """Returns the largest distance in float32 units in the last place."""
    if values.shape != expected.shape:
        raise AssertionError(f"{values.shape} and {expected.shape}")
    bits = [np.asarray(a, np.float32).view(np.int32).astype(np.int64) for a in (values, expected)]
    ordered = [np.where(a < 0, -(2**31) - a, a) for a in bits]
    return int(np.abs(ordered[0] - ordered[1]).max())


def word(worst: int) -> str:
    return "yes" if worst == 0 else f"yes, but for {worst} ulp" if worst <= parity.ULP else f"no, {worst} ulp"


def architectures(name: str) -> str:
    return ", ".join(sorted(kind for kind, of in CLASS_OF_MODEL_TYPE.items() if of == name and kind != "vit-hybrid"))


def compared(name: str, folder: Path) -> tuple[int, int]:
    """Returns the number of configurations of one class that were compared, and the largest difference in ulp."""
    worst, configurations = 0, 0
    for case, config in parity.CASES.items():
        if Processor.from_config(config).reference != name:
            continue
        configurations += 1
        theirs, ours = parity.reference(config, folder), Processor.from_config(config)
        for size in SIZES if "defaults" not in case else SIZES[:1]:
            image = parity.picture(*size)
            worst = max(worst, ulps(ours(image), parity.run(theirs, image)))
    return configurations, worst


def table(folder: Path) -> str:
    """Returns the table, measured."""
    rows: list[tuple[Any, ...]] = []
    for name in sorted(CLASSES):
        configurations, worst = compared(name, folder)
        rows.append((f"`{name}`", architectures(name), CLASSES[name].summary, word(worst), configurations))
    worst = max(
        ulps(Processor.from_config({"pretrained_cfg": config})(image), timm.reference(config, image))
        for config in timm.CONFIGS.values()
        for image in (timm.picture(*size) for size in SIZES)
    )
    rows.append(
        (
            f"`{TIMM_CLASS}`",
            "timm_wrapper",
            "`pretrained_cfg`: resizes by `crop_pct` and `crop_mode` (center, border, squash), crops",
            word(worst),
            len(timm.CONFIGS),
        )
    )
    rows += [
        (f"`{name}`", architectures(name), f"refused: {REFUSED_CLASSES[name]}", "no", 0)
        for name in sorted(REFUSED_CLASSES)
    ]
    head = "| class | architectures | what it does, before it rescales and normalises | exact | compared |\n"
    return head + "|---|---|---|---|---|\n" + "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def test_the_table_is_current(tmp_path: Path) -> None:
    measured = table(tmp_path)
    if os.environ.get("UPDATE_DOCS"):
        rewrite(PAGE, {"processors": lambda _: measured})
    assert find(PAGE.read_text(encoding="utf-8"), "processors") == [measured.strip()]


def test_the_comparison_can_say_no() -> None:
    image = parity.picture(40, 50)
    bilinear, bicubic = (Processor.from_config({"resample": n}, model_type="vit")(image) for n in (2, 3))
    assert word(ulps(bilinear, bicubic)).startswith("no")
    assert word(ulps(bilinear, np.nextafter(bilinear, np.float32(9)))) == "yes, but for 1 ulp"
    assert word(ulps(bilinear, bilinear)) == "yes"
