"""Runs ``gender-classifier sort``: pictures into one folder per answer, resumable, reversible, never overwriting."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from contextlib import closing
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from ...runtime.errors import ClassifierError, OptionError
from ...runtime.escaping import printable
from ...runtime.labels import FEMALE, MALE
from ...runtime.options import flat
from ...runtime.parser import Parser
from ...runtime.prediction import MIXED, UNCERTAIN, Status
from ..advice import explained
from ..arguments import model_options
from ..classify import load_classifier, predictions, with_progress
from ..inputs import LeftOut, expand
from ..stdio import say, show
from ..words import counted
from .options import FAILED, MODES, SETTINGS, SortOptions, SortTally
from .places import ask, locate, open_journal, resolve
from .records import JOURNAL_NAME
from .sorter import Sorter
from .undo import undo

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ...runtime.classifier import Classifier
    from ...runtime.prediction import Prediction

__all__ = ["SortOptions", "SortTally", "build_parser", "parse_names", "run", "undo"]

# Paths are strings all through, as the journal keeps them:
# ruff: noqa: PTH100, PTH112, PTH118

_EPILOG = """\
Nothing is ever overwritten: a picture whose equal is there already stays where it is, and a different one of the same
name gets a number. Every step is written to a journal first, so that a sort that was interrupted goes on when it is
started again, and --undo puts everything back. --dry-run shows what would happen.

examples:
  gender-classifier sort photos sorted --dry-run
  gender-classifier sort photos sorted --mode move
  gender-classifier sort --undo sorted

exit codes: 0 every picture was classified and put somewhere; 1 at least one was not; 2 wrong use, no model,
or a place that cannot be written
"""

_KEYS = (FEMALE, MALE, UNCERTAIN, MIXED, FAILED, *(str(status) for status in Status if status is not Status.OK))


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of ``gender-classifier sort``."""
    parser = Parser(
        prog="gender-classifier sort",
        usage="%(prog)s SRC DEST [options]\n       %(prog)s --resume DEST\n       %(prog)s --undo DEST",
        description="Puts the pictures of a folder into woman/, man/, mixed/, uncertain/, no-face/ and failed/.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("source", nargs="?", metavar="SRC", help="folder to sort, with the folders inside it")
    parser.add_argument("destination", nargs="?", metavar="DEST", help="folder to sort into; made if need be")
    sorting = parser.add_argument_group("sorting")
    sorting.add_argument("--mode", choices=MODES, help="what is done with each picture (default: copy)")
    sorting.add_argument(
        "--names",
        type=parse_names,
        metavar="ANSWER=NAME,...",
        help=f"names of the folders, by {FEMALE}, {MALE}, {UNCERTAIN}, {MIXED}, {FAILED} or a status such as no_face",
    )
    sorting.add_argument("--keep-tree", action="store_true", help="make SRC's own folders again inside each folder")
    sorting.add_argument(
        "--recursive",
        action=argparse.BooleanOptionalAction,
        help="take the folders inside SRC too, or not (default: they are taken)",
    )
    sorting.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    sorting.add_argument("-q", "--quiet", action="store_true", help="no notices, no progress, no tally on stderr")
    journal = parser.add_argument_group("journal")
    journal.add_argument("--journal", metavar="FILE", help="where the journal is kept (default: in DEST)")
    journal.add_argument("--resume", metavar="DEST", help="go on with the sort into this folder, or of this journal")
    journal.add_argument("--undo", metavar="DEST", help="put everything back that was sorted into this folder")
    journal.add_argument("--source", dest="source_now", metavar="DIR", help="with --undo: where SRC is now")
    journal.add_argument("--destination", dest="destination_now", metavar="DIR", help="with --undo: where DEST is now")
    journal.add_argument(
        "--yes", action="store_true", help="do what a journal tells that was given as a file, or is in doubt"
    )
    model_options(parser)
    # None is what was not given: --resume takes that from the journal, and it has its default otherwise.
    parser.set_defaults(keep_tree=None, run=run)
    return parser


def parse_names(text: str) -> dict[str, str]:
    """Reads ``female=women,failed=broken`` as the command line takes it.

    Raises:
        argparse.ArgumentTypeError: If it is not of that form.
    """
    names: dict[str, str] = {}
    for part in text.split(","):
        key, sign, name = part.partition("=")
        if not sign or not name or key not in _KEYS:
            raise argparse.ArgumentTypeError(f"{part!r} is not ANSWER=NAME with an answer of {', '.join(_KEYS)}")
        names[key] = name
    return names


def run(arguments: argparse.Namespace) -> int:
    """Sorts, goes on with a sort, or takes one back.

    Returns:
        0 when every picture was classified and put somewhere (or back), 1 when one was not, 2 when nothing could be
        tried.
    """
    try:
        if arguments.undo is not None:
            return _undo(arguments)
        options = _options(arguments)
        resolve(options)  # wrong use is reported before a model is loaded
        return _sort(arguments, options)
    except ClassifierError as error:
        say(explained(error))
        return 2


def _undo(arguments: argparse.Namespace) -> int:
    if arguments.source is not None or arguments.resume is not None or arguments.journal is not None:
        raise OptionError("--undo DEST stands alone: the journal in it knows SRC. --source DIR names another one.")
    tally = undo(
        arguments.undo,
        source=arguments.source_now,
        destination=arguments.destination_now,
        confirm=_confirmation(arguments),
        dry_run=arguments.dry_run,
        report=say,
        plan=show if arguments.dry_run else None,
    )
    if not arguments.quiet:
        say(f"dry run: {tally.sentence()}" if arguments.dry_run else tally.sentence())
    return 1 if tally.left else 0


def _confirmation(arguments: argparse.Namespace) -> Callable[[str], bool]:
    """Returns the function that asks about a journal in doubt: ``--yes`` answers it, or a person at a terminal."""

    def confirm(announcement: str) -> bool:
        if arguments.yes or sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return bool(arguments.yes)
        say(announcement)
        print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise OptionError("Nothing was done.")
        return True

    return confirm


def _options(arguments: argparse.Namespace) -> SortOptions:
    if arguments.resume is not None:
        _take_from_journal(arguments)
    elif arguments.source is None or arguments.destination is None:
        raise OptionError("Give SRC and DEST: the folder to sort, and the folder to sort into.")
    given = {field.name: getattr(arguments, field.name, None) for field in fields(SortOptions) if field.name != "model"}
    return SortOptions(**{name: value for name, value in given.items() if value is not None})


def _take_from_journal(arguments: argparse.Namespace) -> None:
    """Sets what was not given to what the journal records. What was given is compared later, by the sorter."""
    if arguments.journal is not None:
        raise OptionError("--resume DEST names the journal already; leave out --journal.")
    with open_journal(arguments.resume, write=False) as journal:
        then = journal.header.options
        places = locate(journal, named=arguments.resume, source=arguments.source, destination=arguments.destination)
    if not os.path.isdir(places.source):
        raise OptionError(f"The folder {printable(places.source)}, which the journal is about, is not there.")
    work = f"sort {printable(places.start_path)} into {printable(places.destination)} by {then.mode}"
    ask(places, f"It would go on to {work}.", _confirmation(arguments))
    recorded = vars(replace(then, source=places.start_path, destination=places.destination, journal=places.journal))
    for name, value in {**recorded, **then.settings, "dry_run": arguments.dry_run}.items():
        if getattr(arguments, name, None) is None:
            setattr(arguments, name, value)


def _sort(arguments: argparse.Namespace, options: SortOptions) -> int:
    from ...runtime.identity import identity_of
    from ...runtime.options import Options

    classifier, notices = load_classifier(arguments)
    if not arguments.quiet:
        for notice in notices:
            say(notice)
    left_out = LeftOut()
    detector = classifier.pipeline.detector
    # With the settings this is all that decides the answers. Threads, batch size and the like may change between runs.
    model = identity_of(classifier.bundle, Options(variant=classifier.variant), getattr(detector, "sha256", None))
    options = replace(options, model=model, settings=_settings(classifier, arguments))
    with Sorter(options, report=say, plan=show if options.dry_run else None) as sorter:
        places = sorter.places
        items = expand(
            [places.start_path],
            recursive=options.recursive,
            exclude=[places.destination] if os.path.isdir(places.destination) else [],
            follow_folder_links=False,
            left_out=left_out,
        )
        stream = predictions(
            classifier, sorter.missing(items), batch_size=arguments.batch_size, workers=arguments.workers
        )
        try:
            # Closing ends the decoding threads, also when nothing more can be written.
            with closing(cast("Generator[Prediction]", stream)):
                for prediction in with_progress(stream, wanted=not arguments.quiet):
                    sorter.put(str(prediction.path), prediction)
        except KeyboardInterrupt:
            if not arguments.quiet:
                say("stopped; the same command goes on from here.")
            raise
        finally:  # also then, and on a full disk: what was done until there stays done
            if not arguments.quiet:
                if left_out.count:
                    say(counted("en", "left_out", left_out.count, examples=", ".join(left_out.examples)))
                _epilogue(sorter)
        return sorter.tally.exit_code


def _settings(classifier: Classifier, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the options that decide the answers, by :data:`SETTINGS`, as they are in effect."""
    from ...runtime.bundle.locate import choose, expanded

    folder = classifier.bundle.path.resolve()
    chosen = choose(arguments.model).model
    named = None if chosen is None else os.fspath(chosen)
    settings = flat(classifier.options)
    settings |= {name: value for name in settings if (value := getattr(arguments, name, None)) is not None}
    # A name stays one; a folder is to be found from anywhere, and so is what was the default this time.
    settings["model"] = named if named and expanded(named).resolve() != folder else str(folder)
    settings |= {"variant": classifier.variant, "faces": classifier.finds_faces}
    if (detector := classifier.pipeline.detector) is not None:
        settings |= {
            "detector": os.path.abspath(detector.path),
            "detector_threshold": detector.threshold,
            "detect_size": detector.detect_size,
        }
    return {name: settings[name] for name in SETTINGS}


def _epilogue(sorter: Sorter) -> None:
    if sorter.options.dry_run:
        say(f"dry run, nothing was changed: {sorter.tally.sentence()}")
        return
    say(sorter.tally.sentence())
    if sorter.tally.placed:
        folder, journal = sorter.places.destination, sorter.places.journal
        named = folder if journal == os.path.join(folder, JOURNAL_NAME) else journal
        say(f"to put everything back: gender-classifier sort --undo {shlex.quote(named)}")
