"""ANALYSE.md and its annexes quote nothing measured that the committed reports do not hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs.build.analyse import MAKERS, REPORTS, TABLES, read_reports
from docs.build.blocks import render
from docs.build.test_sets import TEST_SETS
from gender_classifier.runtime.bundle.bundle import Bundle
from support import ROOT

ANALYSE = ROOT / "ANALYSE.md"
PHOTOS = ROOT / "benchmarks" / "photos.csv"
ANNEXES = [ROOT / "docs" / f"{name}.md" for name in ("candidats", "groupes", "droit")]
SURENESS = ("(confirmé", "(déduit", "(de mémoire", "(estimation")
"""A paragraph with a percentage that was not measured here holds one of these."""


def unsourced(text: str) -> list[str]:
    """The paragraphs with a percentage that is neither generated from a report nor marked with how sure it is."""
    typed = re.sub(r"<!-- (mesure|candidats|transcript).*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    percent = re.compile(r"\d+(?:[.,]\d+)?[\s\u00a0\u202f]*(?:%|points?\b)")
    paragraphs = re.split(r"\n\s*\n", typed)
    return [each for each in paragraphs if percent.search(each) and not any(mark in each for mark in SURENESS)]


def test_every_percentage_is_measured_here_or_says_how_sure_it_is() -> None:
    text = ANALYSE.read_text(encoding="utf-8")
    for path in [ANALYSE, *ANNEXES]:
        assert unsourced(path.read_text(encoding="utf-8")) == [], path
    assert unsourced(text.replace("## 2. ", "Le modèle atteint 97,5 % partout.\n\n## 2. "))
    assert unsourced(text.replace("## 2. ", "L'écart n'est que de 2 points.\n\n## 2. "))
    assert len(unsourced(text.replace("(confirmé", "(sûr").replace("(déduit", "(sûr"))) > 5


def test_every_part_of_the_assignment_and_every_block_is_there() -> None:
    text = ANALYSE.read_text(encoding="utf-8")
    titles = ("1. Recherche du modèle", "2. Installation", "3. Performance", "4. Biais et éthique", "5. Améliorations")
    assert all(f"## {title}" in text for title in titles)
    annexes = [path.read_text(encoding="utf-8") for path in ANNEXES]
    assert sorted(re.findall(r"<!-- mesure: ([\w-]+) -->", "".join([text, *annexes]))) == sorted(TABLES)
    assert all(f"docs/{path.name}" in text for path in ANNEXES)
    for name in re.findall(r"\]\((docs/[^)#]+|[\w/]+\.json)\)", text):
        assert (ROOT / name).exists(), name


def test_the_source_reads_as_text_no_mark_stands_inside_a_sentence() -> None:
    for path in [ANALYSE, *ANNEXES]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "<!--" not in line or re.fullmatch(r"<!-- .+ -->", line), line


def test_every_link_to_a_heading_leads_to_one() -> None:
    links = re.findall(r"\]\((docs/[\w-]+\.md)?#([^)]+)\)", ANALYSE.read_text(encoding="utf-8"))
    assert links
    for page, anchor in links:
        titles = re.findall(r"^#+ (.+)$", (ROOT / (page or ANALYSE.name)).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles], anchor


def test_the_success_rate_of_whole_photographs_is_that_of_the_counts() -> None:
    counts = json.loads((ROOT / "benchmarks" / "whole_photographs.json").read_text(encoding="utf-8"))["results"][
        "default install"
    ]
    right = sum(kind.get("right", 0) for kind in counts["photographs"].values())
    every = sum(sum(kind.values()) for kind in counts["photographs"].values())
    assert every == len({line.partition(",")[0] for line in PHOTOS.read_text(encoding="utf-8").splitlines()[1:]})
    assert f"{100 * right / every:.1f}".replace(".", ",") in TABLES["taux"](read_reports())


def test_failures_are_ranked_by_what_they_cost() -> None:
    rows = [line.split(" | ") for line in TABLES["echecs"](read_reports()).splitlines() if re.match(r"\| \d", line)]
    costs = [float(cells[5].replace("\u2212", "-").replace(",", ".")) for cells in rows]
    assert costs == sorted(costs)
    assert {"**enfants**", "petits visages", "plusieurs personnes"} <= {cells[1] for cells in rows}


def test_a_report_for_every_test_set_of_the_built_in_model() -> None:
    reports = read_reports()
    assert set(reports) == {test_set.name for test_set in TEST_SETS}
    bundle = Bundle.open(ROOT / "models" / "gender-small")
    for name, report in reports.items():
        model = report["model"]
        hint = f"docs/evaluation/{name} is of an older model; run python -m docs.build.test_sets"
        assert model["sha256"] == bundle.manifest.variants[model["variant"]].sha256, hint
        assert model["temperature"] == bundle.manifest.decision.temperature, hint
        assert model["thresholds"] == bundle.manifest.decision.thresholds, hint


@pytest.mark.parametrize(
    "pattern", [r"(<!-- mesure: taux -->(?s:.)*?\*\*)\d+,\d", r"(<!-- mesure: resultats -->(?s:.)*?\| )\d+,\d"]
)
def test_a_figure_that_was_changed_by_hand_is_mended(pattern: str) -> None:
    text = ANALYSE.read_text(encoding="utf-8")
    changed, count = re.subn(pattern, r"\g<1>12,3", text, count=1)
    assert count == 1
    assert changed != text
    assert render(changed, MAKERS) == text


def test_a_block_that_leads_nowhere_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        render("<!-- mesure: nothing --><!-- /mesure -->", MAKERS)


def test_the_committed_reports_are_all_of_one_model() -> None:
    assert len({each["model"]["sha256"] for each in read_reports().values()}) == 1


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
    pytest.importorskip("sklearn")
    from gender_classifier.evaluation.report import markdown

    report = read_reports()[name]
    text = (REPORTS / name / "report.md").read_text(encoding="utf-8")
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert text == markdown(report, figures)
    assert sorted(figures) == sorted(path.name for path in (REPORTS / name).glob("*.png"))


def test_figures_can_be_drawn_from_the_json_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    from gender_classifier.evaluation.figures import draw

    names = draw(read_reports()["eval_portraits"], tmp_path)
    assert sorted(names) == sorted(path.name for path in (REPORTS / "eval_portraits").glob("*.png"))
