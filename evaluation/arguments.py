"""Parses the command line of ``gender-classifier evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..runtime.parser import Parser
from .defaults import MAX_ERROR, MIN_GROUP, ROBUSTNESS_SAMPLE

__all__ = ["COMMANDS", "build_parser", "parse"]

COMMANDS = ("report", "calibrate", "compare")


def parse(words: list[str]) -> argparse.Namespace:
    """Reads the command line; without a command name it is ``report``."""
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help")):
        words = ["report", *words]
    return build_parser().parse_args(words)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of ``gender-classifier evaluate``."""
    parser = Parser(
        prog="gender-classifier evaluate",
        description="Measures how good a model is on labelled pictures, for whom, and where it fails.",
        epilog="gender-classifier evaluate LABELS ... is short for gender-classifier evaluate report LABELS ...",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    report = _command(commands, "report", "report.json, report.md and figures for one model on one set")
    _add_set(report)
    _add_model(report)
    report.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the report; made if missing"
    )
    report.add_argument("--group-by", default="", metavar="COLUMNS", help="columns to report by, such as age,race")
    report.add_argument("--name", help="name of the set in the report (default: its folder's)")
    report.add_argument(
        "--min-group",
        type=int,
        default=MIN_GROUP,
        metavar="N",
        help=f"fewest pictures behind a gap (default {MIN_GROUP})",
    )
    report.add_argument(
        "--robustness",
        type=int,
        default=ROBUSTNESS_SAMPLE,
        metavar="N",
        help=f"pictures for the robustness curves, each about 40 times over; 0: none (default {ROBUSTNESS_SAMPLE})",
    )
    report.add_argument(
        "--contact-sheet",
        type=int,
        default=0,
        metavar="N",
        help="also write the N worst failures as one picture; it shows people, keep it to yourself (default 0: none)",
    )

    calibrate = _command(commands, "calibrate", "fit temperature and thresholds and write them into the bundle")
    _add_set(calibrate)
    _add_model(calibrate)
    calibrate.add_argument(
        "--max-error",
        type=float,
        default=MAX_ERROR,
        metavar="SHARE",
        help=f"share of the answers for each class that may be wrong (default {MAX_ERROR})",
    )
    calibrate.add_argument("--balanced", action="store_true", help="count women and men alike, whatever their numbers")
    calibrate.add_argument("--dry-run", action="store_true", help="print what would be written, write nothing")

    compare = _command(commands, "compare", "McNemar's paired test of two models on the same pictures")
    _add_set(compare)
    _add_model(compare, twice=True)
    compare.add_argument("--output", type=Path, metavar="FILE", help="write the comparison as JSON")
    return parser


def _command(commands: argparse._SubParsersAction[Parser], name: str, says: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=says, description=f"{says[0].upper()}{says[1:]}.")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="CSV with file and gender, or a folder with one subfolder per class"
    )
    parser.add_argument(
        "--where", metavar="CONDITION", help="only these rows, such as 'age>=18' or 'age>=18 and race=Black'"
    )
    parser.add_argument(
        "--boxes", metavar="COLUMN", help="column with the face (x0 y0 x1 y1); no detector is needed then"
    )
    parser.add_argument(
        "--label-column", default="gender", metavar="COLUMN", help="column with the label (default gender)"
    )


def _add_model(parser: argparse.ArgumentParser, *, twice: bool = False) -> None:
    if twice:
        parser.add_argument(
            "--model", action="append", required=True, metavar="NAME", help="given twice: the two models"
        )
    else:
        parser.add_argument(
            "--model", metavar="NAME", help="name or folder of a bundle (default: as gender-classifier chooses)"
        )
        parser.add_argument("--variant", metavar="NAME", help="variant of the bundle (default: its default one)")
    parser.add_argument(
        "--no-faces",
        dest="faces",
        action="store_const",
        const=False,
        help="whole pictures; faces are not looked for",
    )
    parser.add_argument(
        "--detector", metavar="FILE", help="face detector (default: the one added, else the built-in one)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the network")
