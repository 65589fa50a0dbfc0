"""Turns pictures into tensors: decode, find the regions, crop, process; and does so in threads, in order."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import numpy as np

from .decode.decode import decode
from .decode.opening import shown
from .errors import ImageError, OptionError, UnsupportedProcessorError, first_line
from .faces.crop import DEFAULT_MARGIN, crop_face, square_around, usable_eyes
from .inputs import EYES_ALONE, unwrapped
from .memory import Budget, available_memory, return_large_blocks
from .options import Faces, Options
from .prediction import Box, Status
from .processors.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from .bundle.bundle import Bundle
    from .decode.decode import ImageInput
    from .faces.detector import Detector, Face
    from .inputs import Picture
    from .prediction import Eyes

__all__ = ["WHOLE", "Pipeline", "Prepared", "Region", "batched", "failures", "ordered_map"]

NAMELESS = "The picture"
"""What sentences call a picture without a path."""

In = TypeVar("In")
Out = TypeVar("Out")


class Region(NamedTuple):
    """What the network looks at: one face, or the whole picture.

    Attributes:
        box: The face in pixels of the upright picture; ``None`` for the whole picture.
        score: The detector's score in [0, 1]; ``None`` where the box is the caller's, and for the whole picture.
        landmarks: ``(x, y)`` of the person's right eye, left eye and what else is known; ``None`` where nothing is.
    """

    box: Box | None = None
    score: float | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None

    @property
    def eyes(self) -> Eyes | None:
        """The two eyes where they are known and can be those of this face, else ``None``: then the box frames it."""
        return None if self.box is None else usable_eyes(self.box, self.landmarks)


WHOLE = Region()


class Prepared(NamedTuple):
    """One decoded input: its width and height, its regions and their tensors (regions, 3, H, W); or the failure."""

    path: str | None
    size: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    tensors: NDArray[np.float32] | None = None
    failure: ImageError | None = None

    @property
    def name(self) -> str:
        """What sentences call the picture."""
        return NAMELESS if self.path is None else shown(self.path)


class Pipeline:
    """From a picture to the network's input. Safe to use from several threads at once.

    Attributes:
        processor: Turns an upright RGB picture into the network's input.
        detector: Finds the faces; ``None`` where whole pictures are classified.
        framing: What the network was trained to see of a face.
    """

    def __init__(self, bundle: Bundle, options: Options) -> None:
        """Reads the processor and loads the detector.

        Raises:
            UnsupportedProcessorError: If the bundle's processor is not known.
            ModelNotFoundError: If the detector that was named is not there.
            DetectorError: If the detector cannot be used.
            OptionError: If one of its settings cannot be used.
        """
        self.framing = bundle.manifest.framing
        self.processor = _read_processor(bundle)
        wants_faces = self.framing.wants_faces if options.faces is None else options.faces is not False
        self._exact = options.exact
        self._limits = options.limits
        io = bundle.manifest.io
        # An eyes crop is made at the size that the processor scales to, which then has nothing left to scale.
        self._side = max(self.processor.decode_target or (io.width, io.height))
        self._faces = options.faces if isinstance(options.faces, Faces) else Faces()
        self.detector = _load_detector(self._faces) if wants_faces else None
        self._memory = Budget(room := available_memory())
        if room is not None:
            return_large_blocks()

    def prepare(
        self, image: Picture | ImageError, boxes: Sequence[Box] | None = None, eyes: Sequence[Eyes | None] | None = None
    ) -> Prepared:
        """Does the whole way for one picture; a picture that cannot be used becomes a failure, not an error.

        Args:
            image: What :func:`~runtime.inputs.unwrapped` takes, or the failure that it met before it came here.
            boxes: Faces to look at instead of what the detector finds, in pixels of the upright picture.
            eyes: The eyes of each of them.

        Raises:
            TypeError: If ``image`` is not a picture.
            OptionError: If it is an array of another shape, ``boxes`` or ``eyes`` are not what they should be, or a
                box lies outside the picture.
        """
        if isinstance(image, ImageError):
            return Prepared(None, failure=image)
        given = None if boxes is None and eyes is None else given_regions(boxes, eyes)
        content, path = unwrapped(image)
        name = NAMELESS if path is None else shown(path)
        try:
            with self._memory.share() as claim:
                picture = self.decode(content, cut=given is not None, claim=claim)
                size = picture.info.get("full_size", picture.size)
                if given is not None:
                    self._check_boxes(given, size, name)
                with failures(name):
                    regions = self.regions(picture) if given is None else given
                    return Prepared(path, size, regions, self.tensors(picture, regions) if regions else None)
        except ImageError as error:
            return Prepared(path, failure=_named(error, name))

    def decode(
        self, image: ImageInput, *, cut: bool = False, claim: Callable[[int], None] | None = None
    ) -> Image.Image:
        """Returns the upright RGB picture.

        A large JPEG comes at reduced scale where that is allowed and no face will be ``cut`` out of it. ``claim`` is
        told the memory that a file needs before it is decoded.

        Raises:
            ImageError: If the picture cannot be used.
        """
        reduced = not (self._exact or cut or self.detector is not None)
        return decode(image, self._limits, target=self.processor.decode_target if reduced else None, claim=claim)

    def pixels(self, image: ImageInput) -> NDArray[np.float32]:
        """Returns the network's input for a whole picture, float32 (3, H, W).

        Raises:
            ImageError: If the picture cannot be used.
        """
        picture = self.decode(image)
        with failures():
            return self.processor(picture)

    def faces(self, picture: Image.Image) -> tuple[Face, ...]:
        """Finds the faces of an upright picture, largest first; none without a detector."""
        if self.detector is None:
            return ()
        found = (face for face in self.detector.detect(picture) if _longer_side(face.box) >= self._faces.min_size)
        return tuple(found)[: self._faces.limit]

    def regions(self, picture: Image.Image) -> tuple[Region, ...]:
        """Returns what the network is to look at, largest face first; nothing where no face was found."""
        if self.detector is None:
            return (WHOLE,)
        return tuple(Region(face.box, face.score, face.landmarks) for face in self.faces(picture))

    def crop(self, picture: Image.Image, region: Region) -> Image.Image:
        """Returns the part of a picture that stands for one region, as the model was trained to see it."""
        if region.box is None:
            return picture
        return crop_face(picture, self.framing, self._side, region.box, region.eyes)

    def tensors(self, picture: Image.Image, regions: Sequence[Region]) -> NDArray[np.float32]:
        """Returns the network's input for each region, float32 (regions, 3, H, W)."""
        made = [self.processor(self.crop(picture, region)) for region in regions]
        return made[0][np.newaxis] if len(made) == 1 else np.stack(made)

    def _check_boxes(self, regions: tuple[Region, ...], size: tuple[int, int], name: str) -> None:
        """Refuses boxes that have nothing to do with the picture, before a crop of their size is made."""
        for region in regions:
            x0, y0, x1, y1 = box = cast("Box", region.box)
            if x0 >= size[0] or y0 >= size[1] or x1 <= 0 or y1 <= 0:
                raise OptionError(f"{name} has {size[0]}x{size[1]} pixels; the box {box} lies outside of it.")
            left, _, right, _ = square_around(
                box, DEFAULT_MARGIN if self.framing.margin is None else self.framing.margin
            )
            side = float(right - left)
            if region.eyes is not None and self.framing.eye_distance is not None:  # turned: the square around it
                side = max(side, math.dist(*region.eyes) / self.framing.eye_distance * math.sqrt(2))
            if side**2 > self._limits.max_pixels:
                most = f"{self._limits.max_pixels:,}"
                raise ImageError(Status.TOO_LARGE, f"{name}: the box {box} has more pixels than the limit of {most}.")


def given_regions(boxes: Sequence[Box] | None, eyes: Sequence[Eyes | None] | None) -> tuple[Region, ...]:
    """Turns the caller's boxes and eyes into regions.

    Raises:
        OptionError: If they are not numbers, a box is empty, or there are not as many eyes as boxes.
    """
    if boxes is None:
        raise OptionError(EYES_ALONE)
    pairs: Sequence[Eyes | None] = [None] * len(boxes) if eyes is None else eyes
    if len(pairs) != len(boxes):
        raise OptionError(EYES_ALONE)
    return tuple(_given_region(box, pair) for box, pair in zip(boxes, pairs, strict=True))


def _given_region(box: Box, eyes: Eyes | None) -> Region:
    try:
        x0, y0, x1, y1 = (float(value) for value in box)
        points = None if eyes is None else tuple((float(x), float(y)) for x, y in eyes)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"A box is four numbers, x0 y0 x1 y1, and eyes are two points (x, y); not {box!r} and {eyes!r}."
        ) from error
    numbers = [x0, y0, x1, y1, *(value for point in points or () for value in point)]
    if not all(map(math.isfinite, numbers)) or x0 >= x1 or y0 >= y1:
        raise OptionError(f"The box {box!r} is empty, or not of finite numbers.")
    if points is not None and (len(points) != 2 or points[0] == points[1]):
        raise OptionError(f"Eyes are two different points, the person's right eye first; not {eyes!r}.")
    return Region((x0, y0, x1, y1), None, points)


@contextmanager
def failures(name: str = NAMELESS) -> Iterator[None]:
    """Turns what goes wrong between the decoder and the network into an ``ImageError`` that names the picture."""
    try:
        yield
    except ImageError as error:
        sentence = f"{error.message.rstrip('.')}."
        named = sentence[:1].upper() + sentence[1:] if name == NAMELESS else f"{name}: {sentence}"
        raise ImageError(error.status, named) from error
    except MemoryError as error:
        raise ImageError(Status.TOO_LARGE, f"{name} needs more memory than there is to be prepared.") from error
    except Exception as error:  # the detector's graph, a transform: whatever it is, it is about this picture
        raise ImageError(
            Status.MODEL_ERROR, f"{name} cannot be prepared for the model: {first_line(error)}."
        ) from error


def _named(error: ImageError, name: str) -> ImageError:
    """Puts a picture's name into a sentence of the decoder, which was given the bytes alone."""
    if name == NAMELESS or not error.message.startswith(f"{NAMELESS} "):
        return error
    return ImageError(error.status, name + error.message.removeprefix(NAMELESS))


def _read_processor(bundle: Bundle) -> Processor:
    manifest = bundle.manifest
    try:
        return Processor.from_config(bundle.processor_config(), model_type=manifest.architecture.model_type)
    except UnsupportedProcessorError as error:
        raise UnsupportedProcessorError(f"{bundle.path / manifest.processor.file} cannot be used: {error}.") from error


def _load_detector(faces: Faces) -> Detector:
    from .faces.detector import Detector
    from .faces.record import chosen

    # One thread: it runs in the decoding workers, which are as many as there are CPUs.
    return Detector.load(faces.detector or chosen(), threshold=faces.threshold, detect_size=faces.detect_size)


def _longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def ordered_map(function: Callable[[In], Out], items: Iterable[In], *, workers: int, ahead: int) -> Iterator[Out]:
    """Applies ``function`` in threads and yields the results in the order of the items.

    At most ``ahead`` items are taken from ``items`` beyond the one whose result was yielded last, so memory does not
    grow with their number, and an endless iterator is fine. When ``items`` or ``function`` raises, the results before
    that point are yielded first. Closing the generator cancels what has not started. Where the system gives fewer
    threads, or none, the caller's own does what they would have done.

    Args:
        function: Called once per item, from several threads.
        items: Read lazily, from the caller's thread only.
        workers: Number of threads, 1 or more.
        ahead: How many items may be under way, 1 or more.
    """
    pending: deque[tuple[In, Future[Out]]] = deque()
    source = iter(items)
    failure: BaseException | None = None
    exhausted = alone = False
    executor = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while True:
            while not exhausted and len(pending) < ahead:
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                except Exception as error:  # noqa: BLE001 - raised again below, after the results before it
                    failure, exhausted = error, True
                else:
                    future: Future[Out] = Future()
                    try:
                        executor.submit(_do, future, function, item)
                    except RuntimeError:  # no thread can be started; one that there is may still take the task
                        alone = True
                    pending.append((item, future))
            if not pending:
                break
            item, future = pending.popleft()
            # Cancelling succeeds where no thread has taken the task yet.
            yield function(item) if alone and future.cancel() else future.result()
        if failure is not None:
            raise failure
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _do(future: Future[Out], function: Callable[[In], Out], item: In) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(item))
    except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
        future.set_exception(error)


def batched(items: Iterable[In], size: int, weight: Callable[[In], int]) -> Iterator[list[In]]:
    """Groups consecutive items until their weights add up to ``size``; an item of weight 0 still counts as one place.

    When ``items`` raises, the group gathered so far is yielded first.
    """
    group: list[In] = []
    total = 0
    source = iter(items)
    while True:
        try:
            item = next(source)
        except StopIteration:
            break
        except Exception:
            if group:
                yield group
            raise
        group.append(item)
        total += max(1, weight(item))
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group
