"""``gender-classifier models add``: brings a ready ONNX model from the Hub, or from a folder, among the installed ones.

A bundle of this program's own making, which has a ``bundle.json``, is taken with what that file says; for any other
model one is written.

The model is put together in a hidden folder beside its place, checked there, and run on pictures made for the purpose;
only then is the folder renamed. Whoever looks sees the whole model or none.
"""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...runtime import labels
from ...runtime.bundle import locate, onnx_folder
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import MANIFEST_NAME, Framing, Manifest, ModelIO, Source, Variant
from ...runtime.bundle.onnx_variant import read_variant
from ...runtime.errors import (
    BundleError,
    ClassifierError,
    ManifestError,
    ModelNotFoundError,
    OptionError,
    UnsupportedHeadError,
    VariantNotFoundError,
)
from . import hub
from .listing import downloaded_from

__all__ = ["Request", "add", "check_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_SUFFIXES = frozenset({".json", ".md", ".onnx", ".txt"})
_ABANDONED_S = 24 * 3600.0
"""A hidden folder that nobody has written to for so long was left by a run that was killed."""


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
        HubError: If the Hub does not give the model, or the disk is full.
        BundleError: If the model cannot be used; the message says why.
    """
    folder = locate.expanded(request.model)
    from_folder = locate.is_folder(folder)
    if not from_folder and not hub.is_hub_id(request.model):
        raise ModelNotFoundError(
            f"There is no folder {request.model}, and it is no model on the Hub, which would be called ORG/NAME."
        )
    if from_folder and request.revision is not None:
        raise OptionError(f"{folder} is a folder on this machine; --revision belongs to a model on the Hub.")
    name = check_name(request.name or (folder.resolve().name if from_folder else request.model.split("/")[1]))
    models = locate.default_output_dir()
    try:
        models.mkdir(parents=True, exist_ok=True)
        _sweep(models)
        stage = Path(tempfile.mkdtemp(prefix=".adding-", dir=models))
        try:
            stage.chmod(0o755)  # mkdtemp's 0700 would hide a system-wide model from everybody else
            bundle = (_from_folder if from_folder else _from_hub)(request, name, stage, say)
            final = models / name
            stage.rename(final)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except ClassifierError:
        raise
    except OSError as error:
        raise BundleError(_disk_sentence(models, error)) from error
    return Bundle(final, bundle.manifest)


def check_name(name: str) -> str:
    """Returns a name that a new model may have.

    Raises:
        OptionError: If it is no plain word, or taken.
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


def _from_hub(request: Request, name: str, stage: Path, say: Callable[[str], None]) -> Bundle:
    """Downloads what is needed of a repository, and makes a bundle of it."""
    repository = hub.look_up(request.model, request.revision)
    say(f"{repository.name} is at revision {repository.commit}")

    def bring(paths: Sequence[str]) -> None:
        missing = [path for path in paths if path not in repository.files]
        if missing:
            raise BundleError(f"{repository.name} at {repository.commit[:12]} lacks {', '.join(missing)}.")
        size = sum(repository.files[path].size or 0 for path in paths)
        say(f"downloading {len(paths)} file{'' if len(paths) == 1 else 's'}, {size / 1e6:.1f} MB")
        hub.download(repository, paths, stage)

    if MANIFEST_NAME in repository.files:
        return _take_bundle(request, name, stage, bring, say, downloaded_from(repository.name, repository.commit))
    found = _choose(request, list(repository.files), f"{repository.name} at {repository.commit[:12]}")
    outside = [variant for variant, path in found.items() if f"{path}_data" in repository.files]
    if outside and not request.variants and len(outside) < len(found):
        # Nobody asked for these; what is left needs no second file.
        found = {variant: path for variant, path in found.items() if variant not in outside}
    elif outside:
        raise BundleError(
            f"{found[outside[0]]} of {repository.name} keeps its weights in a second file. A bundle's ONNX file is "
            "self-contained: choose another --variant, or export the original checkpoint."
        )
    sizes = {path: repository.files[path].size or 0 for path in onnx_folder.TEXT_FILES if path in repository.files}
    bring([*(path for path, size in sizes.items() if size <= onnx_folder.MAX_TEXT_BYTES), *found.values()])
    for path in found.values():
        _into_place(stage, path)
    licence = repository.license or onnx_folder.licence_of(stage)
    source = Source("hub", repository.name, revision=repository.commit, license=licence)
    return _make_bundle(request, name, stage, _in_onnx(found), source, say)


def _from_folder(request: Request, name: str, stage: Path, say: Callable[[str], None]) -> Bundle:
    """Copies what is needed of a folder, and makes a bundle of it."""
    folder = locate.expanded(request.model)

    def bring(paths: Sequence[str]) -> None:
        for path in paths:
            if not (folder / path).is_file():
                raise BundleError(f"{folder} lacks {path}.")
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, stage / path)

    if (folder / MANIFEST_NAME).is_file():
        return _take_bundle(request, name, stage, bring, say, f"Copied from a folder {folder.resolve().name}.")
    paths = [path.relative_to(folder).as_posix() for path in (*folder.glob("*"), *folder.glob("onnx/*"))]
    found = _choose(request, paths, str(folder))
    wanted = [*(path for path in onnx_folder.TEXT_FILES if path in paths), *found.values()]
    bring(wanted)
    source = Source(
        "local",
        folder.resolve().name,
        digest=onnx_folder.digest_of(stage, wanted),
        license=onnx_folder.licence_of(stage),
    )
    for path in found.values():
        _into_place(stage, path)
    return _make_bundle(request, name, stage, _in_onnx(found), source, say)


def _take_bundle(
    request: Request,
    name: str,
    stage: Path,
    bring: Callable[[Sequence[str]], None],
    say: Callable[[str], None],
    note: str,
) -> Bundle:
    """Takes a bundle of this program's own making as its ``bundle.json`` describes it, and checks that it is that.

    Args:
        request: What to add.
        name: The name it gets here.
        stage: Where it is put together.
        bring: Puts files there, by their paths.
        say: Takes one sentence of progress at a time.
        note: Where it came from, for its notes.
    """
    if request.label_map or request.framing is not None:
        raise OptionError(
            f"{request.model} has a {MANIFEST_NAME}, which says what its labels mean and what it looks at; "
            "leave out --label-map, --framing and --margin."
        )
    bring([MANIFEST_NAME])
    try:
        manifest = Manifest.from_json((stage / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (ManifestError, UnicodeDecodeError) as error:
        raise BundleError(f"The {MANIFEST_NAME} of {request.model} cannot be used: {error}.") from error
    if set(manifest.meanings) != {labels.FEMALE, labels.MALE}:
        raise UnsupportedHeadError(f"{request.model} cannot be used: it answers {', '.join(manifest.meanings)}.")
    missing = [variant for variant in request.variants if variant not in manifest.variants]
    if missing:
        there = ", ".join(manifest.variants)
        raise VariantNotFoundError(f"{request.model} has no variant {', '.join(missing)}; it has: {there}.")
    chosen = request.variants or tuple(manifest.variants)
    variants = {variant: record for variant, record in manifest.variants.items() if variant in chosen}
    paths = [*manifest.files, *(record.file for record in variants.values())]
    strange = [
        path for path in paths if Path(path).suffix not in _SUFFIXES and Path(path).name not in onnx_folder.TEXT_FILES
    ]
    if strange:
        raise BundleError(f"{request.model} cannot be used: its {MANIFEST_NAME} names {', '.join(strange)}.")
    bring(paths)
    default = manifest.default_variant if manifest.default_variant in variants else next(iter(variants))
    taken = replace(manifest, name=name, variants=variants, default_variant=default, notes=(*manifest.notes, note))
    bundle = Bundle(stage, taken)
    bundle.verify()
    for variant in variants:
        _run(bundle, variant, say)
    (stage / MANIFEST_NAME).write_text(taken.to_json(), encoding="utf-8")
    return bundle


def _choose(request: Request, paths: Sequence[str], where: str) -> dict[str, str]:
    """Returns the ONNX files to take, by variant."""
    found = onnx_folder.find_variants(paths)
    if not found:
        raise BundleError(
            f"{where} holds no ONNX model: no onnx/model.onnx, and no other file of that layout. If it holds a "
            "checkpoint, export it: gender-classifier export " + request.model
        )
    missing = [variant for variant in request.variants if variant not in found]
    if missing:
        raise VariantNotFoundError(f"{where} has no variant {', '.join(missing)}; it has: {', '.join(found)}.")
    chosen = (
        request.variants or [variant for variant in onnx_folder.USUAL_VARIANTS if variant in found] or list(found)[:1]
    )
    return {variant: found[variant] for variant in chosen}


def _in_onnx(found: dict[str, str]) -> dict[str, str]:
    return {variant: f"onnx/{Path(path).name}" for variant, path in found.items()}


def _into_place(stage: Path, path: str) -> None:
    """Moves an ONNX file from the top level, where some exporters write it, to where the Hub's layout has it."""
    if "/" not in path:
        (stage / "onnx").mkdir(exist_ok=True)
        (stage / path).rename(stage / "onnx" / path)


def _make_bundle(
    request: Request, name: str, stage: Path, found: dict[str, str], source: Source, say: Callable[[str], None]
) -> Bundle:
    """Reads, runs and records the model; ``bundle.json`` is written last.

    A variant that nobody asked for by name and that does not work is left out, with a note, as long as one remains.
    """
    where = request.model
    description = onnx_folder.describe(stage, where, request.label_map or None)
    read: dict[str, tuple[Variant, ModelIO]] = {}
    notes: list[str] = []
    failure: BundleError | None = None
    for variant, path in found.items():
        try:
            one = {variant: read_variant(stage, path, description)}
            _run(Bundle(stage, onnx_folder.make_manifest(stage, name, source, description, one)), variant, say)
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
        raise failure or BundleError(f"{where} holds no variant that can be used.")
    manifest = onnx_folder.make_manifest(
        stage, name, source, description, read, framing=request.framing, notes=tuple(notes)
    )
    (stage / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle.open(stage)


def _run(bundle: Bundle, variant: str, say: Callable[[str], None]) -> None:
    """Runs one variant on two pictures made for the purpose, one by one and together.

    Raises:
        BundleError: If it does not run, or its answers are no numbers, or not one per class.
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
        raise BundleError(f"{where} gives values that are no numbers.")
    answer = classifier.predict(_pictures()[0])
    say(f"{variant}: runs; a test picture without a person gave {answer.raw_label!r}, {answer.score:.3f}")


def _pictures() -> list[Any]:
    """Returns two uint8 RGB pictures (height, width, 3), of no model's own size."""
    import numpy as np

    rows, columns = np.mgrid[0:180, 0:140]
    ramp = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    return [ramp, np.ascontiguousarray(255 - ramp.transpose(1, 0, 2))]


def _sweep(models: Path) -> None:
    """Deletes what additions and removals that were killed long ago have left behind."""
    for left in (*models.glob(".adding-*"), *models.glob(".removing-*")):
        try:
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue


def _disk_sentence(models: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {models} is full. Make room, or set GENDER_CLASSIFIER_MODELS to a folder on another disk."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{models} cannot be written to. Set GENDER_CLASSIFIER_MODELS to a folder of yours."
    return f"The model could not be put into {models}: {error}."
