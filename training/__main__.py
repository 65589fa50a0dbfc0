"""``python -m training prepare|train``: one command for each step of the recipe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.config import Config, load_config

ROOT = Path(__file__).resolve().parent.parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=ROOT.parent / "cache")
    parser.add_argument("--config", type=Path, default=ROOT / "training" / "config.json")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare")
    train = commands.add_parser("train")
    train.add_argument("--out", type=Path, default=ROOT / "training" / "checkpoint")
    train.add_argument("--candidate", help="a name from training.models.CANDIDATES")
    train.add_argument("--steps", type=int)
    train.add_argument("--teacher", type=Path, action="append", default=[])
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one step of the recipe."""
    options = _parser().parse_args(arguments)
    config = load_config(options.config) if options.config.exists() else Config()
    if options.command == "prepare":
        from training.data import read_faces, split_by_person
        from training.prepare import prepare, write_table

        print(prepare(options.data, options.cache, config.data))
        rows = read_faces(options.data, config.data.folder)
        held = split_by_person(rows, config.data.validation_share, config.data.split_seed)[1]
        write_table(rows, held, ROOT / "training" / "pictures.csv")
        return 0
    import torch
    from transformers import AutoModelForImageClassification

    from training.models import CANDIDATES
    from training.train import train

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.candidate:
        config = replace(config, model=CANDIDATES[options.candidate])
    if options.steps:
        schedule = replace(
            config.schedule,
            steps=options.steps,
            warmup=min(config.schedule.warmup, options.steps // 10),
        )
        config = replace(config, schedule=schedule)
    teachers = [AutoModelForImageClassification.from_pretrained(t).eval() for t in options.teacher]
    train(
        options.data,
        options.cache,
        config,
        options.out,
        teachers,
        say=lambda line: print(line, flush=True),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
