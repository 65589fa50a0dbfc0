"""Records which repository on the Hub each installed model came from.

The record is written by this program when it brings a model, beside the models and not among a model's own files: what
a bundle says of itself is not taken for where it came from. It holds the hash of the bundle's weights, so that it
never speaks for another bundle that took the name.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import ClassifierError
from . import locate
from .bundle import read_manifest
from .files import digest_of, read_bounded
from .strict_json import JSONFormatError, build, parse, plain

__all__ = ["Origin", "added_from", "forget", "origin_of", "record"]

_FOLDER: Final = ".origins"


@dataclass(frozen=True)
class Origin:
    """Where a model came from.

    Attributes:
        repository: ``ORG/NAME`` on the Hub.
        revision: The commit, 40 hex digits.
        weights: sha256 over the hashes of its ONNX files.
    """

    repository: str
    revision: str
    weights: str


def record(stage: Path, target: Path, repository: str, revision: str) -> None:
    """Writes down where the bundle in ``stage``, which is about to become ``target``, came from.

    Raises:
        OSError: If that cannot be written.
        ManifestError: If the bundle's manifest cannot be read.
    """
    origin = Origin(repository, revision, _weights(stage))
    place = _place(target)
    place.parent.mkdir(exist_ok=True)
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    part.write_text(json.dumps(plain(origin)) + "\n", encoding="utf-8")
    part.replace(place)


def forget(folder: Path) -> None:
    """Removes the record of a model that was removed.

    Raises:
        OSError: If it cannot be removed.
    """
    _place(folder).unlink(missing_ok=True)


def origin_of(folder: Path) -> Origin | None:
    """Returns where an installed model came from, or ``None`` where this program did not bring it from the Hub."""
    try:
        origin = build(Origin, parse(read_bounded(_place(folder))))
        return origin if origin.weights == _weights(folder) else None
    except (OSError, JSONFormatError, ClassifierError):
        return None


def added_from(repository: str, revision: str | None = None) -> Path | None:
    """Returns the folder of the newest installed model that came from a repository, at a commit if one is given."""
    found = []
    for folder in locate.installed():
        origin = origin_of(folder)
        if origin and origin.repository == repository and revision in (None, origin.revision):
            found.append((_place(folder).stat().st_mtime_ns, folder))
    return max(found)[1] if found else None


def _place(folder: Path) -> Path:
    return folder.parent / _FOLDER / f"{folder.name}.json"


def _weights(folder: Path) -> str:
    return digest_of({variant.file: variant.sha256 for variant in read_manifest(folder).variants.values()})
