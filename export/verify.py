"""Verifies a bundle in the making: fp32 against the original, then each quantised variant."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..runtime.bundle.files import sha256_of
from ..runtime.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest, Parity, Variant
from ..runtime.decode.decode import decode
from . import parity, quantize
from .gate import check_fp32
from .graph import load, opset_of
from .pictures import make_pictures, pictures_in, set_name
from .progress import say, step
from .variants import Evidence, RefusedError, make_variant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..runtime.classifier import Classifier
    from ..runtime.processors.processor import Processor
    from .gate import VariantLimits
    from .network import Original
    from .parity import Comparison
    from .variants import Quantizer

__all__ = ["FILES", "record", "variant_record", "verify", "write_manifest"]

FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx", "q4": "onnx/model_q4.onnx"}
"""The Hub's own names for ONNX files, which Optimum and transformers.js look for."""

_CALIBRATION_PICTURES = 64
_CALIBRATION_SEED = 1


def verify(
    manifest: Manifest,
    original: Original,
    processor: Processor,
    stage: Path,
    scratch: Path,
    *,
    variants: Sequence[str],
    limits: VariantLimits,
    pictures: Path | None = None,
    calibration: Path | None = None,
) -> Manifest:
    """Holds the fp32 file to the original, from picture file to probabilities, then tries the quantised variants.

    Args:
        manifest: Of the bundle in the making; its fp32 file is in the stage.
        original: The network in PyTorch with its PIL processor.
        processor: The runtime's own processor.
        stage: The bundle in the making.
        scratch: A folder for drawn pictures.
        variants: Quantised variants to try.
        limits: What each is held to.
        pictures: A folder of pictures to verify on, instead of the drawn ones.
        calibration: A folder of pictures for static int8, instead of drawn ones.

    Returns:
        The manifest with every published variant's measurements, and a note for every other.

    Raises:
        ParityError: If fp32 is not the same model.
    """
    chosen = pictures_in(pictures) if pictures else make_pictures(scratch)
    with step(f"asking the original about {len(chosen)} pictures"):
        answers = original.probabilities(chosen, manifest.activation, manifest.decision.temperature)
    with step("holding the fp32 file to it"):
        write_manifest(stage, manifest)
        classifier = parity.classifier_for(stage, "fp32")
        evidence = Evidence(manifest, parity.prepare(classifier, chosen), answers, limits)
        comparison = _compare(classifier, evidence)
        check_fp32(comparison, limits, chosen)
    say(f"fp32 equals the original: largest probability difference {comparison.max_difference:.1e}")
    measured = _parity(comparison, limits.tolerance, 1.0)
    manifest = replace(
        manifest,
        variants={"fp32": replace(manifest.variants["fp32"], parity=measured)},
        notes=(f"Verified on {set_name(chosen)}{'' if pictures else ', drawn by code'}.",),
    )
    for name in variants:
        quantizer, operators = _quantizer(name, stage / FILES["fp32"], processor, calibration, scratch)
        manifest = _add(name, quantizer, operators, manifest, stage, evidence)
    return manifest


def _compare(classifier: Classifier, evidence: Evidence) -> Comparison:
    """Compares one by one and in batches of eight; returns the worst of both."""
    compared = [evidence.compare(parity.probabilities(classifier, evidence.pixels, batch=batch)) for batch in (1, 8)]
    worst = max(compared, key=lambda one: one.max_difference)
    return replace(worst, flipped=max(one.flipped for one in compared))


def _quantizer(
    name: str, fp32: Path, processor: Processor, calibration: Path | None, scratch: Path
) -> tuple[Quantizer, Sequence[str]]:
    """Chooses how a variant is made, and which operators' nodes may be left out of it."""
    if name == "q4":
        return quantize.quantize_q4, ("MatMul",)
    if quantize.int8_mode(fp32) == "dynamic":
        return quantize.quantize_dynamic, quantize.INT8_OPERATORS
    inputs = _calibration(processor, calibration, scratch)
    return partial(quantize.quantize_static, calibration=inputs), ("Conv", *quantize.INT8_OPERATORS)


def _add(
    name: str, quantizer: Quantizer, operators: Sequence[str], manifest: Manifest, stage: Path, evidence: Evidence
) -> Manifest:
    """Tries one variant; returns the manifest with it, or with the sentence that says why not."""
    path = stage / FILES[name]
    with step(f"making and measuring {name}"):
        try:
            settings, ratio = make_variant(name, quantizer, operators, stage / FILES["fp32"], path, evidence)
            if path.stat().st_size >= min(variant.bytes for variant in manifest.variants.values()):
                raise RefusedError("a file that is no larger holds a better one")
        except RefusedError as reason:
            path.unlink(missing_ok=True)
            refusal = f"No {name} variant: {reason}."
            say(refusal)
            return replace(manifest, notes=(*manifest.notes, refusal))
    tried = variant_record(stage, name, settings)
    write_manifest(stage, replace(manifest, variants={**manifest.variants, name: tried}))
    # The last word is the runtime's own: the file as a user will load it.
    final = _compare(parity.classifier_for(stage, name), evidence)
    published = replace(tried, parity=_parity(final, evidence.limits.difference, ratio))
    return replace(manifest, variants={**manifest.variants, name: published})


def _calibration(processor: Processor, folder: Path | None, scratch: Path) -> list[NDArray[np.float32]]:
    """Pictures for activation ranges: other ones than those that verify."""
    if folder is not None:
        paths = pictures_in(folder)
    else:
        place = scratch / "calibration"
        place.mkdir(exist_ok=True)
        paths = make_pictures(place, _CALIBRATION_PICTURES, seed=_CALIBRATION_SEED)
    return [processor(decode(path)) for path in paths]


def _parity(comparison: Comparison, tolerance: float, ratio: float) -> Parity:
    return Parity(
        pictures=comparison.pictures,
        max_probability_difference=float(f"{comparison.max_difference:.3g}"),
        decisions_flipped=comparison.flipped,
        tolerance=tolerance,
        latency_ratio_to_fp32=round(ratio, 3),
        reference=f"torch {metadata.version('torch')}",
    )


def variant_record(stage: Path, name: str, settings: dict[str, Any] | None = None) -> Variant:
    """Describes an ONNX file of the stage as the manifest does."""
    path = stage / FILES[name]
    model, file = load(path), record(path)
    return Variant(
        file=FILES[name],
        bytes=file.bytes,
        sha256=file.sha256,
        opset=opset_of(model),
        ir_version=int(model.ir_version),
        quantization=settings,
    )


def record(path: Path) -> FileRecord:
    """Returns a file's size and hash."""
    return FileRecord(path.stat().st_size, sha256_of(path))


def write_manifest(stage: Path, manifest: Manifest) -> None:
    """Writes ``bundle.json``."""
    (stage / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
