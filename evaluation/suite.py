"""The test sets that every model's reports are made on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TEST_SETS", "TestSet"]


@dataclass(frozen=True)
class TestSet:
    """One report of the suite.

    Attributes:
        name: Folder of the report.
        folder: Folder of the pictures, which holds ``labels.csv``.
        group_by: Columns reported by.
        where: Filter, or ``None``.
        robustness: Pictures for the robustness curves; 0 for none.
    """

    __test__ = False  # pytest would take the name for a test

    name: str
    folder: str
    group_by: tuple[str, ...]
    where: str | None = None
    robustness: int = 0


TEST_SETS = (
    TestSet("eval_wild", "eval_wild", ("age", "race")),
    TestSet("eval_wild_adults", "eval_wild", ("age", "race"), where="age>=18", robustness=400),
    TestSet("eval_portraits", "eval_portraits", ("set", "race"), robustness=178),
    TestSet("eval_synthetic", "eval_synthetic", ("age", "race")),
)
"""Photographs from the web (all ages, and adults alone), official portraits, synthetic faces."""
