"""What :func:`runtime.load` was told, kept together so that a pickled classifier comes back the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import OptionError
from .limits import Limits

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """The options of :func:`runtime.load`, by the same names; see there.

    Raises:
        OptionError: If a value is out of range.
    """

    variant: str | None = None
    provider: str = "cpu"
    threads: int | None = None
    threshold: float | None = None
    limits: Limits = field(default_factory=Limits)
    exact: bool = True
    optimize: bool = True
    faces: bool | None = None
    detector: str | None = None
    detector_threshold: float | None = None
    detect_size: int | None = None
    min_face: int = 0
    max_faces: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError(f"threshold is {self.threshold}; it must be from 0 to 1")
        if self.detector_threshold is not None and not 0 <= self.detector_threshold <= 1:
            raise OptionError(f"detector_threshold is {self.detector_threshold}; it must be from 0 to 1")
        if self.min_face < 0:
            raise OptionError(f"min_face is {self.min_face}; it must be 0 or more")
        if self.max_faces is not None and self.max_faces < 1:
            raise OptionError(f"max_faces is {self.max_faces}; it must be 1 or more")
