"""Finds the faces of a photograph: a detector with YuNet's outputs on our own session, decoded in numpy."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..bundle.locate import expanded
from ..errors import BundleError, DetectorError, DetectorNotFoundError, OptionError
from ..session import Session, create_session
from . import tiles, turns, yunet
from .record import read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from ..prediction import Box

__all__ = ["Detector", "Face"]

HINT_THRESHOLD: Final = 0.3
HINT_SIZE: Final = 48
"""A large picture gets its closer look when the first one shows no face, or something that may be one (score from
:data:`HINT_THRESHOLD`) and is smaller than this many pixels; a portrait is done after the first look."""

DYNAMIC_TILE: Final = 640
"""Side of the tiles for a graph of any input size: the published file's, so that both give the same answers."""

_GRID: Final = max(yunet.STRIDES)


@dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
        box: In pixels of the upright picture, to a hundredth; a face at the border may reach beyond it.
        score: How sure the detector is, in [0, 1], to four digits.
        landmarks: ``(x, y)`` in pixels of the person's right eye, left eye, nose tip, right and left mouth corner.
    """

    box: Box
    score: float
    landmarks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Options:
    threads: int
    threshold: float
    nms_threshold: float
    detect_size: int

    def __post_init__(self) -> None:
        for name in ("threshold", "nms_threshold"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= 1):
                raise OptionError(f"The detector's {name} is {value}; it must be above 0 and at most 1.")
        if self.detect_size < _GRID:
            raise OptionError(f"The detector's detect_size is {self.detect_size}; it must be at least {_GRID} pixels.")


class Detector:
    """Finds faces; one instance serves any number of threads at once, and can be pickled.

    Make one with :meth:`load`.
    """

    def __init__(self, model: bytes, name: str, options: _Options) -> None:
        self._model = model
        self._name = name
        self._options = options
        try:
            self._session = Session(lambda: create_session(model, threads=options.threads))
        except BundleError as error:
            raise DetectorError(f"The face detector {name} cannot be loaded ({error}). Install a sound one.") from error
        self._input, self._fixed = _interface(self._session.here, name)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        threshold: float | None = None,
        nms_threshold: float = 0.3,
        detect_size: int | None = None,
    ) -> Detector:
        """Loads an ONNX file with YuNet's outputs, of a fixed or a dynamic input size.

        Args:
            path: The file. What ``detector.json`` beside it says holds: its sha256 is compared, and it names the
                threshold and the size that suit the file.
            threads: Intra-op threads; pictures are better spread over workers than one over threads.
            threshold: Least score of a face, above 0 and at most 1; by default that of the record.
            nms_threshold: Largest intersection over union of two faces.
            detect_size: Longest side in pixels at which a large picture is searched; by default that of the record.

        Raises:
            DetectorNotFoundError: If there is no such file.
            DetectorError: If the file is not the one installed, or no YuNet.
            OptionError: If an option has a value that cannot be used.
        """
        place = expanded(os.fspath(path))
        try:
            model = place.read_bytes()
        except FileNotFoundError as error:
            raise DetectorNotFoundError(f"There is no face detector at {place}.") from error
        except OSError as error:
            raise DetectorError(f"The face detector {place} cannot be read: {error.strerror}.") from error
        except ValueError as error:  # a NUL character in the name
            raise DetectorNotFoundError(f"There is no face detector at {str(place)!r}: {error}.") from error
        record = read_record(place, model)
        options = _Options(
            threads,
            record.threshold if threshold is None else threshold,
            nms_threshold,
            record.detect_size if detect_size is None else detect_size,
        )
        return cls(model, str(place), options)

    def __reduce__(self) -> tuple[type[Detector], tuple[bytes, str, _Options]]:
        # The bytes travel, not the path: a worker on another machine finds faces with the same network.
        return (type(self), (self._model, self._name, self._options))

    def __repr__(self) -> str:
        return f"Detector({self._name!r}, {', '.join(f'{k}={v}' for k, v in asdict(self._options).items())})"

    @property
    def path(self) -> str:
        """The file it was loaded from."""
        return self._name

    @property
    def threshold(self) -> float:
        """Least score of a face."""
        return self._options.threshold

    @property
    def detect_size(self) -> int:
        """Longest side in pixels at which a large picture is searched."""
        return self._options.detect_size

    @property
    def sha256(self) -> str:
        """Digest of the detector's file."""
        return hashlib.sha256(self._model).hexdigest()

    def detect(self, image: Image.Image) -> tuple[Face, ...]:
        """Finds the faces of a picture.

        The picture is scaled, never stretched, and looked at whole. One that is larger than the detector's input and
        may hold small faces is also looked at in overlapping tiles, at up to ``detect_size``; what both find is merged.
        Where nothing sure is found, the picture is looked at from further away, for a face that fills it, and then
        lying on either side and on its head.

        Args:
            image: An upright picture, RGB (other modes are converted).

        Returns:
            The faces, largest box first.
        """
        if min(image.size) < 1:
            return ()
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        found = self._search(rgb)
        for look_again in (self._step_back, self._search_turned):
            if found.scores.max(initial=0) < self._sure:
                found = look_again(rgb, found)
        return _faces(found)

    @property
    def _sure(self) -> float:
        """Score from which a face leaves no doubt which way up the picture is: halfway from the threshold to 1."""
        return (1 + self._options.threshold) / 2

    def _search(self, rgb: Image.Image) -> yunet.Candidates:
        """Finds what reaches the threshold, in pixels of the picture, best score first."""
        room = self._room
        whole, *closer = tiles.levels(rgb.size, room, self._options.detect_size)
        # The smaller size is made from the larger one: a photograph of 48 megapixels is gone through once.
        large = _scaled(rgb, closer[0]) if closer else rgb
        found = self._look(_scaled(large, whole), room)
        parts = [found.moved((0, 0), (rgb.width / whole[0], rgb.height / whole[1]))]
        if closer and self._may_hold_small_faces(found):
            size = closer[0]
            parts.append(self._look(large, room).moved((0, 0), (rgb.width / size[0], rgb.height / size[1])))
        return self._merged(parts)

    def _merged(self, parts: list[yunet.Candidates]) -> yunet.Candidates:
        merged = yunet.non_maximum_suppression(yunet.Candidates.join(parts), self._options.nms_threshold)
        return merged.take(np.flatnonzero(merged.scores >= self._options.threshold))

    def _step_back(self, rgb: Image.Image, found: yunet.Candidates) -> yunet.Candidates:
        """Adds what is seen at half the size of the first look."""
        whole = tiles.levels(rgb.size, self._room, self._options.detect_size)[0]
        half = max(1, whole[0] // 2), max(1, whole[1] // 2)
        seen = self._look(_scaled(rgb, half), self._room)
        return self._merged([found, seen.moved((0, 0), (rgb.width / half[0], rgb.height / half[1]))])

    def _search_turned(self, rgb: Image.Image, upright: yunet.Candidates) -> yunet.Candidates:
        """Searches the picture the way up that shows the surest face; ``upright`` where no turn shows a surer one."""
        whole = _scaled(rgb, tiles.levels(rgb.size, self._room, self._options.detect_size)[0])
        best = {turn: self._look(turns.turned(whole, turn), self._room).scores.max(initial=0) for turn in turns.TURNS}
        turn = max(best, key=lambda one: best[one])
        if best[turn] < max(self._sure, upright.scores.max(initial=0)):
            return upright
        return turns.back(self._search(turns.turned(rgb, turn)), turn, rgb.size)

    @property
    def _room(self) -> tuple[int, int]:
        return self._fixed or (DYNAMIC_TILE, DYNAMIC_TILE)

    def _look(self, image: Image.Image, room: tuple[int, int]) -> yunet.Candidates:
        """Searches a picture at its size, in tiles where it is larger than the room."""
        pixels = np.asarray(image)
        lowest = min(HINT_THRESHOLD, self._options.threshold)
        parts = []
        for tile in tiles.tiles(image.size, room):
            part = pixels[tile.top : tile.bottom, tile.left : tile.right]
            found = _drop_cut(self.candidates(part, threshold=lowest), tile)
            parts.append(found.moved((tile.left, tile.top), (1, 1)))
        return yunet.Candidates.join(parts)

    def _may_hold_small_faces(self, found: yunet.Candidates) -> bool:
        sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
        return not (found.scores >= self._options.threshold).any() or bool((sizes < HINT_SIZE).any())

    def candidates(self, rgb: NDArray[np.uint8], *, threshold: float | None = None) -> yunet.Candidates:
        """Runs the network once, at the size given.

        Args:
            rgb: uint8 (height, width, 3), no larger than the graph's input where that is fixed.
            threshold: Least score; that of the detector unless given.

        Returns:
            What is left after non-maximum suppression, in pixels of ``rgb``, best score first.
        """
        height, width = rgb.shape[:2]
        padded = self._fixed or (-(-width // _GRID) * _GRID, -(-height // _GRID) * _GRID)
        blob = yunet.to_input(rgb, padded[1], padded[0])
        values = self._session.here.run(list(yunet.OUTPUTS), {self._input: blob})
        outputs = dict(zip(yunet.OUTPUTS, values, strict=True))
        raw = yunet.decode(outputs, padded[0], self._options.threshold if threshold is None else threshold)
        return yunet.non_maximum_suppression(raw, self._options.nms_threshold)


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image as Pillow

    if image.size == size:
        return image
    # reducing_gap: a box filter by a whole number first, then the exact size. For 12 megapixels that halves the time,
    # and finds the same faces with the same scores (docs/faces.md).
    return image.resize(size, Pillow.Resampling.BILINEAR, reducing_gap=1.0)


def _drop_cut(found: yunet.Candidates, tile: tiles.Tile) -> yunet.Candidates:
    """Drops what touches a side where the tile, not the picture, ends: a neighbour sees that face whole."""
    width, height = tile.size
    x0, y0, x1, y1 = found.boxes.T
    cut = np.zeros(len(found.scores), bool)
    for inner, beyond in zip(tile.inner, (x0 <= 0, y0 <= 0, x1 >= width, y1 >= height), strict=True):
        if inner:
            cut |= beyond
    return found.take(np.flatnonzero(~cut))


def _faces(found: yunet.Candidates) -> tuple[Face, ...]:
    """Turns arrays into faces, largest box first; of equal ones the surer first. Digits beyond sense are left out."""
    x0, y0, x1, y1 = found.boxes.T
    order = np.argsort(-((x1 - x0) * (y1 - y0)), kind="stable")
    rounded = (part.astype(np.float64).round(d) for part, d in zip(found.take(order), (2, 4, 2), strict=True))
    boxes, scores, landmarks = (part.tolist() for part in rounded)
    return tuple(
        Face(tuple(box), score, tuple((x, y) for x, y in marks))
        for box, score, marks in zip(boxes, scores, landmarks, strict=True)
    )


def _interface(session: Any, name: str) -> tuple[str, tuple[int, int] | None]:
    """Returns the input's name, and its width and height where they are fixed; refuses a graph that is no YuNet."""
    inputs = session.get_inputs()
    missing = sorted(set(yunet.OUTPUTS) - {output.name for output in session.get_outputs()})
    if missing or len(inputs) != 1:
        raise DetectorError(
            f"{name} is no YuNet face detector: "
            + (f"it lacks the outputs {', '.join(missing)}." if missing else "it has several inputs.")
        )
    shape = inputs[0].shape
    if len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        raise DetectorError(
            f"{name} is no YuNet face detector: its input is {inputs[0].type} {shape}, not float (1, 3, height, width)."
        )
    height, width = shape[2:]
    if not (isinstance(height, int) and isinstance(width, int)):
        return inputs[0].name, None
    if height % _GRID or width % _GRID:
        raise DetectorError(f"{name}: its input of {width} x {height} is no multiple of {_GRID} pixels.")
    return inputs[0].name, (width, height)
