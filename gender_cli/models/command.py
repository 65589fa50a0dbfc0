"""``gender-classifier models``: the models on this machine, and how to get further ones.

Nothing here imports numpy or onnxruntime, apart from ``add`` and ``add-detector``, which run the new network once.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime import labels
from ...runtime.bundle import locate, origin, store
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Framing, Manifest
from ...runtime.errors import ClassifierError, ManifestError, ModelNotFoundError, OptionError
from ...runtime.escaping import printable
from ...runtime.installing import install_command
from ...runtime.parser import Parser
from ..advice import explained
from ..interrupt import ending_at_once
from ..stdio import say, show
from ..words import phrase
from . import detector
from .listing import Installed, builtin_folder, card, find, installed, megabytes, same, summary, table

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[[argparse.Namespace], int]

__all__ = ["build_parser"]

EPILOG = "exit codes: 0 done; 1 it could not be done, or a check failed; 2 wrong use, or no such model"


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of ``gender-classifier models``; what it parses carries the command as ``run``."""
    parser = Parser(
        prog="gender-classifier models",
        description="Lists the models on this machine, looks at one, removes one, or adds one.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = _command(commands, "list", _list, "list the models, where they are and how large")
    listing.add_argument("--json", action="store_true", help="one JSON list, for programs")

    show = _command(
        commands, "show", _show, "say where a model comes from, what it answers and how good its variants are"
    )
    show.add_argument("name", metavar="NAME", help="name or folder of a model")
    show.add_argument("--json", action="store_true", help="the model's bundle.json, with its folder")

    verify = _command(commands, "verify", _verify, "compare the hash of every file with the model's manifest")
    verify.add_argument("name", metavar="NAME", help="name or folder of a model")

    remove = _command(commands, "remove", _remove, "delete a model; the built-in one stays")
    remove.add_argument("name", metavar="NAME", help="name of a model")
    remove.add_argument("-y", "--yes", action="store_true", help="do not ask")

    _add_adding(commands)
    detector.add_parser(commands)
    return parser


def _add_adding(commands: Any) -> None:
    adding = _command(commands, "add", _add, "add a model that is on the Hub, or in a folder, as ONNX files")
    adding.description = (
        "Adds a model in the Hub's ONNX layout (config.json, preprocessor_config.json, onnx/model.onnx). It "
        "is checked and run once before it appears; nothing but JSON, text and ONNX files is "
        "downloaded. To make such files from a checkpoint: gender-classifier export."
    )
    adding.add_argument("model", metavar="ORG/NAME|DIR", help="repository on the Hub, or a folder")
    adding.add_argument("--revision", metavar="SHA", help="commit of the repository (default: the newest, printed)")
    adding.add_argument("--name", metavar="NAME", help="name of the new model (default: the repository's)")
    adding.add_argument(
        "--label-map",
        metavar="RAW=female,RAW2=male",
        help="what the model's own labels mean, where their words are not known",
    )
    adding.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="fp32, int8, uint8, q4, q4f16, bnb4 or fp16; may be repeated (default: fp32, int8 and q4 where there)",
    )
    adding.add_argument(
        "--framing",
        choices=("eyes", "box", "image"),
        help="what the model was trained on: faces with level eyes, squares around a face box, whole pictures "
        "(default: its bundle.json, else image)",
    )
    adding.add_argument(
        "--margin", type=float, metavar="M", help="with eyes or box: share added around a face box (default: 0.25)"
    )


def _command(commands: Any, name: str, function: Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EPILOG, allow_abbrev=False
    )
    parser.set_defaults(run=_with_sentences(function))
    return parser


def _with_sentences(command: Command) -> Command:
    """Makes a sentence and an exit code of every error that is one of ours."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments)
        except ClassifierError as error:
            say(explained(error))
            return 2 if isinstance(error, (OptionError, ModelNotFoundError)) else 1

    return run


def _list(arguments: argparse.Namespace) -> int:
    models = installed()
    if arguments.json:
        show(*json.dumps([summary(model) for model in models], indent=2).splitlines())
    else:
        show(*table(models))
        if any(model.default and model.builtin for model in models):
            say(phrase("en", "larger_model", command=install_command("export")))
    for model in models:
        if model.problem is not None:
            say(model.problem)
    return 1 if any(model.problem for model in models) else 0


def _show(arguments: argparse.Namespace) -> int:
    model, manifest = _readable(arguments.name)
    if arguments.json:
        data = {"path": str(model.path), "builtin": model.builtin, "default": model.default}
        show(*json.dumps({**data, "bundle": json.loads(manifest.to_json())}, indent=2).splitlines())
        return 0
    show(*card(model, manifest))
    return 0


def _readable(name: str) -> tuple[Installed, Manifest]:
    """Returns a model and its manifest.

    Raises:
        ModelNotFoundError: If there is no such model.
        ManifestError: If its manifest cannot be read.
    """
    model = find(name)
    if model.manifest is None:
        raise ManifestError(model.problem or "")
    return model, model.manifest


def _verify(arguments: argparse.Namespace) -> int:
    model, manifest = _readable(arguments.name)
    Bundle(model.path, manifest).verify()
    count = len(manifest.files) + len(manifest.variants)
    show(f"{model.name}: all {count} files are those its manifest names ({megabytes(model.size)}).")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    name = arguments.name
    if Path(name).name != name or name in ("", ".", ".."):
        raise OptionError(f"{name!r} is not the name of a model; `gender-classifier models list` shows the names.")
    path = next((one for one in locate.installed() if one.name == name), None)
    if path is None and name != locate.BUILTIN_NAME:
        raise ModelNotFoundError(f"There is no model {name!r}.")
    builtin = builtin_folder()
    if path is None or (builtin is not None and same(path, builtin)):
        raise OptionError(f"{name} is the built-in model; it comes and goes with the program.")
    if not arguments.yes and not _agreed(path):
        say(f"{name} was not removed.")
        return 1
    store.remove(path)
    with suppress(OSError):
        origin.forget(path)
    show(f"{name} was removed ({path}).")
    return 0


def _agreed(path: Path) -> bool:
    """Asks on a terminal. Without one only ``--yes`` removes."""
    if not sys.stdin.isatty():
        raise OptionError(f"There is no terminal to ask on; to remove {path.name} without a question: --yes")
    print(f"Remove {printable(str(path))} with all its files? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _add(arguments: argparse.Namespace) -> int:
    if arguments.margin is not None and arguments.framing is None:
        raise OptionError("--margin needs --framing.")
    framing = Framing.of(arguments.framing, margin=arguments.margin) if arguments.framing else None
    with ending_at_once():
        from ...runtime.session import import_onnxruntime
        from . import add

        import_onnxruntime()
    request = add.Request(
        model=arguments.model,
        revision=arguments.revision,
        name=arguments.name,
        label_map=labels.parse_label_map(arguments.label_map) if arguments.label_map else {},
        variants=tuple(dict.fromkeys(arguments.variant)),
        framing=framing,
    )
    bundle = add.add(request, say)
    name = bundle.manifest.name
    by_default = locate.choose(exported=True).model == bundle.path
    use = "It is now used unless --model says otherwise." if by_default else f"To use it: --model {name}"
    show(f"{name} was added ({bundle.path}). {use}")
    return 0
