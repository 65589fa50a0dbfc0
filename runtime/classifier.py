"""The library's front: :func:`load` a model, ask a :class:`Classifier` about pictures."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import decision
from .bundle import locate
from .bundle.bundle import Bundle, is_bundle
from .decode.decode import decode
from .decode.opening import shown
from .errors import BundleError, ImageError, ModelNotFoundError, OptionError, UnsupportedProcessorError
from .faces.crop import crop_face
from .limits import Limits
from .options import Options
from .pipeline import batched, ordered_map
from .prediction import Box, Person, Prediction, Status
from .processors.processor import Processor
from .session import create_session, providers_of
from .threads import available_cpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnxruntime
    from numpy.typing import NDArray
    from PIL import Image

    from .bundle.manifest import Manifest
    from .decode.decode import ImageInput
    from .faces.detector import Detector, Face

__all__ = ["DEFAULT_BATCH_SIZE", "DEFAULT_MARGIN", "Classifier", "Options", "load"]

DEFAULT_BATCH_SIZE = 8
"""Larger batches hardly raise throughput on a CPU, and peak memory grows with them."""

DEFAULT_MARGIN = 0.25
"""Margin around a face when ``faces=True`` is asked of a model whose bundle names none."""

NO_DETECTOR = (
    "No face detector is installed, so whole pictures are classified; this model expects faces. "
    "To install one: gender-classifier models add-detector"
)


@dataclass(frozen=True)
class _Region:
    """What the network will look at: the whole picture (``box=None``) or one face."""

    box: Box | None
    score: float | None


_WHOLE = _Region(None, None)


@dataclass(frozen=True)
class _Prepared:
    """One decoded input: its regions and their tensors (regions, 3, H, W), or the failure."""

    path: str | None
    regions: tuple[_Region, ...] = ()
    tensors: NDArray[np.float32] | None = None
    failure: ImageError | None = None


class Classifier:
    """Answers for pictures. Create one with :func:`load` and keep it: loading costs more than a picture does.

    One instance may be used from several threads at once, and may be pickled: the process that unpickles it loads the
    same model with the same options. Do not use one created before ``fork()`` in the child.

    Attributes:
        bundle: The opened bundle.
        processor: Turns an upright RGB picture into the network's input.
        options: What :func:`load` was told.
        notices: Sentences a user should see once (no detector installed, built-in model in use).
    """

    def __init__(self, bundle: Bundle, options: Options, *, notices: tuple[str, ...] = ()) -> None:
        self.bundle = bundle
        self.options = options
        manifest = bundle.manifest
        self.processor = _read_processor(bundle)
        self._session = create_session(
            bundle.variant_path(options.variant),
            provider=options.provider,
            threads=options.threads,
            optimize=options.optimize,
        )
        self._chunk = _check_graph(self._session, manifest, _is_dynamically_quantized(bundle, options.variant))
        self._detector = self._load_detector()
        if self._wants_faces and self._detector is None:
            notices = (*notices, NO_DETECTOR)
        self.notices = notices

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def variant(self) -> str:
        """Name of the variant in use."""
        return self.options.variant or self.manifest.default_variant

    @property
    def providers(self) -> tuple[str, ...]:
        """Short names of the execution providers really in use, first choice first."""
        return providers_of(self._session)

    @property
    def finds_faces(self) -> bool:
        """Whether answers are per face (a detector is loaded and in use)."""
        return self._detector is not None

    def predict(self, image: ImageInput) -> Prediction:
        """Answers for one picture.

        Args:
            image: A path, the bytes of a picture file, a binary file, a PIL picture, or a uint8 RGB array (H, W, 3).

        Returns:
            The answer; a picture that cannot be used gives a prediction with another status than ``ok``.

        Raises:
            TypeError: If ``image`` is none of these.
        """
        return self._classify([self._prepare(image)])[0]

    def predict_many(
        self,
        images: Iterable[ImageInput | ImageError],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """Answers for any number of pictures, one result per input, in order, in constant memory.

        Pictures are decoded in threads while the network runs. ``images`` is read lazily, a few ahead.

        Args:
            images: As :meth:`predict` takes them, from any iterable. An :class:`ImageError` stands for an input that
                failed before it came here; its result is that failure, in its place.
            batch_size: Pictures (or faces) per run of the network, 1 or more.
            workers: Decoding threads; by default one per CPU this process may use, at most eight.

        Yields:
            One prediction per input.

        Raises:
            OptionError: If ``batch_size`` or ``workers`` is below 1 (at the call, not at the first result).
            TypeError: When an input is of no accepted type, in its turn.
        """
        if batch_size < 1:
            raise OptionError(f"batch_size is {batch_size}; it must be 1 or more")
        if workers is not None and workers < 1:
            raise OptionError(f"workers is {workers}; it must be 1 or more")
        count = workers or max(1, min(8, round(available_cpus())))
        return self._predict_many(images, batch_size, count)

    def _predict_many(
        self, images: Iterable[ImageInput | ImageError], batch_size: int, workers: int
    ) -> Iterator[Prediction]:
        ahead = batch_size + 2 * workers
        prepared = ordered_map(self._prepare, images, workers=workers, ahead=ahead)
        for group in batched(prepared, batch_size, lambda one: len(one.regions)):
            yield from self._classify(group, batch_size)

    def detect(self, image: ImageInput) -> tuple[Face, ...]:
        """Finds the faces of a picture, largest first, in pixels of the upright picture.

        Raises:
            ImageError: If the picture cannot be used.
            ModelNotFoundError: If no detector is installed.
        """
        if self._detector is None:
            raise ModelNotFoundError(
                "No face detector is loaded. To install one: gender-classifier models add-detector"
                if self._wants_faces
                else "Faces are switched off for this classifier; load it with faces=True."
            )
        return self._faces(decode(image, self.options.limits))

    def prepare(self, image: ImageInput) -> NDArray[np.float32]:
        """Decodes a whole picture and processes it to the network's input, float32 (3, H, W).

        Raises:
            ImageError: If the picture cannot be used.
        """
        return self.processor(decode(image, self.options.limits, target=self._draft_target()))

    def views(self, image: ImageInput, people: Iterable[Person]) -> tuple[Image.Image, ...]:
        """Returns what the network looked at for each person of a prediction: RGB, at the network's input size.

        Args:
            image: The picture the prediction is about, given as :meth:`predict` got it.
            people: ``prediction.people``, or some of them.

        Raises:
            ImageError: If the picture cannot be used (any more).
        """
        picture = decode(image, self.options.limits, target=self._draft_target())
        # A person does not carry the landmarks; the detector finds the same ones again.
        faces = () if self._detector is None else self._detector.detect(picture)
        landmarks: dict[Box | None, tuple[tuple[float, float], ...]] = {face.box: face.landmarks for face in faces}
        return tuple(
            self.processor.geometry(self._framed(picture, person.box, landmarks.get(person.box))) for person in people
        )

    def logits(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Runs the network.

        Args:
            pixel_values: float32 (N, 3, H, W), N of 1 or more.

        Returns:
            float32 (N, classes), or (N, 1) for a single logit.
        """
        io = self.manifest.io
        step = self._chunk or len(pixel_values)
        parts = [
            self._session.run([io.output_name], {io.input_name: pixel_values[start : start + step]})[0]
            for start in range(0, len(pixel_values), step)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def answers(self, pixel_values: NDArray[np.float32]) -> tuple[Person, ...]:
        """Runs the network on prepared pictures and applies the decision rule; one answer per row, without boxes.

        Args:
            pixel_values: float32 (N, 3, H, W), as :meth:`prepare` makes them.
        """
        return self._answers(pixel_values, (_WHOLE,) * len(pixel_values))

    def _answers(self, pixel_values: NDArray[np.float32], regions: tuple[_Region, ...]) -> tuple[Person, ...]:
        """Runs the network and applies the decision rule; ``regions`` says where each row came from."""
        manifest = self.manifest
        rows = decision.probabilities(self.logits(pixel_values), manifest.activation, manifest.decision.temperature)
        return tuple(
            decision.answer(
                row,
                manifest.labels,
                manifest.decision,
                threshold=self.options.threshold,
                box=region.box,
                detection_score=region.score,
            )
            for row, region in zip(rows, regions, strict=True)
        )

    @property
    def _wants_faces(self) -> bool:
        faces = self.options.faces
        return self.manifest.framing.kind == "face" if faces is None else faces

    def _load_detector(self) -> Detector | None:
        if not self._wants_faces:
            return None
        from .faces.detector import Detector, installed

        path = Path(self.options.detector) if self.options.detector else installed()
        if path is None:
            if self.options.faces:
                raise ModelNotFoundError(
                    "No face detector is installed. To install one: gender-classifier models add-detector"
                )
            return None
        named: dict[str, Any] = {"threshold": self.options.detector_threshold, "detect_size": self.options.detect_size}
        # One thread: it runs in the decoding workers, which are as many as there are CPUs.
        return Detector.load(path, **{key: value for key, value in named.items() if value is not None})

    def _faces(self, picture: Image.Image) -> tuple[Face, ...]:
        assert self._detector is not None
        found = [
            face
            for face in self._detector.detect(picture)
            if max(face.box[2] - face.box[0], face.box[3] - face.box[1]) >= self.options.min_face
        ]
        return tuple(found[: self.options.max_faces])

    def _framed(
        self, picture: Image.Image, box: Box | None, landmarks: tuple[tuple[float, float], ...] | None
    ) -> Image.Image:
        """Returns the part of a picture that stands for one person, as the model was trained to see it."""
        if box is None:
            return picture
        margin = self.manifest.framing.margin
        return crop_face(picture, box, DEFAULT_MARGIN if margin is None else margin, landmarks)

    def _draft_target(self) -> tuple[int, int] | None:
        """``(width, height)`` a JPEG may be decoded towards; ``None`` for faces, whose crops need every pixel."""
        if self.options.exact or self._detector is not None:
            return None
        return self.processor.decode_target

    def _prepare(self, image: ImageInput | ImageError) -> _Prepared:
        if isinstance(image, ImageError):
            return _Prepared(None, failure=image)
        path = os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else None
        try:
            picture = decode(image, self.options.limits, target=self._draft_target())
        except ImageError as error:
            return _Prepared(path, failure=error)
        if self._detector is None:
            return _Prepared(path, (_WHOLE,), self.processor(picture)[np.newaxis])
        faces = self._faces(picture)
        if not faces:
            return _Prepared(path, failure=ImageError(Status.NO_FACE, _no_face(path)))
        crops = [self.processor(self._framed(picture, face.box, face.landmarks)) for face in faces]
        return _Prepared(path, tuple(_Region(face.box, face.score) for face in faces), np.stack(crops))

    def _classify(self, group: list[_Prepared], batch_size: int = DEFAULT_BATCH_SIZE) -> list[Prediction]:
        tensors = [one.tensors for one in group if one.tensors is not None]
        regions = tuple(region for one in group for region in one.regions)
        people: list[Person] = []
        if tensors:
            stacked = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
            for start in range(0, len(stacked), batch_size):  # a crowd must not make one huge batch
                chosen = slice(start, start + batch_size)
                people.extend(self._answers(stacked[chosen], regions[chosen]))
        results = []
        taken = iter(people)
        for one in group:
            if one.failure is not None:
                results.append(Prediction.failed(one.path, one.failure.status, one.failure.message))
            else:
                mine = tuple(next(taken) for _ in one.regions)
                results.append(Prediction.from_people(one.path, mine))
        return results

    def __reduce__(self) -> tuple[Any, ...]:
        # A bundle made in memory from somebody else's files has no bundle.json to come back from.
        source = str(self.bundle.path) if is_bundle(self.bundle.path) else self.bundle
        return (_restore, (source, self.options, self.notices))

    def __repr__(self) -> str:
        return f"<Classifier {self.manifest.name} {self.variant} on {self.providers[0]}>"


_FROM_PICKLE = threading.Lock()


def _restore(source: str | Bundle, options: Options, notices: tuple[str, ...]) -> Classifier:
    with _FROM_PICKLE:  # several workers of one process unpickling at once would each hash the file
        if isinstance(source, Bundle):
            source.verify()
            classifier = Classifier(source, options)
        else:
            classifier = Classifier(Bundle.open(source, variant=options.variant), options)
    classifier.notices = notices
    return classifier


def load(
    model: str | os.PathLike[str] | Bundle | None = None,
    *,
    variant: str | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    threshold: float | None = None,
    limits: Limits | None = None,
    exact: bool = True,
    optimize: bool = True,
    faces: bool | None = None,
    detector: str | os.PathLike[str] | None = None,
    detector_threshold: float | None = None,
    detect_size: int | None = None,
    min_face: int = 0,
    max_faces: int | None = None,
) -> Classifier:
    """Loads a model.

    Args:
        model: Name or folder of a bundle, or an opened one. By default: ``GENDER_CLASSIFIER_MODEL``, else an exported
            bundle in ``models/``, else the built-in one.
        variant: ``fp32``, ``int8``, ``q4``; the bundle's default one unless named.
        provider: Execution provider, ``cpu`` unless named.
        threads: Intra-op threads; by default from CPU affinity and cgroup quota, at most four.
        threshold: Probability in [0, 1] below which the answer is ``uncertain``; overrides the bundle's thresholds.
        limits: Largest file and picture that are decoded.
        exact: Decode every pixel. ``False`` decodes large JPEGs at a reduced scale when whole pictures are classified:
            decoding is about one and a half times faster, and a probability moves by up to some hundredths
            (docs/decode.md).
        optimize: Let onnxruntime lay the weights out for this processor; ``False`` is quicker for a single picture, and
            takes less memory.
        faces: Look for faces (``True``), take the whole picture (``False``), or as the bundle says (``None``).
        detector: An ONNX file of the YuNet face detector; by default the one installed by ``models add-detector``.
        detector_threshold: Least detection score, in [0, 1].
        detect_size: Longest side in pixels at which faces are looked for.
        min_face: Faces whose longer side is below this many pixels are left out.
        max_faces: At most this many faces per picture, largest first.

    Returns:
        A classifier, ready for use.

    Raises:
        ModelNotFoundError: If there is no such model, or faces are asked for and no detector is installed.
        BundleError: If the bundle is broken, was changed, or holds no such variant.
        ProviderUnavailableError: If the provider is not available.
        OptionError: If an option's value cannot be used.
    """
    options = Options(
        variant=variant,
        provider=provider,
        threads=threads,
        threshold=threshold,
        limits=limits or Limits(),
        exact=exact,
        optimize=optimize,
        faces=faces,
        detector=None if detector is None else os.fspath(detector),
        detector_threshold=detector_threshold,
        detect_size=detect_size,
        min_face=min_face,
        max_faces=max_faces,
    )
    if isinstance(model, Bundle):
        return Classifier(model, options)
    located = locate.locate(model)
    notices = (FALLBACK_NOTICE,) if located.is_fallback else ()
    return Classifier(Bundle.open(located.path, variant=variant), options, notices=notices)


FALLBACK_NOTICE = (
    "Using the small built-in model; a larger one from the Hub is recommended. To bring it: "
    "pip install 'gender-classifier[export]' && gender-classifier export"
)


def _read_processor(bundle: Bundle) -> Processor:
    manifest = bundle.manifest
    try:
        return Processor.from_config(bundle.processor_config(), model_type=manifest.architecture.model_type)
    except UnsupportedProcessorError as error:
        raise UnsupportedProcessorError(f"{bundle.path / manifest.processor.file} cannot be used: {error}.") from error


def _is_dynamically_quantized(bundle: Bundle, variant: str | None) -> bool:
    quantization = bundle.variant(variant).quantization
    return quantization is not None and quantization.get("mode") == "dynamic"


def _check_graph(session: onnxruntime.InferenceSession, manifest: Manifest, dynamic: bool) -> int | None:
    """Compares the graph with the manifest; returns the batch size that every run must have, or ``None`` for any.

    Dynamic quantisation takes the activations' scale from the whole batch, so that an answer would depend on its
    batch-mates (onnxruntime #6851): such graphs get one picture per run.
    """
    io = manifest.io
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name for node in session.get_outputs()}
    if set(inputs) != {io.input_name} or io.output_name not in outputs:
        raise BundleError(
            f"The graph of {manifest.name} does not fit its manifest: its inputs are {sorted(inputs)}, "
            f"its outputs {sorted(outputs)}."
        )
    batch, *_ = inputs[io.input_name].shape
    if isinstance(batch, int) and batch != 1:
        raise BundleError(
            f"The graph of {manifest.name} takes {batch} pictures at a time, no more and no fewer; "
            "export it with a dynamic batch axis."
        )
    return 1 if dynamic or batch == 1 else None


def _no_face(path: str | None) -> str:
    what = f"{shown(path)}: no" if path is not None else "No"
    return f"{what} face was found; --no-faces (in code: faces=False) classifies the whole picture all the same."
