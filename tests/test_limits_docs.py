"""docs/limits.md names a test for every hazard; these tests have to exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_hazard_names_tests_that_exist():
    known: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        known[path.relative_to(ROOT / "tests").as_posix()] = set(
            re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
    rows = [
        line.rsplit("|", 2)[1]
        for line in (ROOT / "docs/limits.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| hazard")
    ]
    assert len(rows) > 40
    file = ""  # "::test" and a bare "test" mean the file that was named last
    for row in rows:
        named = re.findall(r"`(?:([\w/]*test_\w+\.py)(?:::)?|::)?(test_\w+)?`", row)
        assert any(path or test for path, test in named) or "the same test" in row, row
        for path, test in named:
            file = path or file
            assert file in known, (row, file)
            assert not test or test in known[file], (row, file, test)
