"""The options of ``gender-classifier PATH...``. Nothing here imports numpy or onnxruntime."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..runtime.installing import install_command
from ..runtime.options import PARTS, Option, options_of
from ..runtime.parser import Parser
from .words import phrase

__all__ = ["build_parser", "model_options", "positive"]

EPILOG = """\
other commands:
  gender-classifier sort SRC DEST    put pictures into one folder per answer
  gender-classifier models ...       list, show, verify, add, remove models; install the face detector
  gender-classifier export ...       make a model of a Hugging Face checkpoint
  gender-classifier evaluate ...     measure a model on labelled pictures

{larger}

exit codes: 0 every picture has an answer; 1 at least one failed (the others have theirs); 2 wrong use, no model,
or output that cannot be written

The answer is a guess at an appearance, made by a model that makes mistakes. It says nothing about a person's identity.
"""


def positive(text: str) -> int:
    """Reads an option's whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


# argparse names the type in its message: "argument --batch-size: invalid whole number value: 'x'".
positive.__name__ = "whole number"


def model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose and tune a model; every command that classifies has them.

    What is not given is ``None``, as :func:`~runtime.options.from_flat` takes it.
    """
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="NAME|DIR",
        help="model to use (default: $GENDER_CLASSIFIER_MODEL, else an exported model, else the built-in one)",
    )
    groups = (model, parser.add_argument_group("faces"), parser.add_argument_group("limits"))
    for group, part in zip(groups, PARTS, strict=True):
        for _, option in options_of(part):
            _add(groups[1] if option.name in ("faces", "main") else group, option)
    model.add_argument(
        "--batch-size", type=positive, default=8, metavar="N", help="pictures per run of the network (default: 8)"
    )
    model.add_argument(
        "--workers", type=positive, metavar="N", help="decoding threads (default: CPUs allowed, at most 8)"
    )


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    if option.kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=option.help)
    elif option.choices:
        group.add_argument(flag, choices=option.choices, help=option.help)
    else:
        group.add_argument(flag, type=_reader(option), metavar=option.metavar, help=option.help)


def _reader(option: Option) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = option.kind(text)
        if not option.allows(value):
            raise argparse.ArgumentTypeError(f"{text} is not {option.range}")
        return value

    read.__name__ = {int: "whole number", float: "number"}.get(option.kind, "text")
    return read


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of ``gender-classifier PATH...``."""
    parser = Parser(
        prog="gender-classifier",
        description="Says whether the person on a picture looks like a woman or a man, with probabilities.",
        epilog=EPILOG.format(larger=phrase("en", "larger_model", command=install_command("export"))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="picture files, folders, patterns, or - for a picture on stdin"
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="go into the subfolders of folders")

    output = parser.add_argument_group("output")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="one JSON list")
    form.add_argument("--jsonl", dest="form", action="store_const", const="jsonl", help="one JSON object a line")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="a table with a header line")
    parser.set_defaults(form="text")
    output.add_argument(
        "--rows",
        choices=("pictures", "people"),
        default="pictures",
        help="what a row of --csv stands for (default: pictures)",
    )
    output.add_argument("-v", "--verbose", action="store_true", help="a line for every person, with all probabilities")
    output.add_argument("--lang", choices=("en", "fr"), default="en", help="language of the words (default: en)")
    output.add_argument("--output", metavar="FILE.jsonl", help="append the results to this file as they come")
    output.add_argument("--resume", action="store_true", help="skip the pictures that --output already holds")
    output.add_argument("--annotate", metavar="DIR", help="write copies with boxes and words drawn on")
    output.add_argument("--save-crops", metavar="DIR", help="write what the model really saw")
    output.add_argument("-q", "--quiet", action="store_true", help="no notices, no progress, no tally on stderr")

    model_options(parser)
    parser.add_argument(
        "--version", action="store_true", help="print the versions of the package, the model and onnxruntime"
    )
    return parser
