"""ANALYSE.md quotes nothing measured that the committed reports do not hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from gender_classifier.evaluation.analyse import problems, read_reports, render
from gender_classifier.evaluation.analyse_blocks import BLOCKS
from gender_classifier.evaluation.command_line import main
from gender_classifier.evaluation.errors import LabelsError
from gender_classifier.evaluation.figures import draw
from gender_classifier.evaluation.report import markdown
from gender_classifier.evaluation.suite import TEST_SETS
from gender_classifier.runtime.bundle.bundle import Bundle
from support import ROOT

ANALYSE = ROOT / "ANALYSE.md"
REPORTS = ROOT / "docs" / "evaluation"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return Path(shutil.copy(ANALYSE, tmp_path / "ANALYSE.md"))


def test_the_committed_document_says_what_the_committed_reports_hold() -> None:
    assert problems(ANALYSE, REPORTS) == []


def test_every_part_of_the_assignment_and_every_block_is_there() -> None:
    text = ANALYSE.read_text(encoding="utf-8")
    titles = ("1. Recherche du modèle", "2. Installation", "3. Performance", "4. Biais et éthique", "5. Améliorations")
    assert all(f"## {title}" in text for title in titles)
    assert set(re.findall(r"<!-- mesure: ([\w-]+) -->", text)) == set(BLOCKS)
    for name in re.findall(r"\]\((docs/[^)#]+|[\w/]+\.json)\)", text):
        assert (ROOT / name).exists(), name


def test_a_report_for_every_test_set_of_the_built_in_model() -> None:
    reports = read_reports(REPORTS)
    assert set(reports) == {test_set.name for test_set in TEST_SETS}
    bundle = Bundle.open(ROOT / "models" / "gender-small")
    for name, report in reports.items():
        model = report["model"]
        hint = f"docs/evaluation/{name} is of an older model; run gender-classifier evaluate report-all"
        assert model["sha256"] == bundle.manifest.variants[model["variant"]].sha256, hint
        assert model["temperature"] == bundle.manifest.decision.temperature, hint
        assert model["thresholds"] == bundle.manifest.decision.thresholds, hint


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        (r"(overall\.balanced_accuracy -->)\d+", r"\g<1>99"),
        (r"(<!-- mesure: resultats -->(?s:.)*?\| )\d+,\d", r"\g<1>99,9"),
        (r"## 2\. ", r"Le modèle atteint 97,5 % partout.\n\n## 2. "),
        (r"## 2\. ", r"L'écart n'est que de 2 points.\n\n## 2. "),
        (r"\| 93,42 % \|", "| 93,42 % |"),
    ],
)
def test_a_figure_that_was_changed_or_added_by_hand_is_found(document: Path, pattern: str, change: str) -> None:
    text = document.read_text(encoding="utf-8")
    changed, count = re.subn(pattern, change, text, count=1)
    assert count == 1
    document.write_text(changed, encoding="utf-8")
    assert bool(problems(document, REPORTS)) == (changed != text)


def test_published_figures_need_a_sureness(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert "*(confirmé)*" in text
    document.write_text(text.replace("(confirmé", "(sûr").replace("(déduit", "(sûr"), encoding="utf-8")
    assert len(problems(document, REPORTS)) > 5


def test_the_command_mends_what_check_finds(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = document.read_text(encoding="utf-8")
    words = ["analyse", "--file", str(document), "--reports", str(REPORTS)]
    assert main([*words, "--check"]) == 0
    document.write_text(re.sub(r"(overall\.balanced_accuracy -->)\d+", r"\g<1>12", original), encoding="utf-8")
    assert main([*words, "--check"]) == 1
    assert "run gender-classifier evaluate analyse" in capsys.readouterr().err
    assert main(words) == 0
    assert document.read_text(encoding="utf-8") == original


@pytest.mark.parametrize(
    "span",
    [
        "<!-- mesure: nothing --><!-- fin -->",
        "<!-- valeur: eval_wild overall.nothing --><!-- fin -->",
        "<!-- valeur: nowhere overall.accuracy --><!-- fin -->",
    ],
)
def test_a_span_that_leads_nowhere_is_an_error(span: str) -> None:
    with pytest.raises(LabelsError, match=r"nothing|nowhere"):
        render(span, read_reports(REPORTS))


def test_reports_of_two_models_do_not_mix(document: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    shutil.copytree(REPORTS, folder)
    path = folder / "eval_wild" / "report.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(content), encoding="utf-8")
    assert any("2 different models" in problem for problem in problems(document, folder))


def test_committed_reports_are_small_and_show_nobody() -> None:
    for path in REPORTS.rglob("*"):
        if path.is_dir():
            continue
        assert path.suffix in (".json", ".md", ".png"), path
        if path.suffix == ".png":
            assert path.stat().st_size < 60_000, path
        elif path.name != "README.md":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\.jpe?g", text), f"{path} names a picture"
            assert "/home/" not in text


@pytest.mark.parametrize("name", [test_set.name for test_set in TEST_SETS])
def test_the_markdown_is_that_of_the_json(name: str) -> None:
    report = read_reports(REPORTS)[name]
    text = (REPORTS / name / "report.md").read_text(encoding="utf-8")
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert text == markdown(report, figures)
    assert sorted(figures) == sorted(path.name for path in (REPORTS / name).glob("*.png"))


def test_figures_can_be_drawn_from_the_json_alone(tmp_path: Path) -> None:
    names = draw(read_reports(REPORTS)["eval_portraits"], tmp_path)
    assert sorted(names) == sorted(path.name for path in (REPORTS / "eval_portraits").glob("*.png"))
