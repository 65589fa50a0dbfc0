"""The README does not drift from the program: its example is run, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys

from support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_for_embedding_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"\n## Embed\n\n```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 11
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples/average-man.jpg" in done.stdout
    assert "missing.jpg not_found" in done.stdout


def test_every_page_that_a_document_names_is_there():
    documents = [
        path
        for pattern in ("*.md", "docs/*.md", "docs/evaluation/*.md", "benchmarks/*.md")
        for path in ROOT.glob(pattern)
    ]
    assert len(documents) > 20
    for document in documents:
        pages = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text(encoding="utf-8"))
        assert [page for page in pages if not (document.parent / page).exists()] == [], document
