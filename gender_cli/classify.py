"""``gender-classifier PATH...``: from arguments to printed answers and an exit code."""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import ClassifierError, ImageError, Notice
from ..runtime.options import from_flat
from ..runtime.prediction import Prediction, Status
from .advice import explained
from .inputs import STDIN, expand
from .interrupt import ending_at_once
from .output import make_writer
from .resume import ResultsFile
from .stdio import say
from .tally import Tally

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from ..runtime.classifier import Classifier
    from .inputs import Item

__all__ = ["DISCLAIMER", "load_classifier", "predictions", "run"]

DISCLAIMER = {
    "en": "A guess at how a person looks, not at who they are; it can be wrong.",
    "fr": "Une supposition sur l'apparence, pas sur l'identité d'une personne ; elle peut être fausse.",
}


CHOSEN = {
    "variable": "Using the model {model}, which GENDER_CLASSIFIER_MODEL names.",
    "exported": "Using the model {model}, the one exported last.",
}

NOTICES = {
    Notice.BUILTIN_MODEL: (
        "Using the small built-in model; a larger one from the Hub is recommended. To bring it: "
        "pip install 'gender-classifier[export]' && gender-classifier export"
    ),
    Notice.NO_DETECTOR: (
        "No face detector is installed, so whole pictures are classified; this model expects faces. "
        "To install one: gender-classifier models add-detector"
    ),
}


def load_classifier(arguments: argparse.Namespace, *, optimize: bool = True) -> Classifier:
    """Loads the model that the shared options name, and says what a user should hear about it.

    Raises:
        ClassifierError: If it cannot be used.
    """
    with ending_at_once():
        from ..runtime.bundle.locate import choose
        from ..runtime.classifier import load
        from ..runtime.session import import_onnxruntime

        import_onnxruntime()
    choice = choose(arguments.model, exported=True)
    options = dataclasses.replace(from_flat(vars(arguments)), optimize=optimize)
    classifier = load(choice.model, **vars(options))
    if not arguments.quiet:
        if choice.by in CHOSEN:
            say(CHOSEN[choice.by].format(model=classifier.manifest.name))
        for notice in classifier.notices:
            say(NOTICES[notice])
    return classifier


def predictions(
    classifier: Classifier, items: Iterable[Item], *, batch_size: int, workers: int | None
) -> Iterator[Prediction]:
    """Classifies items in order; those that already have a problem become results without being opened."""
    waiting: deque[Item] = deque()

    def sources() -> Iterator[str | bytes | ImageError]:
        for item in items:
            waiting.append(item)
            if item.problem is not None:
                yield ImageError(*item.problem)
            else:
                yield _stdin(classifier) if item.path == STDIN else item.path

    for prediction in classifier.predict_many(sources(), batch_size=batch_size, workers=workers):
        item = waiting.popleft()
        yield prediction if prediction.path is not None else dataclasses.replace(prediction, path=item.path)


def _stdin(classifier: Classifier) -> bytes | ImageError:
    if sys.stdin is None:  # closed by the caller: `<&-`
        return ImageError(Status.NOT_FOUND, "There is no standard input to read a picture from: it is closed.")
    from ..runtime.decode.opening import read_limited

    return read_limited(sys.stdin.buffer, classifier.options.limits.max_bytes)


def run(arguments: argparse.Namespace) -> int:
    """Classifies what the arguments name and prints it.

    Returns:
        0 when every picture was classified, 1 when one was not, 2 when nothing could be tried.
    """
    try:
        classifier = load_classifier(arguments, optimize=not _is_one_picture(arguments.paths))
        with ExitStack() as stack:
            return _run(arguments, classifier, stack)
    except ClassifierError as error:
        say(explained(error))
        return 2


def _is_one_picture(paths: list[str]) -> bool:
    """Whether it is over after one run of the network, so that preparing it for many would cost more than it brings."""
    try:
        return len(paths) == 1 and (paths[0] == STDIN or Path(paths[0]).is_file())
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered: decoding says so
        return True


def _run(arguments: argparse.Namespace, classifier: Classifier, stack: ExitStack) -> int:
    items = expand(arguments.paths, recursive=arguments.recursive)
    tally = Tally()
    results = None
    if arguments.output is not None:
        results = stack.enter_context(ResultsFile(arguments.output, resume=arguments.resume, tally=tally))
        items = results.missing(items)
    writer = None
    if results is None:
        writer = make_writer(arguments.form, sys.stdout, lang=arguments.lang, meanings=classifier.manifest.meanings)
        stack.callback(writer.close)
    side_outputs = _side_outputs(arguments, classifier)
    if not arguments.quiet:
        stack.callback(_epilogue, arguments, tally)
    stream = predictions(classifier, items, batch_size=arguments.batch_size, workers=arguments.workers)
    stack.callback(stream.close)  # type: ignore[attr-defined]
    for prediction in _with_progress(stream, arguments):
        tally.add(prediction)
        if results is not None:
            results.append(prediction)
        if writer is not None:
            writer.write(prediction)
        if prediction.status.failed and (results is not None or arguments.form == "text"):
            say(prediction.error or prediction.status.value)
        if prediction.status is Status.OK:
            for write in side_outputs:
                write(prediction)
    return 1 if tally.failed else 0


def _side_outputs(arguments: argparse.Namespace, classifier: Classifier) -> list[Any]:
    """Returns what else is written for each classified picture: annotated copies, crops."""
    if arguments.annotate is None and arguments.save_crops is None:
        return []
    from .annotate import annotator, crop_saver

    side: list[Any] = []
    if arguments.annotate is not None:
        side.append(annotator(arguments.annotate, classifier, lang=arguments.lang))
    if arguments.save_crops is not None:
        side.append(crop_saver(arguments.save_crops, classifier))
    return side


def _epilogue(arguments: argparse.Namespace, tally: Tally) -> None:
    if tally.total > 1:
        say(tally.sentence(arguments.lang))
    if tally.total:
        say(DISCLAIMER[arguments.lang])


def _with_progress(stream: Iterator[Prediction], arguments: argparse.Namespace) -> Iterable[Prediction]:
    """Adds a progress bar on stderr, where it helps: on a terminal, for many files, and not between printed answers."""
    many = arguments.recursive or len(arguments.paths) > 1 or arguments.output is not None
    between_answers = sys.stdout.isatty() and arguments.output is None
    if arguments.quiet or not many or not sys.stderr.isatty() or between_answers:
        return stream
    from tqdm import tqdm

    return tqdm(stream, unit=" pictures", file=sys.stderr, dynamic_ncols=True)
