"""The models on this machine: what there is, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.bundle import locate, resolve
from ...runtime.bundle.bundle import read_manifest
from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.origin import Origin, origin_of
from ...runtime.bundle.strict_json import plain
from ...runtime.errors import ClassifierError, ModelNotFoundError
from ..words import display

__all__ = [
    "Installed",
    "builtin_folder",
    "card",
    "find",
    "installed",
    "megabytes",
    "same",
    "summary",
    "table",
]


@dataclass(frozen=True)
class Installed:
    """One model on this machine.

    Attributes:
        name: Its name, the folder's.
        path: Its folder.
        builtin: Whether it came with the program.
        default: Whether it is the one used unless told otherwise.
        manifest: What its ``bundle.json`` says, or ``None`` when that cannot be read.
        problem: Why it cannot be read.
        origin: The repository that it was added or exported from, as this program recorded it.
    """

    name: str
    path: Path
    builtin: bool
    default: bool
    manifest: Manifest | None
    problem: str | None = None
    origin: Origin | None = None

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest names."""
        if self.manifest is None:
            return 0
        texts = sum(record.bytes for record in self.manifest.files.values())
        return texts + sum(variant.bytes for variant in self.manifest.variants.values())


def installed() -> list[Installed]:
    """Returns every model on this machine, by name; those whose manifest cannot be read are among them."""
    builtin, default = builtin_folder(), _default()
    paths = {path.name: path for path in locate.installed()}
    if builtin is not None:
        paths.setdefault(builtin.name, builtin)
    return [_installed(paths[name], builtin, default) for name in sorted(paths)]


def _default() -> Path | None:
    """Returns the folder of the model that is used unless told otherwise; ``None`` where that leads nowhere."""
    try:
        return resolve.folder_of(locate.choose(exported=True).model)
    except ClassifierError:
        return None


def _installed(path: Path, builtin: Path | None, default: Path | None) -> Installed:
    manifest, problem = None, None
    try:
        manifest = read_manifest(path)
    except ClassifierError as error:
        problem = str(error)
    return Installed(
        name=path.name,
        path=path,
        builtin=builtin is not None and same(path, builtin),
        default=default is not None and same(path, default),
        manifest=manifest,
        problem=problem,
        origin=origin_of(path),
    )


def builtin_folder() -> Path | None:
    """Returns the folder of the built-in model, or ``None`` where the installation lacks it."""
    try:
        return locate.builtin_path()
    except ModelNotFoundError:
        return None


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same folder."""
    return one.resolve() == other.resolve()


def find(name: str) -> Installed:
    """Returns one model by its name, its folder, or the repository on the Hub that it was added from.

    Raises:
        ModelNotFoundError: If there is none.
    """
    return _installed(resolve.folder_of(name), builtin_folder(), _default())


def summary(model: Installed) -> dict[str, Any]:
    """Returns what a program wants to know of a model, as JSON types."""
    manifest = model.manifest
    return {
        "name": model.name,
        "path": str(model.path),
        "builtin": model.builtin,
        "default": model.default,
        "bytes": model.size,
        "source": None if manifest is None else plain(manifest.source),
        "added_from": None if model.origin is None else f"{model.origin.repository}@{model.origin.revision}",
        "variants": [] if manifest is None else list(manifest.variants),
        "default_variant": None if manifest is None else manifest.default_variant,
        "problem": model.problem,
    }


def table(models: list[Installed]) -> list[str]:
    """Returns the models as a table for people, line by line."""
    rows: list[tuple[str, ...]] = [("  NAME", "SIZE", "VARIANTS", "SOURCE", "FOLDER")]
    for model in models:
        manifest = model.manifest
        name = ("* " if model.default else "  ") + model.name
        if manifest is None:
            rows.append((name, "?", "broken", "?", str(model.path)))
            continue
        variants = ", ".join(f"[{one}]" if one == manifest.default_variant else one for one in manifest.variants)
        came = model.origin or manifest.source
        source = came.repository + (f"@{came.revision[:12]}" if came.revision else "")
        source += ", built-in" if model.builtin else ""
        rows.append((name, megabytes(model.size), variants, source, str(model.path)))
    return [*_aligned(rows), "", "* is used unless --model says otherwise; [x] is a model's default variant."]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def card(model: Installed, manifest: Manifest) -> list[str]:
    """Returns what people want to know of a model, line by line."""
    source = manifest.source
    marks = [word for word, true in (("built-in", model.builtin), ("used by default", model.default)) if true]
    labels = "; ".join(f"{label.raw!r} means {display(label.meaning)}" for label in manifest.labels)
    decision = manifest.decision
    thresholds = ", ".join(f"{display(key)} {value:g}" for key, value in decision.thresholds.items())
    facts = [
        ("name", manifest.name + (f" ({', '.join(marks)})" if marks else "")),
        ("folder", str(model.path)),
        ("size", megabytes(model.size)),
        ("source", f"{source.repository} ({'the Hub' if source.kind == 'hub' else 'a local folder'})"),
        ("revision" if source.revision else "digest", source.revision or source.digest or ""),
        *([("added from", f"{model.origin.repository}@{model.origin.revision}")] if model.origin else []),
        ("licence", source.license or "none stated"),
        ("network", _network(manifest)),
        ("labels", f"{labels} ({manifest.activation})"),
        ("looks at", manifest.framing.describe()),
        ("input", f"{manifest.io.width} x {manifest.io.height} pixels, {manifest.processor.reference}"),
        (
            "decision",
            f"temperature {decision.temperature:g}; "
            + (f"uncertain below {thresholds}" if thresholds else "always an answer, never uncertain")
            + (f", and for faces below {decision.min_face:g} pixels" if decision.min_face else ""),
        ),
        *([("chosen on", decision.provenance)] if decision.provenance else []),
        ("created", manifest.created),
        ("made with", ", ".join(f"{key} {value}" for key, value in manifest.exporter.items()) or "not stated"),
    ]
    width = max(len(key) for key, _ in facts)
    lines = [f"{key.ljust(width)}  {value}" for key, value in facts]
    lines += ["", *_variant_table(manifest)]
    return lines + (["", *(f"note: {note}" for note in manifest.notes)] if manifest.notes else [])


def _network(manifest: Manifest) -> str:
    architecture = manifest.architecture
    count = f", {architecture.parameters / 1e6:.1f} M parameters" if architecture.parameters else ""
    return (architecture.class_name or architecture.model_type) + count


def _variant_table(manifest: Manifest) -> list[str]:
    """Returns the variants as a table: size, format, and what equality was measured."""
    rows: list[tuple[str, ...]] = [
        ("variant", "size", "opset", "time/fp32", "max difference", "flipped", "measured against")
    ]
    for name, variant in manifest.variants.items():
        parity = variant.parity
        shown = f"[{name}]" if name == manifest.default_variant else name
        measured = (
            ("-", "-", "-", "not measured")
            if parity is None
            else (
                f"{parity.latency_ratio_to_fp32:.2f}",
                f"{parity.max_probability_difference:.2g}",
                f"{parity.decisions_flipped}/{parity.pictures}",
                parity.reference,
            )
        )
        rows.append((shown, megabytes(variant.bytes), str(variant.opset or "-"), *measured))
    return _aligned(rows)


def megabytes(count: int) -> str:
    """Returns a size for people."""
    return f"{count / 1e6:.1f} MB"
