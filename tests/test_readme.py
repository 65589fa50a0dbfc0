"""The README does not drift from the program: its option lists, its transcript and its example are run."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.version_info[:2] not in ((3, 11), (3, 12)), reason="argparse words its help differently")
def test_generated_parts_are_up_to_date():
    sys.path.insert(0, str(ROOT / "docs"))
    from update_readme import render

    assert render(README) == README, "run: python docs/update_readme.py"


def test_the_example_for_embedding_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"<!-- python: embed -->\n```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 11
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples/average-man.jpg" in done.stdout
    assert "missing.jpg not_found" in done.stdout


def test_every_page_it_names_is_there():
    pages = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert pages
    assert [page for page in pages if not (ROOT / page).exists()] == []
