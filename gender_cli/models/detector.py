"""``gender-classifier models add-detector``: the face detector, from the Hub or from a file.

The published file is known by its hash, whichever way it comes. Another YuNet is accepted only as a local file, and its
hash is recorded, so that a later change is noticed. Nothing of another kind is ever installed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...runtime.bundle import store
from ...runtime.bundle.files import read_bounded
from ...runtime.errors import ClassifierError, DetectorError, ModelNotFoundError
from ..stdio import say, show

if TYPE_CHECKING:
    from ...runtime.faces.detector import Detector

__all__ = ["PUBLISHED", "Published", "add_parser", "install", "run"]


@dataclass(frozen=True)
class Published:
    """A file on the Hub, known beforehand."""

    repository: str
    revision: str
    path: str
    bytes: int
    sha256: str
    license: str
    threshold: float


PUBLISHED: Final = Published(
    repository="opencv/face_detection_yunet",
    revision="3cc26e7f1014a5ee5d74a42acee58bafc9d0a310",
    path="face_detection_yunet_2023mar.onnx",
    bytes=232_589,
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    license="MIT",
    threshold=0.7,
)
"""YuNet as OpenCV's model zoo publishes it, with the licence that its README names."""

_FORMAT_VERSION: Final = 1
_LARGEST: Final = 64 * 2**20
"""Bytes; YuNet has a quarter of a million, so a file beyond this is something else."""


def add_parser(commands: Any) -> None:
    """Adds the command to the subcommands of ``gender-classifier models``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "add-detector",
        help="install the face detector (YuNet, 0.2 MB), from the Hub or from a file",
        description=(
            f"Installs the face detector: {PUBLISHED.path} of {PUBLISHED.repository} on the Hub ({PUBLISHED.license}, "
            f"{PUBLISHED.bytes:,} bytes), or a YuNet file that is already here. It replaces one installed before."
        ),
        epilog="exit codes: 0 installed; 1 it could not be; 2 wrong use, or no such file",
        allow_abbrev=False,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a YuNet ONNX file; nothing is downloaded")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Installs the detector and says where.

    Returns:
        0 when it is installed, 1 when it could not be, 2 when there is no such file.
    """
    try:
        detector, path = install(arguments.file)
    except ClassifierError as error:
        say(str(error))
        return 2 if isinstance(error, ModelNotFoundError) else 1
    known = "the published file" if detector.sha256 == PUBLISHED.sha256 else "not the published file; its hash is kept"
    show(str(path), f"sha256 {detector.sha256} ({known})")
    return 0


def install(file: Path | None = None) -> tuple[Detector, Path]:
    """Installs the face detector in the user's model folder, whole or not at all.

    Args:
        file: A local YuNet file; ``None`` downloads the published one.

    Returns:
        The loaded detector and its path.

    Raises:
        ModelNotFoundError: If there is no such file.
        DetectorError: If the file is not a YuNet.
        StoreError: If the folder cannot be written.
        HubError: If it could not be downloaded.
    """
    from ...runtime.faces.detector import Detector
    from ...runtime.faces.record import FILE_NAME, RECORD_NAME, install_dir

    folder = install_dir()
    with store.publishing(folder, marker=FILE_NAME) as stage:
        staged = stage / FILE_NAME
        source = _download(stage, staged) if file is None else _copy(file, staged)
        try:
            detector = Detector.load(staged)
        except DetectorError as error:
            # The message names the staged file, which is gone by the time it is read.
            raise DetectorError(str(error).replace(str(staged), str(file or PUBLISHED.path))) from error
        record = {
            "format_version": _FORMAT_VERSION,
            "file": FILE_NAME,
            "bytes": staged.stat().st_size,
            "sha256": detector.sha256,
            "source": source,
        }
        if detector.sha256 == PUBLISHED.sha256:
            record |= {"license": PUBLISHED.license, "threshold": PUBLISHED.threshold}
        (stage / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return detector, folder / FILE_NAME


def _download(stage: Path, staged: Path) -> dict[str, str]:
    from ...runtime.bundle import hub

    # Size and hash are those known beforehand, not those the Hub tells.
    remote = hub.RemoteFile(PUBLISHED.path, PUBLISHED.bytes, PUBLISHED.sha256)
    repository = hub.Repository(PUBLISHED.repository, PUBLISHED.revision, {remote.path: remote}, PUBLISHED.license)
    hub.download(repository, [remote.path], stage)
    (stage / remote.path).replace(staged)
    return {
        "kind": "hub",
        "repository": PUBLISHED.repository,
        "revision": PUBLISHED.revision,
        "file": PUBLISHED.path,
    }


def _copy(file: Path, staged: Path) -> dict[str, str]:
    place = file.expanduser()
    if not place.is_file():
        raise ModelNotFoundError(f"There is no file {place}.")
    if (size := place.stat().st_size) > _LARGEST:
        raise DetectorError(f"{place} has {size / 1e6:.0f} MB: a YuNet face detector has less than one.")
    staged.write_bytes(read_bounded(place, _LARGEST))
    # The name alone: a path could name a person, and is of no use elsewhere.
    return {"kind": "local", "file": place.name}
