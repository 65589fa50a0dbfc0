"""One command for each step of the built-in model's recipe.

``prepare`` cuts the faces out, ``train`` trains the networks of the recipe, ``decide`` calibrates the one that ships
and fits its decision rule, ``export`` makes the bundle, ``curves`` draws the log, ``averages`` makes the example
pictures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import Recipe, load_recipe

if TYPE_CHECKING:
    from training.batches import Source

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "training"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with train/, scenes/ and others"
    )
    parser.add_argument(
        "--cache", type=Path, default=ROOT.parent / "cache", help="folder outside the repository for faces and weights"
    )
    parser.add_argument("--config", type=Path, default=HERE / "config.json", help="the recipe")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("prepare", "find and cut the faces, write pictures.csv and sets.csv"),
        ("averages", "make the average faces of examples/"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--detector", type=Path, required=True, help="face detector, an ONNX file")
    commands.add_parser("train", help="train every network of the recipe")
    decide = commands.add_parser("decide", help="calibrate a trained network, fit its decision rule")
    decide.add_argument("--name", help="network (default: the recipe's built-in one)")
    decide.add_argument("--out", type=Path, default=HERE / "checkpoint")
    export = commands.add_parser("export", help="make the bundle with gender-classifier export")
    export.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    export.add_argument("--name", default="gender-small")
    export.add_argument("--output", type=Path, default=ROOT / "models", help="folder of the bundle")
    commands.add_parser("curves", help="draw log.json into docs/builtin-model-curves.png")
    return parser


def _prepare(options: argparse.Namespace, recipe: Recipe) -> None:
    from gender_classifier.runtime.faces.detector import Detector
    from training.faces import collect
    from training.pictures import write_lists

    options.cache.mkdir(parents=True, exist_ok=True)
    detector = Detector.load(options.detector, threshold=0.5)
    used = collect(options.data, detector, recipe.faces, options.cache / "faces.npz")
    write_lists(used, recipe.faces.held_out, HERE / "pictures.csv", HERE / "sets.csv")


def _source(options: argparse.Namespace, recipe: Recipe) -> Source:
    import torch

    from training.batches import Source
    from training.faces import load_pool
    from training.soft import GenderNet, model_file

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pool = load_pool(options.cache / "faces.npz", recipe.faces)
    return Source(pool, recipe, GenderNet(model_file("gender-v1.onnx"), device), device)


def _train(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.train import train

    train(_source(options, recipe), recipe, options.cache)


def _decide(options: argparse.Namespace, recipe: Recipe) -> None:
    from transformers import ResNetForImageClassification, ViTImageProcessor

    from training.train import answer
    from training.validation import Examination, decide

    name = options.name or recipe.built_in
    model = ResNetForImageClassification.from_pretrained(options.cache / name).eval()
    ViTImageProcessor.from_pretrained(options.cache / name).save_pretrained(options.out)
    source, size = _source(options, recipe), recipe.networks[name].size
    model.to(source.device)
    examination = Examination.prepare(source, copies=8)
    print(decide(model, lambda v: answer(model, size, v), examination, recipe, options.out))


def _export(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.faces import write_calibration

    framing = recipe.faces.framing
    command = [sys.executable, "-m", "gender_classifier", "export", str(options.checkpoint.resolve())]
    command += ["--name", options.name, "--output", str(options.output.resolve()), "--variants", "int8"]
    command += ["--default-variant", "fp32", "--framing", framing.kind, "--margin", str(framing.margin)]
    command += ["--eye-distance", str(framing.eye_distance), "--eye-line", str(framing.eye_line)]
    with tempfile.TemporaryDirectory() as folder:
        size = recipe.networks[recipe.built_in].size
        write_calibration(options.cache / "faces.npz", recipe.faces, size, Path(folder))
        subprocess.run([*command, "--calibration", folder], check=True, cwd=ROOT)


def _curves(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.plots import draw_curves

    draw_curves(HERE / "log.json", ROOT / "docs" / "builtin-model-curves.png")


def _averages(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.averages import write_averages

    print(write_averages(options.data, options.detector, ROOT / "examples"))


COMMANDS = {
    "prepare": _prepare,
    "train": _train,
    "decide": _decide,
    "export": _export,
    "curves": _curves,
    "averages": _averages,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one step of the recipe; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["detector"]:
        from training.detector.command import main as detector

        return detector(given[1:])
    options = _parser().parse_args(given)
    COMMANDS[options.command](options, load_recipe(options.config))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
