"""The options of ``gender-classifier PATH...``. Nothing here imports numpy or onnxruntime."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["build_parser", "fraction", "model_options", "positive"]

EPILOG = """\
other commands:
  gender-classifier sort SRC DEST    put pictures into one folder per answer
  gender-classifier models ...       list, show, verify, add, remove models; install the face detector

exit codes: 0 all pictures were classified; 1 at least one was not (the others still are); 2 wrong use, no model,
or output that cannot be written

The answer is a guess at an appearance, made by a model that makes mistakes. It says nothing about a person's identity.
"""


def positive(text: str) -> int:
    """Reads an option's whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def not_negative(text: str) -> int:
    """Reads an option's whole number of 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


def fraction(text: str) -> float:
    """Reads an option's number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


# argparse names the type in its message: "argument --threads: invalid whole number value: 'x'".
positive.__name__ = not_negative.__name__ = "whole number"
fraction.__name__ = "number"


def model_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose and tune a model; every command that classifies has them."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="NAME|DIR",
        help="model to use (default: $GENDER_CLASSIFIER_MODEL, else an exported model, else the built-in one)",
    )
    model.add_argument("--variant", metavar="NAME", help="fp32, int8 or q4 (default: the one the model names)")
    model.add_argument(
        "--threshold",
        type=fraction,
        metavar="P",
        help="answer 'uncertain' below this probability, 0 to 1 (default: the model's own thresholds)",
    )
    model.add_argument("--provider", default="cpu", metavar="NAME", help="execution provider (default: cpu)")
    model.add_argument(
        "--threads", type=positive, metavar="N", help="threads of the network (default: CPUs allowed, at most 4)"
    )
    model.add_argument(
        "--batch-size", type=positive, default=8, metavar="N", help="pictures per run of the network (default: 8)"
    )
    model.add_argument(
        "--workers", type=positive, metavar="N", help="decoding threads (default: CPUs allowed, at most 8)"
    )

    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--faces",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="find the faces and classify each, or take the whole picture (default: as the model wants)",
    )
    faces.add_argument("--detector", metavar="FILE", help="face detector to use (default: the installed one)")
    faces.add_argument(
        "--detector-threshold", type=fraction, metavar="P", help="least detection score, 0 to 1 (default: 0.8)"
    )
    faces.add_argument(
        "--detect-size", type=positive, metavar="PX", help="longest side at which faces are looked for (default: 1152)"
    )
    faces.add_argument(
        "--min-face", type=not_negative, default=0, metavar="PX", help="leave out faces smaller than this (default: 0)"
    )
    faces.add_argument("--max-faces", type=positive, metavar="N", help="at most this many faces a picture")

    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-bytes", type=positive, metavar="N", help="refuse larger files")
    limits.add_argument("--max-pixels", type=positive, metavar="N", help="refuse pictures with more pixels")
    limits.add_argument(
        "--exact",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="decode every pixel, or large JPEGs at reduced scale: faster, and a little different (default: exact)",
    )


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of ``gender-classifier PATH...``."""
    parser = argparse.ArgumentParser(
        prog="gender-classifier",
        description="Says whether the person on a picture looks like a woman or a man, with probabilities.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="picture files, folders, globs, or - for a picture on stdin"
    )
    parser.add_argument("-r", "--recursive", action="store_true", help="go into the subfolders of folders")

    output = parser.add_argument_group("output")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", dest="form", action="store_const", const="json", help="one JSON list")
    form.add_argument("--jsonl", dest="form", action="store_const", const="jsonl", help="one JSON object a line")
    form.add_argument("--csv", dest="form", action="store_const", const="csv", help="a table with a header line")
    parser.set_defaults(form="text")
    output.add_argument("--lang", choices=("en", "fr"), default="en", help="language of the words (default: en)")
    output.add_argument(
        "--output", type=Path, metavar="FILE.jsonl", help="append the results to this file as they come"
    )
    output.add_argument("--resume", action="store_true", help="skip the pictures that --output already holds")
    output.add_argument("--annotate", type=Path, metavar="DIR", help="write copies with boxes and words drawn on")
    output.add_argument("--save-crops", type=Path, metavar="DIR", help="write what the model really saw")
    output.add_argument("--mixed", action="store_true", help="count pictures whose people differ as mixed")
    output.add_argument("-q", "--quiet", action="store_true", help="no notices, no progress, no tally on stderr")

    model_options(parser)
    parser.add_argument(
        "--version", action="store_true", help="print the versions of the package, the model and onnxruntime"
    )
    return parser
