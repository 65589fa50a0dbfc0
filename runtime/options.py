"""Holds what :func:`load` is told; each field also describes itself as a flag and as a line of a journal.

An option is added here and nowhere else: the keywords of :func:`load`, the flags of the command line and what a sort
records are read from these three classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, get_args

from .errors import OptionError

__all__ = ["PARTS", "Faces", "Limits", "Main", "Option", "Options", "flat", "from_flat", "options_of"]

Main = Literal["largest", "central"]
"""Which one person a picture's answer is that of: the largest face, or the one nearest to the picture's centre."""


class Option(NamedTuple):
    """What one field says of itself, beside its type and its default.

    Attributes:
        name: The option's name among those of all three classes; a flag writes it with hyphens.
        help: For the command line, its default included.
        kind: ``str``, ``int``, ``float`` or ``bool``.
        metavar: What the help calls its value.
        least: Smallest value.
        most: Largest value.
        choices: The values allowed; any if empty.
        decides: Whether it can change an answer. The others decide how fast it comes.
    """

    name: str
    help: str
    kind: type = str
    metavar: str | None = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    decides: bool = True

    @property
    def range(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"{self.least} or more" if self.most is None else f"from {self.least} to {self.most}"

    def allows(self, value: Any) -> bool:
        """Whether a value is of the option's kind and within its range."""
        if self.choices:
            return value in self.choices
        if self.kind not in (int, float):
            return True
        if isinstance(value, bool) or not isinstance(value, (int, float) if self.kind is float else int):
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def _option(default: Any, name: str, help: str, **more: Any) -> Any:  # noqa: A002 - as argparse calls it
    return field(default=default, metadata={"option": Option(name, help, **more)})


def options_of(part: Any) -> Iterator[tuple[Field[Any], Option]]:
    """Yields the fields of one of the classes (or of an instance) that describe themselves."""
    return ((each, each.metadata["option"]) for each in fields(part) if "option" in each.metadata)


def _check(part: Any) -> None:
    for each, option in options_of(part):
        value = getattr(part, each.name)
        if not (value is None and each.default is None) and not option.allows(value):
            raise OptionError(f"{each.name} is {value!r}; it must be {option.range}")


@dataclass(frozen=True)
class Faces:
    """How faces are found. ``None`` leaves a value to what the detector's own record says.

    Attributes:
        detector: An ONNX file of a face detector; by default the one that was added, else the built-in one.
        threshold: Least detection score, in [0, 1].
        detect_size: Longest side, in pixels, at which a large picture is searched.
        min_size: Faces whose longer side is below this many pixels are left out.
        limit: At most this many faces a picture, largest first.

    Raises:
        OptionError: If a value is out of range.
    """

    detector: str | os.PathLike[str] | None = _option(  # noqa: RUF009
        None, "detector", "face detector (default: the one added, else the built-in one)", metavar="FILE"
    )
    threshold: float | None = _option(
        None,
        "detector_threshold",
        "least detection score, 0 to 1 (default: the detector's own)",
        kind=float,
        metavar="P",
        least=0,
        most=1,
    )
    detect_size: int | None = _option(
        None,
        "detect_size",
        "longest side at which faces are looked for (default: the detector's own, 1152)",
        kind=int,
        metavar="PX",
        least=1,
    )
    min_size: int = _option(
        0, "min_face", "leave out faces smaller than this (default: 0)", kind=int, metavar="PX", least=0
    )
    limit: int | None = _option(None, "max_faces", "at most this many faces a picture", kind=int, metavar="N", least=1)

    def __post_init__(self) -> None:
        if self.detector is not None:  # a plain string, so that equal options are equal however they were given
            object.__setattr__(self, "detector", os.fspath(self.detector))
        _check(self)


@dataclass(frozen=True)
class Limits:
    """Limits on one picture, checked before any pixel is decoded.

    Attributes:
        max_bytes: Largest file, in bytes. The default, 256 MiB, holds the largest photographs of today's cameras
            in any compressed format.
        max_pixels: Most pixels, width times height as the header states them. The default, 192 Mi (201,326,592),
            holds the photographs of 200 megapixels that telephones write, as baseline JPEG. Formats that take more
            memory or time per pixel are held to fewer by default, and so are very long sides and JPEG files of very
            many scans; a larger ``max_pixels`` raises those in proportion. docs/decode.md has the tables.

    Raises:
        OptionError: If a limit is not a whole number of 1 or more.
    """

    max_bytes: int = _option(256 << 20, "max_bytes", "refuse larger files", kind=int, metavar="N", least=1)
    max_pixels: int = _option(
        192 << 20, "max_pixels", "refuse pictures with more pixels", kind=int, metavar="N", least=1
    )

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What :func:`load` takes besides the model, by the same names.

    Attributes:
        variant: ``fp32``, ``int8``, ``q4``; the bundle's default one unless named.
        threshold: Probability in [0, 1] below which the answer is ``uncertain``; overrides the bundle's thresholds.
        provider: Execution provider, ``cpu`` unless named.
        threads: Intra-op threads; by default from CPU affinity and cgroup quota, at most four.
        faces: Look for faces (``True``, or a :class:`Faces` that says how), take the whole picture (``False``), or as
            the bundle says (``None``).
        main: Answer for one person of each picture, ``largest`` (face) or ``central``; for all of them unless given.
        limits: Largest file and picture that are decoded.
        exact: Decode every pixel. ``False`` decodes large JPEGs at a reduced scale when whole pictures are classified:
            decoding is about one and a half times faster, and a probability moves by up to some hundredths
            (docs/decode.md).
        optimize: Let onnxruntime lay the weights out for this processor; ``False`` is quicker for a single picture,
            and takes less memory. Not a flag: the command line sees how many pictures there are.

    Raises:
        OptionError: If a value is out of range.
    """

    variant: str | None = _option(
        None, "variant", "fp32, int8 or q4 (default: the one the model names)", metavar="NAME"
    )
    threshold: float | None = _option(
        None,
        "threshold",
        "answer 'uncertain' below this probability, 0 to 1 (default: the model's own thresholds)",
        kind=float,
        metavar="P",
        least=0,
        most=1,
    )
    provider: str = _option("cpu", "provider", "execution provider (default: cpu)", metavar="NAME", decides=False)
    threads: int | None = _option(
        None,
        "threads",
        "threads of the network (default: CPUs allowed, at most 4)",
        kind=int,
        metavar="N",
        least=1,
        decides=False,
    )
    faces: bool | Faces | None = _option(  # noqa: RUF009
        None,
        "faces",
        "find the faces and classify each, or take the whole picture (default: as the model wants)",
        kind=bool,
    )
    main: Main | None = _option(  # noqa: RUF009
        None,
        "main",
        "answer for one person a picture: the largest face, or the one nearest to the centre (default: for all)",
        choices=get_args(Main),
    )
    limits: Limits = field(default_factory=Limits)
    exact: bool = _option(
        True,
        "exact",
        "decode every pixel, or large JPEGs at reduced scale: faster, and a little different (default: exact)",
        kind=bool,
    )
    optimize: bool = True

    def __post_init__(self) -> None:
        _check(self)


PARTS: Final = (Options, Faces, Limits)
"""The classes whose fields are options."""


def flat(options: Options) -> dict[str, Any]:
    """Returns the values by :attr:`Option.name`, as plain JSON types; ``faces`` as ``True``, ``False`` or ``None``."""
    faces = options.faces if isinstance(options.faces, Faces) else Faces()
    parts = (options, faces, options.limits)
    named = {option.name: getattr(part, each.name) for part in parts for each, option in options_of(part)}
    return named | {"faces": True if isinstance(options.faces, Faces) else options.faces}


def from_flat(named: Mapping[str, Any]) -> Options:
    """Returns the options that names stand for; ``None`` and what is missing mean the default, other names nothing.

    Whoever says how faces are found wants them found, unless ``faces`` is ``False``.
    """

    def told(part: type) -> dict[str, Any]:
        values = {each.name: named.get(option.name) for each, option in options_of(part)}
        return {name: value for name, value in values.items() if value is not None}

    options, faces = told(Options), Faces(**told(Faces))
    if options.get("faces") is not False and faces != Faces():
        options["faces"] = faces
    return Options(**options, limits=Limits(**told(Limits)))
