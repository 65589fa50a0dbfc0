"""A bundle on disk: a folder whose files are those its manifest names, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import (
    BundleError,
    BundleIntegrityError,
    ManifestError,
    ModelNotFoundError,
    NotABundleError,
    VariantNotFoundError,
)
from .files import open_onnx, read_bounded, sha256_of
from .manifest import MANIFEST_NAME, FileRecord, Manifest, Variant
from .strict_json import JSONFormatError, parse

__all__ = ["Bundle", "is_bundle", "read_manifest"]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Bundle:
        """Reads the manifest and compares the hashes of every small file.

        The ONNX files, which may be several of hundreds of megabytes, are not read: the one that is used is compared
        when it is (:meth:`opened_variant`), and :meth:`verify` compares all.

        Args:
            folder: The bundle's folder.

        Raises:
            ModelNotFoundError: If there is no such folder, or it holds no ``bundle.json``.
            ManifestError: If the manifest cannot be read.
            BundleIntegrityError: If a file is missing or was changed.
        """
        bundle = cls(Path(folder), read_manifest(Path(folder)))
        for name in bundle.manifest.files:
            bundle.read(name)
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

    @contextmanager
    def opened_variant(self, name: str | None = None) -> Iterator[bytes | str]:
        """Gives what onnxruntime is to load, the bytes of one variant or a path to them, once their hash is right.

        Raises:
            VariantNotFoundError: If the bundle has none of that name.
            BundleIntegrityError: If the file is missing or was changed, also while the context is open.
            BundleError: If the file keeps its weights elsewhere.
        """
        variant = self.variant(name)
        with self._sentences(variant.file), open_onnx(self.path / variant.file) as opened:
            self._compare(variant.file, variant, opened.size, opened.sha256)
            if opened.external:
                raise BundleError(
                    f"{self.path / variant.file} keeps its weights in another file, and such models are not loaded."
                )
            yield opened.model

    def read(self, name: str) -> bytes:
        """Returns the content of one of the manifest's ``files``.

        Raises:
            BundleIntegrityError: If the file is missing or was changed.
        """
        import hashlib  # late, as in files.py: it is slow to load

        record = self.manifest.files[name]
        with self._sentences(name):
            content = read_bounded(self.path / name)
        self._compare(name, record, len(content), hashlib.sha256(content).hexdigest())
        return content

    def verify(self) -> None:
        """Compares the hash of every file the manifest names.

        Raises:
            BundleIntegrityError: If a file is missing or was changed.
        """
        records: dict[str, FileRecord | Variant] = {one.file: one for one in self.manifest.variants.values()}
        for name, record in {**self.manifest.files, **records}.items():
            path = self.path / name
            with self._sentences(name):
                self._compare(name, record, path.stat().st_size, sha256_of(path))

    def processor_config(self) -> dict[str, Any]:
        """Returns the parsed processor configuration.

        Raises:
            BundleIntegrityError: If its file is missing or was changed.
            BundleError: If it is not a JSON object.
        """
        name = self.manifest.processor.file
        try:
            data = parse(self.read(name))
        except JSONFormatError as error:
            raise BundleError(f"{self.path / name} cannot be used: {error}.") from error
        if not isinstance(data, dict):
            raise BundleError(f"{self.path / name} does not hold a JSON object.")
        return data

    def _compare(self, name: str, record: FileRecord | Variant, size: int, sha256: str) -> None:
        if (size, sha256) != (record.bytes, record.sha256):
            raise self._broken(f"{name} is not the file its manifest names (sha256 differs).")

    @contextmanager
    def _sentences(self, name: str) -> Iterator[None]:
        """Turns the operating system's errors about one file into sentences."""
        try:
            yield
        except (BundleError, ModelNotFoundError):
            raise
        except FileNotFoundError as error:
            raise self._broken(f"{name} is missing.") from error
        except BlockingIOError as error:  # so open_onnx says that another program was at it
            raise BundleIntegrityError(f"{self.path / name}: {error.strerror}; try again.") from error
        except OSError as error:
            raise self._broken(f"{name} cannot be used: {error.strerror or error}.") from error

    def _broken(self, what: str) -> BundleIntegrityError:
        return BundleIntegrityError(
            f"The model bundle {self.path} is broken: {what} Export or download the model again."
        )


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a manifest; says nothing about what the manifest says."""
    try:
        return (folder / MANIFEST_NAME).is_file()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False


def read_manifest(folder: Path) -> Manifest:
    """Reads a bundle's manifest.

    Raises:
        ModelNotFoundError: If there is no such folder.
        NotABundleError: If it holds no ``bundle.json``.
        ManifestError: If the manifest cannot be read.
    """
    file = folder / MANIFEST_NAME
    try:
        return Manifest.from_json(read_bounded(file))
    except ManifestError as error:
        raise ManifestError(f"The manifest {file} cannot be used: {error}. Export the model again.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        if folder.is_dir():
            raise NotABundleError(f"The folder {folder} is not a model bundle: it has no {MANIFEST_NAME}.") from error
        raise ModelNotFoundError(f"There is no model folder {folder}.") from error
    except OSError as error:
        raise ManifestError(f"The manifest {file} cannot be read: {error.strerror or error}.") from error
