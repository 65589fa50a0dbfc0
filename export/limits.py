"""What a bundle's variants are held to. Imports nothing heavy: the command line shows the defaults."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VariantLimits"]


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
