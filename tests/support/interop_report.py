"""Measures what ``docs/interop.md`` says, and writes the tables there: ``python tests/support/interop_report.py``.

``--print`` prints the tables and leaves the page alone. The face crops come from material that is not part of the
repository; their rows stay out where it is absent.
"""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from docs.build.blocks import rewrite  # noqa: E402
from gender_classifier import runtime  # noqa: E402
from gender_classifier.runtime.decision import probabilities  # noqa: E402
from gender_classifier.runtime.faces.crop import crop_square  # noqa: E402
from support import (  # noqa: E402
    ROOT,
    SHARED,
    interop_js,
    interop_versions,
)
from support.interop_material import BUILTIN, pictures  # noqa: E402

PAGE = ROOT / "docs" / "interop.md"
PORTRAITS = SHARED / "data" / "eval_portraits"
DTYPES = {"fp32": "fp32", "int8": "q8", "q4": "q4"}


@dataclass(frozen=True)
class Group:
    """Pictures of one kind; with ``presize`` they are scaled by sharp before transformers.js sees them."""

    words: str
    paths: list[Path]
    presize: bool = False


def groups(scratch: Path, width: int, height: int, margin: float) -> list[Group]:
    """Returns the kinds of pictures that are compared."""
    own = pictures(scratch / "own", {"own": (width, height)}, each=4)["own"]
    sizes = {"larger": (600, 400), "smaller": (40, 50), "huge": (1500, 1200)}
    others = [path for paths in pictures(scratch / "others", sizes, each=4).values() for path in paths]
    found = [
        Group(f"drawings of {width} x {height}, the model's own size", own),
        Group("drawings of 40 x 50 to 1500 x 1200", others),
        Group("the same, scaled by sharp beforehand", others, presize=True),
    ]
    if PORTRAITS.is_dir():
        faces = crops(scratch / "faces", margin)
        found += [
            Group(f"{len(faces)} face crops from portraits", faces),
            Group("the same, scaled by sharp beforehand", faces, presize=True),
        ]
    return found


def crops(folder: Path, margin: float) -> list[Path]:
    """Cuts every fourth portrait's face out, as the runtime does, and returns the PNG files."""
    folder.mkdir()
    paths = []
    with (PORTRAITS / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["face"]][::4]
    for index, row in enumerate(rows):
        x0, y0, x1, y1 = (float(value) for value in row["face"].split())
        with Image.open(PORTRAITS / row["file"]) as image:
            paths.append(folder / f"{index}.png")
            crop_square(image.convert("RGB"), (x0, y0, x1, y1), margin).save(paths[-1])
    return paths


def js_table(scratch: Path) -> list[str]:
    """Compares the built-in model in transformers.js with the runtime."""
    interop_js.install()
    root = scratch / "models"
    shutil.copytree(BUILTIN, root / BUILTIN.name)
    first = runtime.load(root / BUILTIN.name, faces=False)
    io, framing = first.manifest.io, first.manifest.framing
    kinds = groups(scratch, io.width, io.height, framing.margin or 0.0)
    runs = [
        {
            "model": BUILTIN.name,
            "dtype": DTYPES[variant],
            "pictures": kind.paths,
            **({"presize": [io.width, io.height]} if kind.presize else {}),
        }
        for variant in first.manifest.variants
        for kind in kinds
    ]
    answered = interop_js.classify(root, runs, scratch)
    answers = iter(answered["answers"])
    lines = [
        f"transformers.js {answered['version']} on Node {answered['node'].lstrip('v')}, the built-in model "
        f"`{BUILTIN.name}`; on the other side Pillow {Image.__version__}.",
        "",
        "| dtype | pictures | number | largest difference | mean difference | other class |",
        "|---|---|---|---|---|---|",
    ]
    for variant in first.manifest.variants:
        classifier = runtime.load(root / BUILTIN.name, variant=variant, faces=False, exact=True)
        labels = [label.raw for label in classifier.manifest.labels]
        for kind in kinds:
            pixels = np.stack([classifier.pipeline.pixels(path) for path in kind.paths])
            ours = probabilities(classifier.network.logits(pixels), classifier.manifest.activation)
            theirs = np.array([[next(answers)["scores"]] for _ in kind.paths]).ravel()
            got = np.array([[scores[label] for label in labels] for scores in theirs])
            difference = np.abs(got - ours).max(axis=1)
            flips = int((got.argmax(axis=1) != ours.argmax(axis=1)).sum())
            lines.append(
                f"| {DTYPES[variant]} | {kind.words} | {len(kind.paths)} | {difference.max():.1e} "
                f"| {difference.mean():.1e} | {flips} |"
            )
    return lines


def versions_table(scratch: Path) -> list[str]:
    """Compares the oldest versions with those of this environment."""
    python = interop_versions.old_python(scratch / "environment")
    versions, rows = interop_versions.compare(python, scratch)
    old, new = ("; ".join(f"{name} {version}" for name, version in versions[key].items()) for key in ("old", "new"))
    lines = [f"{old} against {new}.", "", "| model | variant | most pictures | tall pictures |", "|---|---|---|---|"]
    return lines + [f"| {row.model} | {row.variant} | {row.most:.1e} | {row.tall:.1e} |" for row in rows]


def main() -> None:
    """Measures, then prints or writes."""
    with tempfile.TemporaryDirectory() as folder:
        tables = {}
        for name, measure in (("transformers.js", js_table), ("versions", versions_table)):
            scratch = Path(folder) / name
            scratch.mkdir()
            tables[name] = "\n".join(measure(scratch))
    print("\n\n".join(tables.values()))
    if "--print" not in sys.argv[1:]:
        rewrite(PAGE, {"interop": tables.__getitem__})


if __name__ == "__main__":
    main()
