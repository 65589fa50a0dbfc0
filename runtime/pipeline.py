"""Turns pictures into tensors: decode, find the regions, crop, process; and does so in threads, in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .decode.decode import decode
from .errors import DetectorNotFoundError, ImageError, UnsupportedProcessorError
from .faces.crop import crop_face
from .options import Faces, Options
from .prediction import Box
from .processors.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from .bundle.bundle import Bundle
    from .decode.decode import ImageInput
    from .faces.detector import Detector, Face

__all__ = ["DEFAULT_MARGIN", "WHOLE", "Pipeline", "Prepared", "Region", "batched", "ordered_map"]

DEFAULT_MARGIN = 0.25
"""Margin around a face when faces are asked of a model whose bundle names none."""

Eyes = tuple[tuple[float, float], tuple[float, float]]
"""``(x, y)`` in pixels of a person's right eye, then of the left one."""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Region:
    """What the network looks at: one face, or the whole picture.

    Attributes:
        box: The face in pixels of the upright picture; ``None`` for the whole picture.
        score: The detector's score in [0, 1]; ``None`` where the box is the caller's, and for the whole picture.
        landmarks: ``(x, y)`` of the person's right eye, left eye and what else is known; ``None`` where nothing is.
    """

    box: Box | None = None
    score: float | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None


WHOLE = Region()


@dataclass(frozen=True)
class Prepared:
    """One decoded input: its width and height, its regions and their tensors (regions, 3, H, W); or the failure."""

    path: str | None
    size: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    tensors: NDArray[np.float32] | None = None
    failure: ImageError | None = None


class Pipeline:
    """From a picture to the network's input. Safe to use from several threads at once.

    Attributes:
        processor: Turns an upright RGB picture into the network's input.
        detector: Finds the faces; ``None`` where whole pictures are classified.
        margin: Share of a face's longer side that is added around it on each side.
        wants_faces: Whether faces are to be looked for; without a detector they are not.
    """

    def __init__(self, bundle: Bundle, options: Options) -> None:
        """Reads the processor and loads the detector.

        Raises:
            UnsupportedProcessorError: If the bundle's processor is not known.
            DetectorNotFoundError: If faces are asked for and there is no detector.
            DetectorError: If the detector cannot be used.
            OptionError: If one of its settings cannot be used.
        """
        framing = bundle.manifest.framing
        self.processor = _read_processor(bundle)
        self.wants_faces = framing.kind == "face" if options.faces is None else options.faces is not False
        self._exact = options.exact
        self._limits = options.limits
        self.margin = DEFAULT_MARGIN if framing.margin is None else framing.margin
        self._faces = options.faces if isinstance(options.faces, Faces) else Faces()
        self.detector = _load_detector(self._faces, required=bool(options.faces)) if self.wants_faces else None

    def prepare(self, image: ImageInput | ImageError) -> Prepared:
        """Does the whole way for one picture; a picture that cannot be used becomes a failure, not an error.

        Raises:
            TypeError: If ``image`` is not a picture.
        """
        if isinstance(image, ImageError):
            return Prepared(None, failure=image)
        path = os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else None
        try:
            picture = self.decode(image)
        except ImageError as error:
            return Prepared(path, failure=error)
        size = picture.info.get("full_size", picture.size)
        regions = self.regions(picture)
        return Prepared(path, size, regions, self.tensors(picture, regions) if regions else None)

    def decode(self, image: ImageInput) -> Image.Image:
        """Returns the upright RGB picture; a large JPEG at reduced scale where that is allowed and no face is cut out.

        Raises:
            ImageError: If the picture cannot be used.
        """
        whole = self.detector is None and not self._exact
        return decode(image, self._limits, target=self.processor.decode_target if whole else None)

    def pixels(self, image: ImageInput) -> NDArray[np.float32]:
        """Returns the network's input for a whole picture, float32 (3, H, W).

        Raises:
            ImageError: If the picture cannot be used.
        """
        return self.processor(self.decode(image))

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
        return crop_face(picture, region.box, self.margin, region.landmarks)

    def tensors(self, picture: Image.Image, regions: Sequence[Region]) -> NDArray[np.float32]:
        """Returns the network's input for each region, float32 (regions, 3, H, W)."""
        made = [self.processor(self.crop(picture, region)) for region in regions]
        return made[0][np.newaxis] if len(made) == 1 else np.stack(made)


def _read_processor(bundle: Bundle) -> Processor:
    manifest = bundle.manifest
    try:
        return Processor.from_config(bundle.processor_config(), model_type=manifest.architecture.model_type)
    except UnsupportedProcessorError as error:
        raise UnsupportedProcessorError(f"{bundle.path / manifest.processor.file} cannot be used: {error}.") from error


def _load_detector(faces: Faces, *, required: bool) -> Detector | None:
    from .faces.detector import Detector, installed

    path = Path(faces.detector) if faces.detector else installed()
    if path is None:
        if required:
            raise DetectorNotFoundError("No face detector is installed.")
        return None
    named: dict[str, Any] = {"threshold": faces.threshold, "detect_size": faces.detect_size}
    # One thread: it runs in the decoding workers, which are as many as there are CPUs.
    return Detector.load(path, **{key: value for key, value in named.items() if value is not None})


def _longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def ordered_map(function: Callable[[In], Out], items: Iterable[In], *, workers: int, ahead: int) -> Iterator[Out]:
    """Applies ``function`` in threads and yields the results in the order of the items.

    At most ``ahead`` items are taken from ``items`` beyond the one whose result was yielded last, so memory does not
    grow with their number, and an endless iterator is fine. When ``items`` or ``function`` raises, the results before
    that point are yielded first. Closing the generator cancels what has not started.

    Args:
        function: Called once per item, from several threads.
        items: Read lazily, from the caller's thread only.
        workers: Number of threads, 1 or more.
        ahead: How many items may be under way, 1 or more.
    """
    pending: deque[Future[Out]] = deque()
    source = iter(items)
    failure: BaseException | None = None
    exhausted = False
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
                    pending.append(executor.submit(function, item))
            if not pending:
                break
            yield pending.popleft().result()
        if failure is not None:
            raise failure
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


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
