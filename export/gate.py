"""Decides which variants are good enough for a bundle, and which of them is the default.

It imports nothing heavy: the command line shows the limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ParityError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..runtime.bundle.manifest import Manifest
    from .parity import Comparison

__all__ = ["VariantLimits", "check_fp32", "choose_default"]

_CLEARLY_FASTER = 0.9
"""Latency ratio to fp32 at which int8 becomes the default."""
_AS_GOOD = 0.05
"""Largest probability difference of an int8 variant that becomes the default."""


@dataclass(frozen=True)
class VariantLimits:
    """What a variant is held to.

    Attributes:
        tolerance: Largest probability difference of fp32 from the original; no decision may flip.
        difference: Largest probability difference of a quantised variant from the original.
        flips: Share of decided pictures whose answer a quantised variant may flip.
        latency: Largest latency ratio to fp32 (1: not slower).
        exclusion_rounds: How many groups of nodes may be left in fp32 to get below the limits; 0 switches this off.
        latency_seconds: About how long latency is measured; at least seven runs of each file.
    """

    tolerance: float = 1e-4
    difference: float = 0.25
    flips: float = 0.02
    latency: float = 1.0
    exclusion_rounds: int = 3
    latency_seconds: float = 6.0

    def accept(self, comparison: Comparison) -> bool:
        """Returns whether a quantised variant is close enough to the original."""
        return comparison.flipped <= self.flips * comparison.decided and comparison.max_difference <= self.difference


def check_fp32(comparison: Comparison, limits: VariantLimits, pictures: Sequence[Path]) -> None:
    """Refuses a file that does not give the original's answers.

    Raises:
        ParityError: If a probability differs by more than the tolerance, or a decision flips.
    """
    if comparison.max_difference > limits.tolerance or comparison.flipped:
        raise ParityError(
            f"The ONNX model is not the same model: a probability differs by {comparison.max_difference:.2g} (at most "
            f"{limits.tolerance:g} is accepted) and {comparison.flipped} of {comparison.decided} decisions flip; worst "
            f"picture: {pictures[comparison.worst].name}. No bundle was written."
        )


def choose_default(manifest: Manifest, wanted: str | None) -> str:
    """Returns the variant asked for; without one int8 where it is clearly faster and as good, else fp32.

    Raises:
        ParityError: If the one asked for was not good enough to be published.
    """
    if wanted is not None:
        if wanted not in manifest.variants:
            raise ParityError(
                f"The variant {wanted}, asked for as the default one, is not worth publishing: no bundle."
            )
        return wanted
    int8 = manifest.variants.get("int8")
    if int8 is None or int8.parity is None:
        return "fp32"
    clear = int8.parity.decisions_flipped == 0 and int8.parity.latency_ratio_to_fp32 <= _CLEARLY_FASTER
    return "int8" if clear and int8.parity.max_probability_difference <= _AS_GOOD else "fp32"
