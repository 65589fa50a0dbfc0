"""Classifies the pictures that ``gender-classifier PATH...`` names and writes what was asked for."""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.errors import ClassifierError, ImageError
from ..runtime.options import from_flat
from ..runtime.prediction import Prediction, Status
from .advice import as_flags, explained
from .inputs import STDIN, LeftOut, expand
from .interrupt import ending_at_once
from .output import make_writer
from .resume import ResultsFile
from .stdio import for_machines, say
from .tally import Tally
from .words import counted, phrase

if TYPE_CHECKING:
    import argparse

    from ..runtime.classifier import Classifier
    from .inputs import Item

    Sink = Callable[[Prediction], None]

__all__ = ["Report", "load_classifier", "predictions", "run", "with_progress"]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a run writes of its answers; each field is the option of that name.

    Attributes:
        form: ``text``, ``json``, ``jsonl`` or ``csv``, on stdout.
        rows: ``pictures`` or ``people``, for ``csv``.
        lang: Language of what people read.
        verbose: Whether ``text`` has a line for every person.
        quiet: Whether stderr has failures alone.
        output: File that gets the results instead of stdout.
        resume: Whether that file may hold results already.
        annotate: Folder for copies with boxes and words.
        save_crops: Folder for what the model saw.
    """

    form: str
    rows: str
    lang: str
    verbose: bool
    quiet: bool
    output: str | None
    resume: bool
    annotate: str | None
    save_crops: str | None


def load_classifier(
    arguments: argparse.Namespace, *, optimize: bool = True, lang: str = "en"
) -> tuple[Classifier, list[str]]:
    """Loads the model that the shared options name.

    Returns:
        The classifier, and what a user should read before its first answer.

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
    said = []
    if choice.by in ("variable", "exported"):
        said.append(phrase(lang, f"chosen.{choice.by}", model=classifier.manifest.name))
    return classifier, said


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
    """Classifies what the arguments name and writes the answers.

    Returns:
        0 when every picture has an answer, 1 when one failed, 2 when nothing could be tried.
    """
    report = Report(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Report)})
    try:
        classifier, notices = load_classifier(
            arguments, optimize=not _is_one_picture(arguments.paths), lang=report.lang
        )
        left_out = LeftOut()
        items = expand(arguments.paths, recursive=arguments.recursive, left_out=left_out)
        tally = Tally()
        with ExitStack() as stack:
            if not report.quiet:
                stack.callback(_say_at_end, report.lang, tally, left_out)
            sinks: list[Sink] = [tally.add, _before_the_first_answer([] if report.quiet else notices)]
            if report.output is not None:
                results = stack.enter_context(
                    ResultsFile(report.output, resume=report.resume, tally=tally, model=classifier.identity)
                )
                items = results.missing(items)
                sinks.append(results.append)
            sinks += _sinks(report, classifier, stack)
            stream = predictions(classifier, items, batch_size=arguments.batch_size, workers=arguments.workers)
            stack.callback(stream.close)  # type: ignore[attr-defined]
            many = arguments.recursive or len(arguments.paths) > 1 or report.output is not None
            between_answers = report.output is None and sys.stdout.isatty()
            for prediction in with_progress(stream, wanted=many and not between_answers and not report.quiet):
                for write in sinks:
                    write(prediction)
        return 1 if tally.failed else 0
    except ClassifierError as error:
        say(explained(error))
        return 2


def _is_one_picture(paths: list[str]) -> bool:
    """Whether it is over after one run of the network, so that preparing it for many would cost more than it brings."""
    try:
        return len(paths) == 1 and (paths[0] == STDIN or Path(paths[0]).is_file())
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered: decoding says so
        return True


def _sinks(report: Report, classifier: Classifier, stack: ExitStack) -> Iterator[Sink]:
    """Yields what is called with each prediction, in this order: answers, failures, copies."""
    if report.output is None:
        if report.form != "text":
            for_machines()
        writer = make_writer(
            report.form,
            sys.stdout,
            lang=report.lang,
            meanings=classifier.manifest.meanings,
            rows=report.rows,
            verbose=report.verbose,
        )
        stack.callback(writer.close)
        yield writer.write
    if report.output is not None or report.form == "text":
        yield _say_failure
    if report.annotate is not None or report.save_crops is not None:
        from .annotate import annotator, crop_saver

        if report.annotate is not None:
            yield annotator(Path(report.annotate), classifier, lang=report.lang)
        if report.save_crops is not None:
            yield crop_saver(Path(report.save_crops), classifier)


def _before_the_first_answer(notices: list[str]) -> Sink:
    waiting = list(notices)

    def say_once(prediction: Prediction) -> None:
        while waiting and prediction.ok:
            say(waiting.pop(0))

    return say_once


def _say_failure(prediction: Prediction) -> None:
    if prediction.status.failed:
        say(as_flags(prediction.error or prediction.status.value))


def _say_at_end(lang: str, tally: Tally, left_out: LeftOut) -> None:
    """Says what became of the pictures; of one that failed, its own sentence is enough."""
    if left_out.count:
        say(counted(lang, "left_out", left_out.count, examples=", ".join(left_out.examples)))
    if tally.total > 1:
        say(tally.sentence(lang))
    without_face = tally.answers[Status.NO_FACE.value]
    if without_face:
        say(counted(lang, "no_face_hint", without_face))
    if tally.answers.total() > without_face:
        say(phrase(lang, "disclaimer"))


def with_progress(stream: Iterator[Prediction], *, wanted: bool) -> Iterable[Prediction]:
    """Adds a progress bar where it is wanted and stderr is a terminal."""
    if not wanted or not sys.stderr.isatty():
        return stream
    from tqdm import tqdm

    return tqdm(stream, unit=" pictures", file=sys.stderr, dynamic_ncols=True)
