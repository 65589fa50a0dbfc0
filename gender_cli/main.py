"""Parses the command line, runs the command that it names and turns how it ended into an exit code.

``--help``, ``--version`` and wrong use are answered before numpy or onnxruntime is imported.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from .interrupt import INTERRUPTED, end_at_once, ending_at_once

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: every picture has an answer; 1: one failed; 2: wrong use, no model, or output that cannot be written; 130:
    interrupted.
    """
    with ending_at_once():
        import os
        import warnings

        from . import stdio

        stdio.prepare()
        # numpy's OpenBLAS starts a thread for each CPU when it is imported. There is no work for them here, and where
        # no thread may be started it ends the process.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # What a broken picture makes Pillow warn of is no news to a user: its result says what became of it.
        warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
    try:
        with ending_at_once():
            run = _command(sys.argv[1:] if argv is None else list(argv))
        if sys.stdout is None:
            stdio.say("there is no stdout to write answers to: it is closed.")
            return 2
        code = run()
        sys.stdout.flush()
    except SystemExit:  # --help, wrong use
        stdio.finish()
        raise
    except KeyboardInterrupt:
        end_at_once()  # leaving waits for the pictures under way, which a second Ctrl-C need not
        stdio.finish()
        return INTERRUPTED
    except BrokenPipeError:
        stdio.abandon_stdout()  # the reader has what it wanted (`| head`)
        return 0
    except ImportError as error:
        from ..runtime.errors import first_line
        from ..runtime.installing import install_command

        stdio.say(f"{first_line(error)}. To install what is needed: {install_command()}")
        return 2
    except OSError as error:
        if error.filename is not None or error.errno is None:  # some file's error, not that of a write to stdout
            raise
        stdio.say(f"the answers cannot be written: {error.strerror}.")
        stdio.abandon_stdout()
        return 2
    if argv is None:
        end_at_once()  # Python would tell how it was ending
    return code


def _command(words: list[str]) -> Callable[[], int]:
    """Returns what a command line asks for, ready to run.

    Raises:
        SystemExit: With 0 after ``--help``, with 2 on wrong use.
    """
    name = words[0] if words else ""
    if name == "export":
        from ..export.command import main as export

        return partial(export, words[1:])
    if name == "evaluate":
        from ..evaluation.command_line import main as evaluate

        return partial(evaluate, words[1:])
    if words == ["--version"]:  # quicker than asking the parser
        return partial(print_version, None)
    arguments = parse_args(words)
    return partial(arguments.run, arguments)


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
        arguments.run = lambda arguments: print_version(arguments.model)
        return arguments
    if not arguments.paths:
        parser.error("give at least one PATH: a picture, a folder, a pattern, or - for stdin")
    if arguments.paths.count("-") > 1:
        parser.error("stdin (-) can be read once only")
    if arguments.resume and arguments.output is None:
        parser.error("--resume needs --output FILE.jsonl")
    if arguments.output is not None and arguments.form != "text":
        parser.error("--output writes JSON lines; leave out --json, --jsonl and --csv")
    if arguments.rows != "pictures" and arguments.form != "csv":
        parser.error("--rows says what a row of --csv stands for; give --csv as well")
    from . import classify

    arguments.run = classify.run
    return arguments


def print_version(named: str | None) -> int:
    """Prints package, model and onnxruntime, without loading any of them, and whatever is broken."""
    with ending_at_once():
        from .. import runtime
        from .stdio import show

        package, model, engine = runtime.__version__, _model(named), _onnxruntime()
    show(f"gender-classifier {package}", f"model {model}", f"onnxruntime {engine}")
    return 0


def _model(named: str | None) -> str:
    from ..runtime.bundle.bundle import is_bundle, read_manifest
    from ..runtime.bundle.locate import choose
    from ..runtime.bundle.resolve import folder_of, open_model

    try:
        chosen = choose(named, exported=True).model
        folder = folder_of(chosen)
        manifest = read_manifest(folder) if is_bundle(folder) else open_model(chosen).bundle.manifest
    except Exception as error:  # noqa: BLE001 - the version is asked for to report what is broken
        return f"none ({error})"
    revision = manifest.source.revision or manifest.source.digest or ""
    return f"{manifest.name} ({manifest.source.repository} {revision[:12]})"


def _onnxruntime() -> str:
    """Returns the version that the module states; its distribution may have another name (onnxruntime-gpu)."""
    import re
    from importlib.util import find_spec
    from pathlib import Path

    try:
        spec = find_spec("onnxruntime")
        if spec is None:
            return "not installed"
        text = Path(spec.origin).read_text(encoding="utf-8") if spec.origin else ""
    except (OSError, ValueError):
        text = ""
    stated = re.search(r"^__version__ = [\"'](.+)[\"']", text, re.MULTILINE)
    return stated[1] if stated else "of an unknown version"
