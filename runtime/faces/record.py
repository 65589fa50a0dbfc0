"""Chooses the face detector's file, and reads the record beside it: its hash, its threshold, the size it looks at.

The package carries a detector of its own (``models/face-detector``). ``gender-classifier models add-detector`` installs
YuNet in the user's model folder, and ``GENDER_CLASSIFIER_DETECTOR`` names any other file.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ..bundle import locate, strict_json
from ..errors import DetectorError

__all__ = [
    "DEFAULT_DETECT_SIZE",
    "DEFAULT_THRESHOLD",
    "DETECTOR_VARIABLE",
    "FILE_NAME",
    "RECORD_NAME",
    "Record",
    "builtin",
    "chosen",
    "install_dir",
    "read_record",
]

DETECTOR_VARIABLE: Final = "GENDER_CLASSIFIER_DETECTOR"
FILE_NAME: Final = "face_detection_yunet.onnx"
RECORD_NAME: Final = "detector.json"

DEFAULT_THRESHOLD: Final = 0.8
"""Of a file whose record names none: what suits the export of YuNet by its authors (``docs/faces.md``)."""

DEFAULT_DETECT_SIZE: Final = 1152
"""Two tiles of 640 pixels that overlap by :data:`runtime.faces.tiles.OVERLAP`: the largest size four tiles cover."""


@dataclass(frozen=True)
class Record:
    """What ``detector.json`` says of the file beside it.

    Attributes:
        file: Name of the file that it describes.
        sha256: Digest of that file.
        threshold: Least score of a face, in (0, 1]. It belongs to the file: the scores of one network say nothing of
            another's.
        detect_size: Longest side in pixels at which a large picture is searched.
        bytes: Size of the file.
        source: Where it came from.
        license: Under which terms, where they are known.
        attribution: Whom to name.
        format_version: Of this record.
    """

    file: str
    sha256: str
    threshold: float = DEFAULT_THRESHOLD
    detect_size: int = DEFAULT_DETECT_SIZE
    bytes: int | None = None
    source: Any = None
    license: str | None = None
    attribution: str | None = None
    format_version: Literal[1] = 1


def builtin() -> Path:
    """Returns the detector that the package carries."""
    return locate.PACKAGE / "models" / "face-detector" / "face_detector.onnx"


def install_dir() -> Path:
    """Returns the folder that ``models add-detector`` writes to; it may not exist yet."""
    return locate.user_dir() / "detector"


def chosen() -> Path:
    """Returns the detector to use: what the environment names, else the one the user installed, else the built-in one.

    What ``GENDER_CLASSIFIER_DETECTOR`` names is returned even where it does not exist, so that loading says so: a
    setting with a typing error must not quietly change the answers.
    """
    named = os.environ.get(DETECTOR_VARIABLE)
    if named:
        return locate.expanded(named)
    try:
        path = install_dir() / FILE_NAME
        return path if path.is_file() else builtin()
    except (OSError, ValueError, RuntimeError):
        # A home that this user may not look into (a service with HOME=/root), or none at all (RuntimeError), holds no
        # detector for him. Path.is_file answers False to "no such file" only, before Python 3.14.
        return builtin()


def read_record(path: Path, model: bytes) -> Record:
    """Reads the record beside a detector's file, and compares the file with it.

    Args:
        path: The detector's file.
        model: Its bytes.

    Returns:
        The record; one with the defaults where there is none, or it is that of another file.

    Raises:
        DetectorError: If the record cannot be read, or the file is not the one that it describes.
    """
    place = path.with_name(RECORD_NAME)
    digest = hashlib.sha256(model).hexdigest()
    try:
        record = strict_json.build(Record, strict_json.parse(place.read_bytes()))
    except FileNotFoundError:
        return Record(path.name, digest)
    except (OSError, ValueError) as error:
        raise DetectorError(
            f"The record of the face detector, {place}, cannot be read: {error}. Install the detector again."
        ) from error
    if record.file != path.name:
        return Record(path.name, digest)
    if record.sha256 != digest:
        raise DetectorError(
            f"The face detector {path} was changed since it was installed: its sha256 is not the recorded one. "
            "Install it again."
        )
    return record
