"""Brings a ready ONNX model from the Hub, or from a folder, among the installed ones.

A bundle, which has a ``bundle.json``, is taken with what that file says; for any other model one is written. The model
is checked and run on pictures made for the purpose before it appears, whole.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...runtime import labels
from ...runtime.bundle import locate, onnx_folder, origin, selection, store
from ...runtime.bundle.bundle import Bundle, read_manifest
from ...runtime.bundle.files import open_regular
from ...runtime.bundle.manifest import MANIFEST_NAME, Framing, ModelIO, Source, Variant
from ...runtime.errors import (
    BundleError,
    ClassifierError,
    ModelNotFoundError,
    OptionError,
    UnsupportedHeadError,
    VariantNotFoundError,
)
from ..interrupt import ending_at_once

__all__ = ["Request", "add", "check_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class Request:
    """What to add, and how.

    Attributes:
        model: ``ORG/NAME`` on the Hub, or a folder.
        revision: Commit, branch or tag; ``None`` means ``main``. For the Hub only.
        name: The new model's name; ``None`` takes that of the repository or folder.
        label_map: ``female`` or ``male`` by the model's own label.
        variants: Which variants; none named means the usual ones that are there.
        framing: What the model wants to see; ``None`` means what its ``bundle.json`` says, else the whole picture.
    """

    model: str
    revision: str | None = None
    name: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    framing: Framing | None = None


class _Hub:
    """One commit of a repository on the Hub, to take a model's files from.

    Attributes:
        where: What messages call it.
        sizes: The size of each file there, by path, as far as it is known.
    """

    def __init__(self, model: str, revision: str | None, say: Callable[[str], None]) -> None:
        with ending_at_once():
            from ...runtime.bundle import hub

            hub.client()
        self._hub, self._say = hub, say
        self.repository = hub.look_up(model, revision)
        self.where = f"{model} at {self.repository.commit[:12]}"
        self.sizes = {path: file.size for path, file in self.repository.files.items()}
        say(f"{model} is at revision {self.repository.commit}")

    def bring(self, paths: Sequence[str], stage: Path) -> None:
        """Puts files into the stage, under their paths."""
        size = self.repository.size(paths)
        self._say(f"downloading {len(paths)} file{'' if len(paths) == 1 else 's'}, {size / 1e6:.1f} MB")
        with _progress(size) as bar:
            self._hub.download(self.repository, paths, stage, advance=bar.update)

    def source(self, stage: Path, read: Mapping[str, tuple[Variant, ModelIO]]) -> Source:
        """Says where the files came from, for the manifest."""
        licence = self.repository.license or onnx_folder.licence_of(stage)
        return Source("hub", self.repository.name, revision=self.repository.commit, license=licence)


class _Folder:
    """A folder on this machine; the attributes and methods are those of :class:`_Hub`."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.where, self._folder = str(folder), folder
        known = {MANIFEST_NAME, *selection.TEXT_FILES, *onnx_folder.onnx_files(folder)}
        self.sizes = {path: (folder / path).stat().st_size for path in known if (folder / path).is_file()}
        say(f"{folder} is a folder on this machine; its files are copied")

    def bring(self, paths: Sequence[str], stage: Path) -> None:
        for path in paths:
            try:
                content = open_regular(self._folder / path)
            except FileNotFoundError as error:
                raise BundleError(f"{self._folder} lacks {path}.") from error
            except OSError as error:
                raise BundleError(f"{self._folder / path} cannot be read: {error.strerror or error}.") from error
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            with content, (stage / path).open("wb") as copy:
                shutil.copyfileobj(content, copy, 1 << 20)

    def source(self, stage: Path, read: Mapping[str, tuple[Variant, ModelIO]]) -> Source:
        return onnx_folder.local_source(stage, self._folder.resolve().name, read)


_Place = _Hub | _Folder


def add(request: Request, say: Callable[[str], None]) -> Bundle:
    """Adds a model.

    Args:
        request: What to add.
        say: Takes one sentence of progress at a time.

    Returns:
        The finished bundle.

    Raises:
        OptionError: If an option's value cannot be used, or the name is taken.
        ModelNotFoundError: If there is no such folder.
        HubError: If the Hub does not give the model.
        StoreError: If the model folder cannot be written, or the disk is full.
        BundleError: If the model cannot be used; the message says why.
    """
    folder = locate.expanded(request.model)
    from_folder = locate.is_folder(folder)
    if not from_folder and not locate.is_hub_id(request.model):
        raise ModelNotFoundError(
            f"There is no folder {request.model}, and it is not a model on the Hub, which would be called ORG/NAME."
        )
    if from_folder and request.revision is not None:
        raise OptionError(f"{folder} is a folder on this machine; --revision belongs to a model on the Hub.")
    name = check_name(request.name or (folder.resolve().name if from_folder else request.model.split("/")[1]))
    target = locate.default_output_dir() / name
    with store.publishing(target, replace=False) as stage:
        place: _Place = _Folder(folder, say) if from_folder else _Hub(request.model, request.revision, say)
        make = _take_bundle if MANIFEST_NAME in place.sizes else _make_bundle
        try:
            bundle = make(request, name, place, stage, say)
        except BundleError as error:  # the hidden folder is gone by the time this is read
            raise type(error)(str(error).replace(str(stage), place.where)) from error
        (stage / MANIFEST_NAME).write_text(bundle.manifest.to_json(), encoding="utf-8")
        if isinstance(place, _Hub):
            origin.record(stage, target, place.repository.name, place.repository.commit)
    return Bundle(target, bundle.manifest)


def _progress(size: int) -> Any:
    """Returns a progress bar for a download of so many bytes; it is shown on a terminal."""
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    return tqdm(total=size, unit="B", unit_scale=True, file=sys.stderr, disable=not shown, leave=False)


def check_name(name: str) -> str:
    """Returns a name that a new model may have.

    Raises:
        OptionError: If it is not a plain word, or taken.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(f"{name!r} cannot be a model's name (letters, digits, . _ -); choose one with --name.")
    taken = locate.default_output_dir() / name
    if name == locate.BUILTIN_NAME or taken.exists() or any(path.name == name for path in locate.installed()):
        raise OptionError(
            f"There is a model {name} already. Remove it first (gender-classifier models remove {name}), or choose "
            "another name with --name."
        )
    return name


def _take_bundle(request: Request, name: str, place: _Place, stage: Path, say: Callable[[str], None]) -> Bundle:
    """Takes a bundle as its ``bundle.json`` describes it, and checks that it is that.

    Args:
        request: What to add.
        name: The name it gets here.
        place: Where its files are.
        stage: Where it is put together.
        say: Takes one sentence of progress at a time.
    """
    if request.label_map or request.framing is not None:
        raise OptionError(
            f"{request.model} has a {MANIFEST_NAME}, which says what its labels mean and what it looks at; "
            "leave out --label-map, --framing and --margin."
        )
    place.bring([MANIFEST_NAME], stage)
    manifest = read_manifest(stage)
    if set(manifest.meanings) != {labels.FEMALE, labels.MALE}:
        raise UnsupportedHeadError(f"{request.model} cannot be used: it answers {', '.join(manifest.meanings)}.")
    missing = [variant for variant in request.variants if variant not in manifest.variants]
    if missing:
        there = ", ".join(manifest.variants)
        raise VariantNotFoundError(f"{request.model} has no variant {', '.join(missing)}; it has: {there}.")
    chosen = request.variants or tuple(manifest.variants)
    variants = {variant: record for variant, record in manifest.variants.items() if variant in chosen}
    paths = selection.manifest_files(manifest, variants, request.model)
    if isinstance(place, _Hub) and (lacking := [path for path in paths if path not in place.sizes]):
        raise BundleError(f"{place.where} lacks {', '.join(lacking)}.")
    place.bring(paths, stage)
    default = manifest.default_variant if manifest.default_variant in variants else next(iter(variants))
    bundle = Bundle(stage, replace(manifest, name=name, variants=variants, default_variant=default))
    bundle.verify()
    for variant in variants:
        _run(bundle, variant, say)
    return bundle


def _make_bundle(request: Request, name: str, place: _Place, stage: Path, say: Callable[[str], None]) -> Bundle:
    """Reads, runs and describes a model that has no ``bundle.json``.

    A variant that was not asked for by name and that does not work is left out, with a note, as long as one remains.
    """
    found = selection.choose_variants(place.sizes, request.variants, place.where)
    place.bring([*selection.texts_of(place.sizes), *found.values()], stage)
    for variant, path in found.items():
        found[variant] = _into_place(stage, path)
    description = onnx_folder.describe(stage, request.model, request.label_map or None)
    read: dict[str, tuple[Variant, ModelIO]] = {}
    notes: list[str] = []
    failure: BundleError | None = None

    def made(variants: Mapping[str, tuple[Variant, ModelIO]]) -> Bundle:
        source = place.source(stage, variants)
        return Bundle(
            stage,
            onnx_folder.make_manifest(
                stage, name, source, description, variants, framing=request.framing, notes=tuple(notes)
            ),
        )

    for variant, path in found.items():
        try:
            one = {variant: onnx_folder.read_variant(stage, path, description, variant)}
            _run(made(one), variant, say)
        except BundleError as error:
            if request.variants:
                raise
            failure = failure or error
            notes.append(f"The variant {variant} was left out: {error}")
            say(notes[-1])
            (stage / path).unlink()
        else:
            read |= one
    if not read:
        raise failure or BundleError(f"{place.where} holds no variant that can be used.")
    return made(read)


def _into_place(stage: Path, path: str) -> str:
    """Moves an ONNX file from the top level, where some exporters write it, to where the Hub's layout has it."""
    place = f"onnx/{Path(path).name}"
    if place != path:
        (stage / "onnx").mkdir(exist_ok=True)
        (stage / path).rename(stage / place)
    return place


def _run(bundle: Bundle, variant: str, say: Callable[[str], None]) -> None:
    """Runs one variant on two pictures made for the purpose, one by one and together.

    Raises:
        BundleError: If it does not run, or its answers are not numbers, or not one per class.
    """
    import numpy as np

    from ...runtime.classifier import Classifier, Options

    classifier = Classifier(bundle, Options(variant=variant, faces=False))
    pixels = np.stack([classifier.pipeline.pixels(picture) for picture in _pictures()])
    where = f"The variant {variant} of {bundle.manifest.name}"
    try:
        alone, together = classifier.network.logits(pixels[:1]), classifier.network.logits(pixels)
    except ClassifierError:
        raise
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise BundleError(f"{where} does not run here: {str(error).strip().splitlines()[0]}") from error
    classes = 1 if bundle.manifest.activation == "single_logit" else len(bundle.manifest.labels)
    if alone.shape != (1, classes) or together.shape != (2, classes):
        raise BundleError(f"{where} gives {together.shape} for two pictures of {classes} classes.")
    if not np.isfinite(together).all():
        raise BundleError(f"{where} gives values that are not numbers.")
    answer = classifier.predict(_pictures()[0])
    say(f"{variant}: runs; a test picture without a person gave {answer.raw_label!r}, {answer.score:.3f}")


def _pictures() -> list[Any]:
    """Returns two uint8 RGB pictures (height, width, 3), of no model's own size."""
    import numpy as np

    rows, columns = np.mgrid[0:180, 0:140]
    ramp = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    return [ramp, np.ascontiguousarray(255 - ramp.transpose(1, 0, 2))]
