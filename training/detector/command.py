"""``python -m training detector COMMAND``: one command for each step of the detector's recipe.

``prepare`` makes the pool of pictures, ``train`` does the stages that are not done yet, ``export`` writes the file that
the package carries, ``evaluate`` measures it and writes the table into ``docs/faces.md``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from .config import load_recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHECKPOINT = HERE / "checkpoint" / "model.safetensors"
_BEGIN, _END = "<!-- training detector evaluate: begin -->\n", "\n<!-- training detector evaluate: end -->"
FILE = ROOT / "models" / "face-detector" / "face_detector.onnx"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training detector", description=__doc__)
    shared = ROOT.parent / "shared"
    parser.add_argument(
        "--data", type=Path, default=shared / "data", help="folder of the sets (default: ../shared/data)"
    )
    parser.add_argument(
        "--teacher", type=Path, default=shared / "detector" / "yunet_n_dynamic.onnx", help="YuNet's ONNX file"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT.parent / "cache" / "detector",
        help="folder outside the repository for the pool and the stages (default: ../cache/detector)",
    )
    parser.add_argument("--config", type=Path, default=HERE / "config.json", help="the recipe")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="make the pool, write pictures.csv")
    commands.add_parser("train", help="do the stages that are not done yet, write checkpoint and log.json")
    commands.add_parser("export", help="write models/face-detector")
    evaluate = commands.add_parser("evaluate", help="measure it, write results.json and docs/faces.md")
    evaluate.add_argument("--every", type=int, default=1, help="take every so-many-th picture of the sets with people")
    return parser


def _prepare(options: argparse.Namespace) -> None:
    from .prepare import prepare, write_pictures

    print(prepare(options.data, options.cache, options.teacher))
    write_pictures(options.data, HERE / "pictures.csv")


def _train(options: argparse.Namespace) -> None:
    from .export import export
    from .mine import mine
    from .train import load_network, train

    recipe, start, logs = load_recipe(options.config), None, []
    for stage in recipe.stages:
        weights, log = options.cache / f"{stage.name}.safetensors", options.cache / f"{stage.name}.json"
        if not log.exists():
            if stage.refined and start is not None:
                before = start.with_suffix(".onnx")
                export(load_network(recipe, start), before)
                print(mine(options.cache, before), "false alarms in the pool")
            content = train(recipe, options.cache, stage, start, weights)
            log.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        logs.append(json.loads(log.read_text("utf-8")))
        start = weights
    if start is not None:
        CHECKPOINT.parent.mkdir(exist_ok=True)
        shutil.copy(start, CHECKPOINT)
    (HERE / "log.json").write_text(json.dumps(logs, indent=1) + "\n", encoding="utf-8")


def _export(options: argparse.Namespace) -> None:
    from .export import export, write_record
    from .train import load_network

    recipe = load_recipe(options.config)
    FILE.parent.mkdir(exist_ok=True)
    export(load_network(recipe, CHECKPOINT), FILE)
    write_record(FILE, recipe.threshold, recipe.detect_size)


def _evaluate(options: argparse.Namespace) -> None:
    from .evaluate import evaluate, table

    results = evaluate(options.data, FILE, options.teacher, options.every)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = ROOT / "docs" / "faces.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    page.write_text(before + begin + table(results) + _END + rest.partition(_END)[2], encoding="utf-8")
    print(table(results))


COMMANDS = {"prepare": _prepare, "train": _train, "export": _export, "evaluate": _evaluate}


def main(arguments: Sequence[str]) -> int:
    """Runs one step of the recipe; returns the exit status."""
    options = _parser().parse_args(arguments)
    COMMANDS[options.command](options)
    return 0
