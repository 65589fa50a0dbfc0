"""The library's front: :func:`load` a model, ask a :class:`Classifier` about pictures."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, cast

import numpy as np

from . import decision
from .bundle.bundle import Bundle, is_bundle
from .bundle.locate import find
from .bundle.resolve import open_model
from .errors import (
    BundleError,
    DetectorError,
    DetectorNotFoundError,
    ImageError,
    ModelNotFoundError,
    Notice,
    OptionError,
    first_line,
)
from .identity import identity_of
from .inputs import requests, unwrapped
from .log import logger
from .network import Network
from .options import Faces, Options
from .pipeline import Pipeline, Prepared, Region, batched, failures, ordered_map
from .prediction import Person, Prediction, Status
from .threads import available_cpus

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from .bundle.manifest import Manifest
    from .faces.detector import Face
    from .inputs import Picture, Request
    from .prediction import Box, Eyes

__all__ = ["DEFAULT_BATCH_SIZE", "Classifier", "Options", "load"]

DEFAULT_BATCH_SIZE = 8
"""Larger batches hardly raise throughput on a CPU, and peak memory grows with them."""

P = ParamSpec("P")


class Classifier:
    """Answers for pictures. Create one with :func:`load` and keep it: loading costs more than a picture does.

    One instance may be used from several threads at once, and may be pickled: the process that unpickles it loads the
    same model with the same options. So may it be in a child of ``fork()``, which makes a session of
    its own when it uses it.

    Attributes:
        bundle: The opened bundle.
        options: What :func:`load` was told.
        network: The bundle's network: tensors in, logits out.
        pipeline: The way from a picture to the network's input.
        notices: What a user should hear once.
    """

    def __init__(self, bundle: Bundle, options: Options, *, notices: tuple[Notice, ...] = ()) -> None:
        self.bundle = bundle
        self.options = options
        self.network = Network(
            bundle, options.variant, provider=options.provider, threads=options.threads, optimize=options.optimize
        )
        self.pipeline = Pipeline(bundle, options)
        logger.debug(
            "%s loaded from %s: %s on %s, %d thread(s), face detector %s",
            self.manifest.name,
            bundle.path,
            self.variant,
            "+".join(self.providers),
            self.network.threads,
            None if self.pipeline.detector is None else self.pipeline.detector.path,
        )
        self.notices = notices

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def variant(self) -> str:
        """Name of the variant in use."""
        return self.options.variant or self.manifest.default_variant

    @cached_property
    def identity(self) -> str:
        """What answers: model, variant, and 12 hex digits over everything that decides the answers.

        These are the weights, the processor, the labels and the decision rule in effect, the detector, and the options
        that choose what is looked at. What decides only how fast answers come (provider, threads) is left out.
        """
        detector = self.pipeline.detector
        return identity_of(self.bundle, self.options, None if detector is None else detector.sha256)

    @property
    def providers(self) -> tuple[str, ...]:
        """Short names of the execution providers really in use, first choice first."""
        return self.network.providers

    @property
    def finds_faces(self) -> bool:
        """Whether answers are per face (a detector is loaded and in use)."""
        return self.pipeline.detector is not None

    def predict(
        self, image: Picture, *, boxes: Sequence[Box] | None = None, eyes: Sequence[Eyes | None] | None = None
    ) -> Prediction:
        """Answers for one picture.

        Args:
            image: A path; the bytes of a picture file, or any buffer of them; a binary file; a PIL picture; a uint8
                array, grey (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), whose transparency is dropped; a
                mapping with ``bytes`` or ``path``; an Arrow scalar of one of these.
            boxes: The faces, ``(x0, y0, x1, y1)`` in pixels of the upright picture, where the caller knows them: no
                detector looks for others. ``people`` has their order then, but the one chosen by ``main`` before all.
            eyes: For each box the person's right and left eye, ``((x, y), (x, y))``, or ``None``.

        Returns:
            The answer; a picture that cannot be used gives a prediction with another status than ``ok``.

        Raises:
            TypeError: If ``image`` is none of these.
            OptionError: If it is an array of another shape, or boxes or eyes are not what they should be.
        """
        return self._classify([self.pipeline.prepare(image, boxes, eyes)])[0]

    def predict_many(
        self,
        images: Iterable[Picture | ImageError],
        *,
        boxes: Iterable[Sequence[Box] | None] | None = None,
        eyes: Iterable[Sequence[Eyes | None] | None] | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """Answers for any number of pictures, one result per input, in order, in constant memory.

        Pictures are decoded in threads while the network runs. ``images`` is read lazily, a few ahead. An item that
        :meth:`predict` would refuse has a result here as well, with a status and a sentence that names its type.

        Args:
            images: As :meth:`predict` takes them, from any iterable. An :class:`ImageError` stands for an input that
                failed before it came here; its result is that failure, in its place.
            boxes: One entry per picture, each as :meth:`predict` takes it, or ``None``.
            eyes: Likewise.
            batch_size: Pictures (or faces) per run of the network, 1 or more.
            workers: Decoding threads; by default one per CPU this process may use, at most eight.

        Yields:
            One prediction per input.

        Raises:
            TypeError: If ``images`` is one picture, or nothing to iterate over (at the call).
            OptionError: If ``batch_size`` or ``workers`` is below 1 (at the call), or there are more or fewer boxes or
                eyes than pictures (after the results before that).
        """
        if batch_size < 1:
            raise OptionError(f"batch_size is {batch_size}; it must be 1 or more")
        if workers is not None and workers < 1:
            raise OptionError(f"workers is {workers}; it must be 1 or more")
        count = workers or max(1, min(8, round(available_cpus())))
        return self._predict_many(requests(images, boxes, eyes), batch_size, count)

    def _predict_many(self, asked: Iterator[Request], batch_size: int, workers: int) -> Iterator[Prediction]:
        ahead = batch_size + 2 * workers
        prepared = ordered_map(self._prepare_any, asked, workers=workers, ahead=ahead)
        for group in batched(prepared, batch_size, lambda one: len(one.regions)):
            yield from self._classify(group, batch_size)

    def _prepare_any(self, request: Request) -> Prepared:
        """Prepares one of many: what would be a wrong call for one picture is a failure of that item here."""
        try:
            return self.pipeline.prepare(*request)
        except (TypeError, OptionError) as error:
            path = None
            with suppress(Exception):
                path = unwrapped(cast("Picture", request[0]))[1]
            return Prepared(path, failure=ImageError(Status.UNSUPPORTED_FORMAT, str(error)))
        except Exception as error:  # noqa: BLE001 - an object of the caller's own making, which may raise what it likes
            sentence = f"This input ({type(request[0]).__name__}) cannot be read: {first_line(error)}."
            return Prepared(None, failure=ImageError(Status.UNREADABLE, sentence))

    def detect(self, image: Picture) -> tuple[Face, ...]:
        """Finds the faces of a picture, largest first, in pixels of the upright picture.

        Raises:
            ImageError: If the picture cannot be used.
            OptionError: If faces are switched off.
        """
        if self.pipeline.detector is None:
            raise OptionError("Faces are switched off for this classifier; load it with faces=True.")
        picture = self.pipeline.decode(unwrapped(image)[0])
        with failures():
            return self.pipeline.faces(picture)

    def views(self, image: Picture, people: Sequence[Person]) -> tuple[Image.Image, ...]:
        """Returns what the network looked at for each person of a prediction: RGB, at the network's input size.

        Args:
            image: The picture the prediction is about, given as :meth:`predict` got it.
            people: ``prediction.people``, or some of them.

        Raises:
            ImageError: If the picture cannot be used (any more).
        """
        pipeline = self.pipeline
        picture = pipeline.decode(unwrapped(image)[0], cut=any(person.box is not None for person in people))
        regions = (Region(person.box, landmarks=person.eyes) for person in people)
        with failures():
            return tuple(pipeline.processor.geometry(pipeline.crop(picture, region)) for region in regions)

    def _classify(self, group: list[Prepared], batch_size: int = DEFAULT_BATCH_SIZE) -> list[Prediction]:
        """Answers for prepared pictures, in their order; a failure of the network is one of its picture alone."""
        rows = [row for one in group if one.tensors is not None for row in one.tensors]
        regions = [region for one in group for region in one.regions]
        answers: list[Person | ImageError] = []
        for start in range(0, len(rows), batch_size):  # a crowd must not make one huge batch
            chosen = slice(start, start + batch_size)
            answers += self._answers(rows[chosen], regions[chosen])
        results = []
        taken = iter(answers)
        for one in group:
            mine = [next(taken) for _ in one.regions]
            failure = one.failure or next((each for each in mine if isinstance(each, ImageError)), None)
            if failure is not None:
                sentence = failure.message if one.failure else f"{one.name}: {failure.message}"
                results.append(Prediction.failed(one.path, failure.status, sentence, model=self.identity))
            else:
                people = tuple(each for each in mine if isinstance(each, Person))
                results.append(
                    Prediction.from_people(one.path, people, size=one.size, model=self.identity, main=self.options.main)
                )
        return results

    def _answers(self, rows: Sequence[NDArray[np.float32]], regions: Sequence[Region]) -> list[Person | ImageError]:
        """Runs the network and applies the decision rule; where a batch fails, to each of its rows alone."""
        manifest = self.manifest
        try:
            logits = self.network.logits(rows[0][np.newaxis] if len(rows) == 1 else np.stack(rows))
            probabilities = decision.probabilities(logits, manifest.activation, manifest.decision.temperature)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no public base class
            if len(rows) > 1:
                logger.warning("A batch of %d failed and is asked again one by one: %s", len(rows), error)
                return [self._answers([row], [region])[0] for row, region in zip(rows, regions, strict=True)]
            return [ImageError(Status.MODEL_ERROR, f"the model failed on this picture ({first_line(error)}).")]
        return [
            decision.answer(
                row,
                manifest.labels,
                manifest.decision,
                threshold=self.options.threshold,
                box=region.box,
                detection_score=region.score,
                eyes=region.eyes,
            )
            if np.isfinite(row).all()
            else ImageError(Status.MODEL_ERROR, "the model's answer is not a number.")
            for row, region in zip(probabilities, regions, strict=True)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        # A bundle made in memory from the files of a folder has no bundle.json to come back from.
        source = str(self.bundle.path) if is_bundle(self.bundle.path) else self.bundle
        identities = (identity_of(self.bundle, self.options, None), self.identity)
        return (_restore, (source, self.manifest.name, self.options, self.notices, identities))

    def __repr__(self) -> str:
        return f"<Classifier {self.manifest.name} {self.variant} on {self.providers[0]}>"


_FROM_PICKLE = threading.Lock()


def _restore(
    source: str | Bundle, name: str, options: Options, notices: tuple[Notice, ...], identities: tuple[str, str]
) -> Classifier:
    """Makes a classifier from its pickle: the model of that name and identity, wherever it is on this machine.

    Raises:
        ModelNotFoundError: If it is not there.
        BundleError: If it cannot be used.
        DetectorError: If the face detector here is another one.
    """
    if isinstance(options.faces, Faces) and options.faces.detector and not Path(options.faces.detector).is_file():
        options = replace(options, faces=replace(options.faces, detector=None))
    with _FROM_PICKLE:  # several workers of one process unpickling at once would each hash the file
        if isinstance(source, Bundle):
            source.verify()
            classifier = Classifier(source, options)
        else:
            classifier = _find(source, name, options, identities[0])
    if classifier.identity != identities[1]:
        raise DetectorError(
            f"The pickled classifier {identities[1]} finds faces with a detector that is not the one here; "
            "its answers would be others."
        )
    classifier.notices = notices
    return classifier


def _find(path: str, name: str, options: Options, identity: str) -> Classifier:
    """Returns the classifier of the bundle at a path, or of that name, that gives the same answers."""
    for where in (Path(path), name):
        try:
            bundle = Bundle.open(find(where))
            # What the options do to an answer is the same on both sides; the detector is compared later.
            if identity_of(bundle, options, None) == identity:
                return Classifier(bundle, options)
        except DetectorNotFoundError:
            raise
        except (BundleError, ModelNotFoundError):
            continue
    raise ModelNotFoundError(f"The model {identity} of this pickle is not here: neither at {path} nor by its name.")


class _Load(Protocol[P]):
    """``load``'s own type: the model, then the keywords of :class:`Options`."""

    def __call__(
        self, model: str | os.PathLike[str] | Bundle | None = None, *args: P.args, **options: P.kwargs
    ) -> Classifier: ...


def _takes(options: Callable[P, Options]) -> Callable[[Callable[..., Classifier]], _Load[P]]:
    """Gives a function the keywords of ``options``, for type checkers and for ``help()``."""

    def decorate(function: Callable[..., Classifier]) -> Any:
        own = inspect.signature(function)
        keywords = inspect.signature(options).parameters.values()
        function.__signature__ = own.replace(parameters=[own.parameters["model"], *keywords])  # type: ignore[attr-defined]
        return function

    return decorate


@dataclass(frozen=True, kw_only=True)
class _Keywords(Options):
    """What ``load`` takes besides the model: which commit of it, whether the network may be asked, and the options."""

    revision: str | None = None
    download: bool = False


@_takes(_Keywords)
def load(
    model: str | os.PathLike[str] | Bundle | None = None,
    *,
    revision: str | None = None,
    download: bool = False,
    **options: Any,
) -> Classifier:
    """Loads a model.

    Args:
        model: Name or folder of a bundle, or an opened one; a folder in the Hub's ONNX layout; or ``ORG/NAME``, which
            was added, or is in the Hugging Face cache (it is used where it lies). By default:
            ``GENDER_CLASSIFIER_MODEL``, else the built-in one.
        revision: Commit, branch or tag of ``ORG/NAME``; the one that is here unless given.
        download: Whether a model ``ORG/NAME`` that is not here may be brought from the Hub.
        **options: Fields of :class:`Options`, each with its default.

    Returns:
        A classifier, ready for use.

    Raises:
        HubError: If the model could not be downloaded.
        ModelNotFoundError: If there is no such model, or faces are asked for and no detector is installed.
        BundleError: If the bundle is broken, was changed, or holds no such variant.
        ProviderUnavailableError: If the provider is not available.
        OptionError: If an option's value cannot be used.
        TypeError: If there is no such option.
    """
    told = Options(**options)
    if isinstance(model, Bundle):
        return Classifier(model, told)
    opened = open_model(model, revision=revision, variant=told.variant, download=download)
    notices = (Notice.BUILTIN_MODEL,) if opened.is_fallback else ()
    return Classifier(opened.bundle, told, notices=notices)
