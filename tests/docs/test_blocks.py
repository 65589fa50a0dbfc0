"""The blocks that people do not type are those of the program and the reports; one engine rewrites them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.build import test_sets
from docs.build.__main__ import DOCUMENTS, MAKERS, main
from docs.build.analyse import read_reports
from docs.build.blocks import find, render, rewrite
from docs.build.french import number
from docs.build.test_sets import TestSet
from support import ROOT, TinyModel, tiny_bundle
from support.labelled import red_women_green_men

MEASURED = {"architectures", "interop", "processors"}
"""Blocks that only a measurement rewrites: the tests of both matrices, tests/support/interop_report.py."""
OTHER_MARKS = ("builtin-model.md", "faces.md")


def test_every_document_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_every_mark_belongs_to_a_block_that_somewhere_is_made() -> None:
    for path in (path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        text = path.read_text(encoding="utf-8")
        if path.name in OTHER_MARKS:
            continue
        opened = re.findall(r"<!-- ([a-z]+)(?:: .+?)? -->", text)
        closed = re.findall(r"<!-- /([a-z]+) -->", text)
        assert opened == closed, path
        assert set(opened) <= set(MAKERS) | MEASURED, path


def test_a_block_on_lines_of_its_own_and_one_in_a_sentence() -> None:
    text = "a\n<!-- x: one -->\nold\n<!-- /x -->\nIt is <!-- x: two -->old<!-- /x -->, <!-- y -->kept<!-- /y -->."
    makers = {"x": lambda argument: f"new {argument}\n"}
    new = (
        "a\n<!-- x: one -->\nnew one\n<!-- /x -->\nIt is <!-- x: two -->new two<!-- /x -->, <!-- y -->kept<!-- /y -->."
    )
    assert render(text, makers) == new
    assert render(new, makers) == new
    assert find(new, "x") == ["new one", "new two"]


def test_a_file_is_written_when_it_changes_only(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- x -->1<!-- /x -->", encoding="utf-8")
    assert rewrite(path, {"x": lambda _: "2"})
    assert path.read_text(encoding="utf-8") == "<!-- x -->2<!-- /x -->"
    assert not rewrite(path, {"x": lambda _: "2"})


def test_the_reports_of_every_test_set_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sklearn", "pandas", "matplotlib"):
        pytest.importorskip(name)
    some = tmp_path / "some"
    some.mkdir()
    red_women_green_men(some)
    sets = (TestSet("young", "some", ("race",), where="age<40"), TestSet("all", "some", (), robustness=4))
    monkeypatch.setattr(test_sets, "TEST_SETS", sets)
    bundle = tiny_bundle(tmp_path, TinyModel(framing="box", margin=0.0))
    out = tmp_path / "out"
    words = ["--model", str(bundle), "--output", str(out), "--boxes", "face", "--data"]
    assert test_sets.main([*words, str(tmp_path / "nowhere")]) == 2
    assert "does not hold some" in capsys.readouterr().err
    assert test_sets.main([*words, str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "young: 23 pictures" in said
    assert "all: 43 pictures" in said
    young = read_reports(out)["young"]
    assert young["set"]["where"] == "age<40"
    assert young["set"]["framing"] == "faces of the column face"
    assert young["robustness"] is None
    assert number(read_reports(out)["all"]["overall"]["accuracy"]) == "95,0\u00a0%"


def test_the_built_in_bundle_has_the_card_of_its_checkpoint() -> None:
    """The card is copied into the bundle by the export: whoever rewrites its tables has to export again."""
    card = (ROOT / "training" / "checkpoint" / "README.md").read_text(encoding="utf-8")
    body = card.split("---\n", 2)[2].strip()
    assert body in (ROOT / "models" / "gender-small" / "README.md").read_text(encoding="utf-8")
