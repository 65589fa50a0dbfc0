"""Holds the defaults that ``--help`` shows, apart from the modules that need scikit-learn."""

from __future__ import annotations

__all__ = ["MAX_ERROR", "MIN_GROUP", "ROBUSTNESS_SAMPLE"]

MAX_ERROR = 0.05
"""Share of the answers given for one class that may be wrong."""
MIN_GROUP = 20
"""Groups with fewer pictures of a class are shown with their interval, but no gap is drawn from them: the interval of
20 out of 20 already reaches down to 84 %."""
ROBUSTNESS_SAMPLE = 200
"""Pictures per robustness curve, each shown about forty times."""
