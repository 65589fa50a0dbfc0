"""The matrix: every image classifier of transformers is exported, or refused in words (docs/architectures.md).

``UPDATE_DOCS=1 pytest --slow tests/export/test_architectures.py`` writes the table anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as MAPPING

from docs.build.blocks import find, rewrite
from gender_classifier.export.architectures import OURS, REFUSED, find_class
from gender_classifier.export.errors import UnsupportedArchitectureError
from support import ROOT
from support.tiny_models import MODELS, make_checkpoint

DOCUMENT = ROOT / "docs" / "architectures.md"
HEADER = ("architecture", "class", "exported by", "processor", "pixels exact", "largest probability difference")


def classes_of(model_type: str) -> tuple[str, ...]:
    known = MAPPING[model_type]
    return (known,) if isinstance(known, str) else tuple(known)


EXPORTED = [(kind, name) for kind in sorted(MAPPING) if kind not in REFUSED for name in classes_of(kind)]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    model_type: str
    class_name: str
    exporter: str
    processor: str
    exact: str
    difference: float | None

    def cells(self) -> tuple[str, ...]:
        difference = "" if self.difference is None else f"{self.difference:.0e}"
        return (f"`{self.model_type}`", self.class_name, self.exporter, self.processor, self.exact, difference)


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, Row]]:
    """What the matrix sees; written into the document at the end when asked for."""
    seen: dict[str, Row] = {}
    yield seen
    if os.environ.get("UPDATE_DOCS"):
        write_rows(seen)


def timm_problem() -> str | None:
    try:
        import timm  # noqa: F401
    except Exception as error:  # noqa: BLE001 - torchvision's wheel raises what it likes beside another torch
        return str(error)
    return None


def test_nothing_is_forgotten() -> None:
    assert len(MAPPING) == 45
    assert set(MODELS) == set(MAPPING)
    assert set(REFUSED) | {kind for kind, _ in EXPORTED} == set(MAPPING)
    assert set(OURS) <= set(MAPPING)


@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_refused_in_words(model_type: str) -> None:
    with pytest.raises(UnsupportedArchitectureError, match=f"{model_type} cannot be exported: .{{20}}"):
        find_class({"model_type": model_type, "architectures": [classes_of(model_type)[0]]})


def test_timm_without_timm_is_a_sentence() -> None:
    if timm_problem() is None:
        pytest.skip("timm can be imported here")
    found = find_class({"model_type": "timm_wrapper", "architectures": ["TimmWrapperForImageClassification"]})
    with pytest.raises(UnsupportedArchitectureError, match="needs timm"):
        found.model_class()


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "class_name"), EXPORTED)
def test_exported(model_type: str, class_name: str, tmp_path: Path, few_pictures: Path, rows: dict[str, Row]) -> None:
    from gender_classifier.export import export_model
    from gender_classifier.export.checkpoint import open_checkpoint
    from gender_classifier.export.network import load_original
    from gender_classifier.export.parity import classifier_for, prepare
    from gender_classifier.runtime.bundle.bundle import Bundle

    if model_type == "timm_wrapper" and (problem := timm_problem()):
        pytest.skip(f"timm cannot be imported here: {problem}")
    checkpoint = make_checkpoint(model_type, tmp_path / "checkpoint", class_name=class_name)
    bundle = export_model(checkpoint, output=tmp_path, name="m", variants=(), pictures=few_pictures)
    manifest = Bundle.open(bundle).manifest
    parity = manifest.variants["fp32"].parity
    assert parity is not None
    assert parity.max_probability_difference <= 1e-4
    assert parity.decisions_flipped == 0
    assert manifest.variants["fp32"].ir_version <= 9
    assert manifest.architecture.class_name == class_name

    if model_type == "bit":  # the pair that onnxruntime up to 1.31 gets wrong is gone
        nodes = onnx.load(str(bundle / "onnx" / "model.onnx")).graph.node
        made_by = {name: node.op_type for node in nodes for name in node.output}
        assert "MaxPool" in made_by.values()
        assert not any(made_by.get(node.input[0]) == "Pad" for node in nodes if node.op_type == "MaxPool")

    original = load_original(open_checkpoint(str(checkpoint)))
    pictures = sorted(few_pictures.iterdir())
    answers = original.probabilities(pictures, manifest.activation, 1.0)
    assert np.ptp(answers[:, 0]) > 0.1, "the pictures get all the same answer, so the comparison says nothing"
    pixels = prepare(classifier_for(bundle, "fp32"), pictures)
    reference = np.stack([original.pixels(picture) for picture in pictures])
    ulp = np.spacing(np.maximum(np.abs(reference), np.abs(pixels)).astype(np.float32))
    exact = bool((np.abs(reference - pixels) <= ulp).all())
    assert exact
    rows[class_name] = Row(
        model_type,
        class_name,
        manifest.exporter["onnx_config"],
        manifest.processor.reference,
        "yes" if exact else "no",
        parity.max_probability_difference,
    )


def refused_rows() -> list[Row]:
    return [
        Row(kind, classes_of(kind)[0], f"refused: {reason}", "", "", None) for kind, reason in sorted(REFUSED.items())
    ]


def write_rows(seen: dict[str, Row]) -> None:
    """Merges rows into the table, which keeps what it says of classes that did not run."""
    known = written_rows() | {row.class_name: row.cells() for row in (*refused_rows(), *seen.values())}
    name, words = "TimmWrapperForImageClassification", "ours, where timm can be imported"
    known.setdefault(name, Row("timm_wrapper", name, words, "TimmWrapperImageProcessor", "", None).cells())
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(known[name]) + " |" for name in sorted(known, key=str.lower)]
    rewrite(DOCUMENT, {"architectures": lambda _: "\n".join(lines)})


def written_rows() -> dict[str, tuple[str, ...]]:
    """The document's table, by class."""
    (block,) = find(DOCUMENT.read_text(encoding="utf-8"), "architectures")
    lines = [line for line in block.splitlines() if line.startswith("| `")]
    cells = [tuple(cell.strip() for cell in line.removeprefix("|").removesuffix("|").split(" |")) for line in lines]
    return {row[1]: row for row in cells}


def test_refusals_in_the_document() -> None:
    written = written_rows()
    for row in refused_rows():
        assert written[row.class_name][:3] == row.cells()[:3]
    refused = {row.class_name for row in refused_rows()}
    assert set(written) == refused | {name for _, name in EXPORTED}


@pytest.mark.slow
def test_table_in_the_document(rows: dict[str, Row]) -> None:
    """What was seen is what is written; only rounding differs between machines, not the order of magnitude."""
    if not rows:
        pytest.skip("the matrix above did not run")
    if os.environ.get("UPDATE_DOCS"):
        write_rows(rows)
    written = written_rows()
    for row in rows.values():
        cells = written[row.class_name]
        if row.model_type != "timm_wrapper":
            assert cells[:5] == row.cells()[:5]
            assert row.difference is not None
            assert row.difference <= max(20 * float(cells[5]), 1e-6)
