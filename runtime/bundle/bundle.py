"""A bundle on disk: a folder whose files are those its manifest names, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError, BundleIntegrityError, ManifestError, ModelNotFoundError, VariantNotFoundError
from .manifest import MANIFEST_NAME, FileRecord, Manifest, Variant

__all__ = ["Bundle", "is_bundle", "sha256_of"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, variant: str | None = None) -> Bundle:
        """Reads the manifest and compares the hashes of every small file and of one variant.

        Only the variant that will run is read: a bundle may hold several of hundreds of megabytes. :meth:`verify`
        compares all of them.

        Args:
            folder: The bundle's folder.
            variant: The variant about to be used; the default one unless told otherwise.

        Raises:
            ModelNotFoundError: If there is no such folder, or it holds no ``bundle.json``.
            ManifestError: If the manifest cannot be read.
            VariantNotFoundError: If the bundle has no such variant.
            BundleIntegrityError: If a file is missing or was changed.
        """
        path = Path(folder)
        manifest = _read_manifest(path)
        bundle = cls(path, manifest)
        chosen = bundle.variant(variant)
        for name, record in manifest.files.items():
            _check_file(path, name, record)
        _check_file(path, chosen.file, FileRecord(chosen.bytes, chosen.sha256))
        return bundle

    def variant(self, name: str | None = None) -> Variant:
        """Returns one variant's record, the default one for ``None``.

        Raises:
            VariantNotFoundError: If the bundle has none of that name.
        """
        wanted = name or self.manifest.default_variant
        if wanted not in self.manifest.variants:
            raise VariantNotFoundError(
                f"The model {self.manifest.name} has no variant {wanted!r}; "
                f"it has: {', '.join(self.manifest.variants)}."
            )
        return self.manifest.variants[wanted]

    def variant_path(self, name: str | None = None) -> Path:
        """Returns the ONNX file of one variant, the default one for ``None``."""
        return self.path / self.variant(name).file

    def verify(self) -> None:
        """Compares the hash of every file the manifest names.

        Raises:
            BundleIntegrityError: If a file is missing or was changed.
        """
        for name, record in self.manifest.files.items():
            _check_file(self.path, name, record)
        for variant in self.manifest.variants.values():
            _check_file(self.path, variant.file, FileRecord(variant.bytes, variant.sha256))

    def processor_config(self) -> dict[str, Any]:
        """Returns the parsed processor configuration.

        Raises:
            BundleError: If it is no JSON object.
        """
        return self._json(self.manifest.processor.file)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            data = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{self.path / name} cannot be read: {error}") from error
        if not isinstance(data, dict):
            raise BundleError(f"{self.path / name} holds no JSON object.")
        return data


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a manifest; says nothing about what the manifest says."""
    try:
        return (folder / MANIFEST_NAME).is_file()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file's content as lower-case hex, reading a megabyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST_NAME
    if not path.is_dir():
        raise ModelNotFoundError(f"There is no model folder {path}.")
    if not file.is_file():
        raise ModelNotFoundError(
            f"The folder {path} is no model bundle: it has no {MANIFEST_NAME}. "
            "Make one with `gender-classifier export`, or add a ready ONNX repository with "
            "`gender-classifier models add`."
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"The manifest {file} cannot be read: {error}") from error
    try:
        return Manifest.from_json(text)
    except ManifestError as error:
        raise ManifestError(f"The manifest {file} cannot be used: {error}. Export the model again.") from error


def _check_file(folder: Path, name: str, record: FileRecord) -> None:
    path = folder / name
    try:
        size = path.stat().st_size
        changed = size != record.bytes or sha256_of(path) != record.sha256
    except FileNotFoundError as error:
        raise BundleIntegrityError(f"The model bundle {folder} is broken: {name} is missing. {_REPAIR}") from error
    except OSError as error:
        raise BundleIntegrityError(f"The model bundle {folder} is broken: {name} cannot be read ({error}).") from error
    if changed:
        raise BundleIntegrityError(
            f"The model bundle {folder} is broken: {name} is not the file its manifest names (sha256 differs). "
            f"{_REPAIR}"
        )


_REPAIR = "Export or download the model again."
