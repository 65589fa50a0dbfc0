"""Parses the command line, runs the command that it names and turns how it ended into an exit code.

``--help``, ``--version`` and wrong use are answered before numpy or onnxruntime is imported.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False  # typing itself takes longer to import than all of this
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_PACKAGES = ("PIL", "numpy", "onnxruntime", "tqdm")
"""What the program cannot do without, by the names of their modules."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    0: every picture has an answer; 1: one failed; 2: wrong use, no model, or output that cannot be written; 130:
    interrupted, quietly, at any moment from here on.
    """
    words = sys.argv[1:] if argv is None else argv
    interrupts: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    # Called with arguments it is a guest in another program, whose signals are not its business.
    own = argv is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if own:
        signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook = _quiet_unraisable
    try:
        return _run(list(words))
    except BaseException as error:
        # An extension module that was interrupted while it was imported raises what it likes.
        if isinstance(error, KeyboardInterrupt) or (interrupts and not isinstance(error, SystemExit)):
            return _INTERRUPTED
        raise
    finally:
        if own:  # one more Ctrl-C ends the process at once, and quietly: Python would tell how it was ending
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _quiet_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def _run(words: list[str]) -> int:
    from . import stdio

    stdio.prepare()
    try:
        code = _dispatch(words)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        stdio.abandon_stdout()  # the reader has what it wanted (`| head`)
        return 0
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        from ..runtime.installing import install_command

        stdio.say(f"the package {package} is not installed. To install what is needed: {install_command()}")
        return 2
    except OSError as error:
        if error.filename is not None or error.errno is None:  # some file's error, not that of a write to stdout
            raise
        stdio.say(f"the answers cannot be written: {error.strerror}.")
        stdio.abandon_stdout()
        return 2
    return code


def _dispatch(words: list[str]) -> int:
    command = words[0] if words else ""
    if command == "export":
        from ..export.command import main as export

        return export(words[1:])
    if command == "evaluate":
        from ..evaluation.command_line import main as evaluate

        return evaluate(words[1:])
    arguments = parse_args(words)
    if sys.stdout is None:
        from . import stdio

        stdio.say("there is no stdout to write answers to: it is closed.")
        return 2
    _ignore_warnings()
    return int(arguments.run(arguments))


def _ignore_warnings() -> None:
    """Silences Pillow: what a broken picture makes it warn of, that picture's result says."""
    import warnings

    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")


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
        parser.error("give at least one PATH: a picture, a folder, a pattern, or - for stdin")
    if arguments.paths.count("-") > 1:
        parser.error("stdin (-) can be read once only")
    if arguments.resume and arguments.output is None:
        parser.error("--resume needs --output FILE.jsonl")
    if arguments.output is not None and arguments.form != "text":
        parser.error("--output writes JSON lines; leave out --json, --jsonl and --csv")
    if arguments.rows != "pictures" and arguments.form != "csv":
        parser.error("--rows says what a row of --csv stands for; give --csv as well")
    arguments.run = _classify
    return arguments


def print_version(arguments: argparse.Namespace) -> int:
    """Prints package, model and onnxruntime, without loading any of them, and whatever is broken."""
    from .. import runtime
    from .stdio import show

    package, model, engine = runtime.__version__, _model(arguments.model), _onnxruntime()
    show(f"gender-classifier {package}", f"model {model}", f"onnxruntime {engine}")
    return 0


def _model(named: str | None) -> str:
    import os

    from ..runtime.bundle import locate
    from ..runtime.bundle.manifest import MANIFEST_NAME, Manifest
    from .models.listing import added_from

    try:
        wanted = named or os.environ.get(locate.MODEL_VARIABLE)
        path = (added_from(wanted) if wanted else None) or locate.locate(named).path
        manifest = Manifest.from_json((path / MANIFEST_NAME).read_text(encoding="utf-8"))
    except Exception as error:  # noqa: BLE001 - whoever asks for the version may be about to report what is broken
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
        text = Path(str(spec and spec.origin)).read_text(encoding="utf-8")
    except (OSError, ValueError, ImportError):
        return "not installed"
    stated = re.search(r"^__version__ = [\"'](.+)[\"']", text, re.MULTILINE)
    return stated[1] if stated else "of unknown version"


def _classify(arguments: argparse.Namespace) -> int:
    from . import classify

    return classify.run(arguments)
