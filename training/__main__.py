"""One command for each step of the recipe.

``prepare`` caches the crops, ``train`` does the stages of the recipe and fits the decision rule, ``decide`` fits the
rule alone, ``front`` compares candidates, ``evaluate`` measures a checkpoint on the test sets, ``tables`` writes the
figures into the documents, ``averages`` makes the example pictures, ``export`` makes the bundle.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.config import Config, Recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "training"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data",
        help="folder with train/ and the test sets, each with its labels.csv (default: ../shared/data)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT.parent / "cache",
        help="folder outside the repository for crops, stages and trial runs (default: ../cache)",
    )
    parser.add_argument("--config", type=Path, default=HERE / "config.json", help="the recipe")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="cache the crops, write pictures.csv")
    train = commands.add_parser("train", help="fit weights and decision rule: every stage that is not done yet")
    train.add_argument("--out", type=Path, default=HERE / "checkpoint")
    train.add_argument("--log", type=Path, default=HERE / "log.json", help="receives the curves of all stages")
    train.add_argument("--stage", help="do this stage and no other, so that two may run side by side")
    decide = commands.add_parser("decide", help="fit only the decision rule again")
    decide.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    front = commands.add_parser("front", help="compare candidates on a short schedule")
    front.add_argument("--out", type=Path, default=HERE / "front.json")
    front.add_argument("--only", action="append", default=[], help="a candidate; may be repeated")
    front.add_argument("--costs", action="store_true", help="only measure size and time again")
    evaluate = commands.add_parser("evaluate", help="measure a checkpoint on the test sets")
    evaluate.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    evaluate.add_argument("--out", type=Path, default=HERE / "results.json")
    commands.add_parser("tables", help="write the figures into docs/builtin-model.md and the model card")
    averages = commands.add_parser("averages", help="make the average faces of examples/")
    averages.add_argument("--detector", type=Path, required=True, help="YuNet as ONNX")
    averages.add_argument("--out", type=Path, default=ROOT / "examples")
    export = commands.add_parser("export", help="make the bundle with `gender-classifier export`")
    export.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    export.add_argument("--name", default="gender-small")
    export.add_argument("--output", type=Path, default=ROOT / "models", help="folder of the bundle")
    export.add_argument("--variants", default="", help="int8 makes it too, calibrated on training pictures")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _prepare(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.data import read_faces, split_by_person
    from training.prepare import prepare, write_table

    _say(str(prepare(options.data, options.cache, recipe.data)))
    rows = read_faces(options.data, recipe.data.folder)
    held = split_by_person(rows, recipe.data.validation_share, recipe.data.split_seed)[1]
    write_table(rows, held, HERE / "pictures.csv")


def _train(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.stages import LOG, is_done, run_stage, stage_folder

    names = [options.stage] if options.stage else [name for name in recipe.stages if not is_done(options.cache, name)]
    for name in names:
        _say(f"stage {name}")
        run_stage(options.data, options.cache, recipe, name, say=_say)
    if options.stage:
        return
    folders = {name: stage_folder(options.cache, name) for name in recipe.stages}
    logs = {name: json.loads((folder / LOG).read_text("utf-8")) for name, folder in folders.items()}
    _write(options.log, logs)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "decision.json", "model.safetensors", "preprocessor_config.json"):
        shutil.copy(folders[list(recipe.stages)[-1]] / name, options.out / name)


def _decide(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.validation import decide

    _say(str(decide(options.data, options.cache, recipe.final.config, options.checkpoint)))


def _front(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.front import SCHEDULE, measure_cost
    from training.models import CANDIDATES, build_model
    from training.train import train

    done = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    found = done.get("candidates", {})
    for name in options.only or (found if options.costs else CANDIDATES):
        trial = Config(data=recipe.data, model=CANDIDATES[name], schedule=SCHEDULE)
        folder = options.cache / "front" / name
        cost = measure_cost(build_model(trial.model), trial.model.size, folder)
        if options.costs:
            found[name].update(cost)
            continue
        log = train(options.data, options.cache, trial, folder, say=_say)
        last = log["curves"][-1]
        found[name] = cost | {k: last[k] for k in last if k not in {"step", "loss", "seconds"}}
        _write(options.out, {"schedule": asdict(SCHEDULE), "candidates": found})
    if options.costs:
        _write(options.out, done | {"candidates": found})


def _evaluate(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.evaluate import evaluate

    results = evaluate(options.data, options.checkpoint, recipe.final.config.model.margin)
    _write(options.out, results)
    for name, part in results["sets"].items():
        for framing in ("face", "image"):
            for who in ("all", "adults"):
                _say(f"{name} {framing} {who} {json.dumps(part[framing][who])}")
            if "abstention_adults" in part[framing]:
                _say(f"  {json.dumps(part[framing]['abstention_adults'])}")


def _tables(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.plots import draw_curves, draw_front
    from training.tables import Figures, fill

    results, trials, logs = (json.loads((HERE / f"{n}.json").read_text("utf-8")) for n in ("results", "front", "log"))
    for path in (ROOT / "docs" / "builtin-model.md", HERE / "checkpoint" / "README.md"):
        fill(path, Figures(results, trials, logs, recipe))
    draw_front(trials["candidates"], ROOT / "docs" / "builtin-model-front.png")
    draw_curves(logs, ROOT / "docs" / "builtin-model-curves.png")


def _averages(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.averages import write_averages

    _say(json.dumps(write_averages(options.data, options.detector, options.out)))


def _export(options: argparse.Namespace, recipe: Recipe) -> None:
    from training.prepare import write_calibration

    margin = recipe.final.config.model.margin
    # A process of its own: this room may import the runtime and no other.
    command = [sys.executable, "-m", "export", str(options.checkpoint.resolve()), "--name", options.name]
    command += ["--output", str(options.output.resolve()), "--framing", "face", "--margin", str(margin)]
    command += ["--variants", options.variants]
    with tempfile.TemporaryDirectory() as folder:
        if options.variants:
            write_calibration(options.data, recipe.data, margin, Path(folder))
            command += ["--calibration", folder]
        subprocess.run(command, check=True, cwd=ROOT)


COMMANDS = {
    "prepare": _prepare,
    "train": _train,
    "decide": _decide,
    "front": _front,
    "evaluate": _evaluate,
    "tables": _tables,
    "averages": _averages,
    "export": _export,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one step of the recipe; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["detector"]:
        from training.detector.command import main as detector

        return detector(given[1:])
    options = _parser().parse_args(given)
    recipe = load_recipe(options.config)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    COMMANDS[options.command](options, recipe)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
