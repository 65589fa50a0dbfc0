"""One command for each step of the recipe.

``prepare`` caches the crops, ``train`` fits the weights and the decision rule, ``decide`` fits the rule alone,
``front`` compares candidates, ``evaluate`` measures a checkpoint on the test sets, ``tables`` writes the figures into
the documents, ``averages`` makes the example pictures, ``export`` makes the bundle.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from training.config import Config, load_config

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "training"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data",
        help="folder with train/ and the test sets, each with its labels.csv",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT.parent / "cache",
        help="folder outside the repository for crops and trial runs",
    )
    parser.add_argument("--config", type=Path, default=HERE / "config.json", help="the recipe")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="cache the crops, write pictures.csv")
    train = commands.add_parser("train", help="fit weights and decision rule")
    train.add_argument("--out", type=Path, default=HERE / "checkpoint")
    train.add_argument("--candidate", help="a name of training.models.CANDIDATES")
    train.add_argument("--teacher", type=Path, action="append", default=[], help="a checkpoint to learn from too")
    train.add_argument("--initial", type=Path, help="a checkpoint to start from")
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
    export = commands.add_parser("export", help="make the bundle with `python -m export`")
    export.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    export.add_argument("--name", default="gender-small")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _prepare(options: argparse.Namespace, config: Config) -> None:
    from training.data import read_faces, split_by_person
    from training.prepare import prepare, write_table

    _say(str(prepare(options.data, options.cache, config.data)))
    rows = read_faces(options.data, config.data.folder)
    held = split_by_person(rows, config.data.validation_share, config.data.split_seed)[1]
    write_table(rows, held, HERE / "pictures.csv")


def _train(options: argparse.Namespace, config: Config) -> None:
    from transformers import AutoModelForImageClassification

    from training.models import CANDIDATES
    from training.plots import draw_curves
    from training.train import train
    from training.validation import decide

    if options.candidate:
        config = replace(config, model=CANDIDATES[options.candidate])
    teachers = [AutoModelForImageClassification.from_pretrained(t).eval() for t in options.teacher]
    initial = AutoModelForImageClassification.from_pretrained(options.initial) if options.initial else None
    log = train(options.data, options.cache, config, options.out, teachers, initial, say=_say)
    draw_curves(log["curves"], options.out / "curves.png")
    _say(str(decide(options.data, options.cache, config, options.out)))


def _decide(options: argparse.Namespace, config: Config) -> None:
    from training.validation import decide

    _say(str(decide(options.data, options.cache, config, options.checkpoint)))


def _front(options: argparse.Namespace, config: Config) -> None:
    from training.front import measure_cost
    from training.models import CANDIDATES, build_model
    from training.train import train

    done = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    found = done.get("candidates", {})
    for name in options.only or (found if options.costs else CANDIDATES):
        trial = replace(config, model=CANDIDATES[name])
        folder = options.cache / "front" / name
        cost = measure_cost(build_model(trial.model), trial.model.size, folder)
        if options.costs:
            found[name].update(cost)
            continue
        log = train(options.data, options.cache, trial, folder, say=_say)
        last = log["curves"][-1]
        found[name] = cost | {k: last[k] for k in last if k not in {"step", "loss"}}
        _write(options.out, {"schedule": asdict(config.schedule), "candidates": found})
    if options.costs:
        _write(options.out, done | {"candidates": found})


def _evaluate(options: argparse.Namespace, config: Config) -> None:
    from training.evaluate import evaluate

    results = evaluate(options.data, options.checkpoint, config.model.margin)
    _write(options.out, results)
    for name, part in results["sets"].items():
        for framing in ("face", "image"):
            for who in ("all", "adults"):
                _say(f"{name} {framing} {who} {json.dumps(part[framing][who])}")
            if "abstention_adults" in part[framing]:
                _say(f"  {json.dumps(part[framing]['abstention_adults'])}")


def _tables(options: argparse.Namespace, config: Config) -> None:
    from training.plots import draw_front
    from training.tables import fill

    results = json.loads((HERE / "results.json").read_text("utf-8"))
    trials = json.loads((HERE / "front.json").read_text("utf-8"))
    for path in (ROOT / "docs" / "builtin-model.md", HERE / "checkpoint" / "README.md"):
        fill(path, results, trials)
    draw_front(trials["candidates"], ROOT / "docs" / "builtin-model-front.png")


def _averages(options: argparse.Namespace, config: Config) -> None:
    from training.averages import write_averages

    _say(json.dumps(write_averages(options.data, options.detector, options.out)))


def _export(options: argparse.Namespace, config: Config) -> None:
    # A process of its own: this room may import the runtime and no other.
    command = [sys.executable, "-m", "export", str(options.checkpoint), "--name", options.name]
    command += ["--framing", "face", "--margin", str(config.model.margin)]
    command += ["--variants", ""]  # int8 passes the gate, but with it the bundle would be over 4 MB
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
    options = _parser().parse_args(arguments)
    config = load_config(options.config)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    COMMANDS[options.command](options, config)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
