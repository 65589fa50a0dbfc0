"""Names what gives answers in one line, so that rows of two runs can be compared or kept apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from .options import PARTS, flat, options_of

if TYPE_CHECKING:
    from .bundle.bundle import Bundle
    from .options import Options

__all__ = ["identity_of"]

_ELSEWHERE = ("variant", "threshold", "faces", "detector", "max_bytes", "max_pixels")
"""Options that stand in the rule by what they lead to, or decide whether there is an answer and not which."""


def identity_of(bundle: Bundle, options: Options, detector: str | None) -> str:
    """Returns ``NAME VARIANT HEX``: 12 hex digits of a sha256 over everything that decides the answers.

    Args:
        bundle: The model; its hashes stand in its manifest, so no file is read.
        options: What it was loaded with.
        detector: The sha256 of the face detector in use, or ``None`` when faces are not looked for.
    """
    told = flat(options)
    deciding = [option.name for part in PARTS for _, option in options_of(part) if option.decides]
    manifest, variant = bundle.manifest, bundle.variant(options.variant)
    rule = {
        "weights": variant.sha256,
        "processor": manifest.files[manifest.processor.file].sha256,
        "model_type": manifest.architecture.model_type,
        "labels": [asdict(label) for label in manifest.labels],
        "activation": manifest.activation,
        "framing": asdict(manifest.framing),
        "temperature": manifest.decision.temperature,
        "thresholds": manifest.decision.thresholds if options.threshold is None else options.threshold,
        "min_face": manifest.decision.min_face,
        "detector": detector,
        "options": {name: told[name] for name in deciding if name not in _ELSEWHERE},
    }
    text = json.dumps(rule, sort_keys=True)
    name = options.variant or manifest.default_variant
    return f"{manifest.name} {name} {hashlib.sha256(text.encode()).hexdigest()[:12]}"
