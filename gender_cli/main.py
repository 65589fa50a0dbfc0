"""Parses the command line and runs the command that it names.

``--help``, ``--version`` and wrong use are answered before numpy or onnxruntime is imported.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .interrupt import INTERRUPTED, end_at_once, ending_at_once

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line; ``run`` of the result is the command's function.

    Raises:
        SystemExit: With 0 after ``--help``, with 2 on wrong use.
    """
    if argv and argv[0] == "sort":
        from .sorting import command as sort

        return sort.build_parser().parse_args(argv[1:])
    if argv and argv[0] == "models":
        from .models import command as models

        return models.build_parser().parse_args(argv[1:])
    from .arguments import build_parser

    parser = build_parser()
    # Options may stand between paths; the call that allows it loses what follows `--`.
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_intermixed_args(words[:end])
    arguments.paths += words[end + 1 :]
    if arguments.version:
        arguments.run = print_version
        return arguments
    if not arguments.paths:
        parser.error("give at least one PATH: a picture, a folder, a glob, or - for stdin")
    if arguments.paths.count("-") > 1:
        parser.error("stdin (-) can be read once only")
    if arguments.resume and arguments.output is None:
        parser.error("--resume needs --output FILE.jsonl")
    if arguments.output is not None and arguments.form != "text":
        parser.error("--output writes JSON lines; leave out --json, --jsonl and --csv")
    arguments.run = _classify
    return arguments


def print_version(arguments: argparse.Namespace) -> int:
    """Prints package, model and onnxruntime, without loading any of them."""
    from .. import runtime
    from ..runtime.bundle.bundle import read_manifest
    from ..runtime.bundle.locate import choose
    from ..runtime.bundle.resolve import folder_of
    from ..runtime.errors import ClassifierError

    try:
        manifest = read_manifest(folder_of(choose(arguments.model, exported=True).model))
        revision = manifest.source.revision or manifest.source.digest or ""
        model = f"{manifest.name} ({manifest.source.repository} {revision[:12]})"
    except ClassifierError as error:
        model = f"none ({error})"
    print(f"gender-classifier {runtime.__version__}\nmodel {model}\nonnxruntime {_engine()}")  # noqa: T201
    return 0


def _engine() -> str:
    """Returns the version that onnxruntime's own module states, whichever package brought it; it is not imported."""
    from importlib.util import find_spec

    try:
        spec = find_spec("onnxruntime")
        if spec is None:
            return "not installed"
        text = Path(spec.origin).read_text(encoding="utf-8") if spec.origin else ""
    except (OSError, ValueError):
        text = ""
    stated = re.search(r"^__version__ = [\"'](.+)[\"']", text, re.MULTILINE)
    return stated[1] if stated else "of an unknown version"


def _classify(arguments: argparse.Namespace) -> int:
    from . import classify

    return classify.run(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 all well, 1 a picture failed, 2 wrong use or no model."""
    import warnings

    from ..runtime.errors import first_line
    from . import stdio

    stdio.prepare()
    # What a broken picture makes Pillow warn of is no news to a user: its result says what became of it.
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["export"]:
        from ..export.command import main as export

        return export(words[1:])
    if words[:1] == ["evaluate"]:
        from ..evaluation.command_line import main as evaluate

        return evaluate(words[1:])
    with ending_at_once():
        arguments = parse_args(words)
    if sys.stdout is None:
        stdio.say("there is no stdout to write answers to: it is closed.")
        return 2
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        end_at_once()  # leaving waits for the pictures under way, which a second Ctrl-C need not
        try:
            sys.stdout.flush()
        except OSError:  # its reader was interrupted, too
            stdio.abandon_stdout()
        return INTERRUPTED
    except BrokenPipeError:
        stdio.abandon_stdout()  # the reader has what it wanted (`| head`)
        return 0
    except ImportError as error:
        stdio.say(f"{first_line(error)}. This installation is not whole; install the package again.")
        return 2
    except OSError as error:
        if error.filename is not None or error.errno is None:  # some file's error, not that of a write to stdout
            raise
        stdio.say(f"the answers cannot be written: {error.strerror}.")
        stdio.abandon_stdout()
        return 2
    return code
