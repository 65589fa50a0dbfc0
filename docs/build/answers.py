"""Makes the short answers of ANALYSE.md, in French: success rates, whole photographs, where it fails, groups."""

# ruff: noqa: E501, RUF001 - whole French sentences, and the typography they need

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image, ImageFilter

from gender_classifier.evaluation.intervals import wilson

from .blocks import ROOT
from .french import decimals, number, percent, points

__all__ = ["ANSWERS", "DEGRADATIONS", "SETS", "STEPS", "Reports", "in_order"]

Reports = dict[str, dict[str, Any]]
"""Reports by the name of their set."""

SETS = {
    "eval_portraits": "Portraits officiels",
    "eval_wild_adults": "Photographies du web, adultes",
    "eval_wild": "Photographies du web, tous âges",
    "eval_synthetic_adults": "Visages de synthèse, adultes",
    "eval_synthetic": "Visages de synthèse, enfants compris",
}
DEGRADATIONS = {
    "blur": "flou gaussien",
    "darkness": "sous-exposition",
    "noise": "bruit",
    "jpeg": "compression JPEG",
    "resolution": "basse résolution",
    "rotation": "tête inclinée, non redressée",
    "occlusion_upper": "haut du visage masqué",
    "occlusion_lower": "bas du visage masqué",
    "greyscale": "noir et blanc",
}
STEPS = {
    "blur": "écart-type {} % du côté",
    "darkness": "-{} IL",
    "noise": "écart-type {} sur 255",
    "jpeg": "qualité {}",
    "resolution": "{} pixels de côté",
    "rotation": "{} degrés",
    "occlusion_upper": "{} % de la vue",
    "occlusion_lower": "{} % de la vue",
    "greyscale": "{} % de couleur ôtée",
}
_PIPELINES = {
    "first version, no detector": "notre première version, sans détecteur",
    "default install": "notre programme, tel qu'installé",
    "without a face detector": "le même, sans détecteur (`--no-faces`)",
}

_SAID = {"female": "femme", "male": "homme", "uncertain": "incertain", "no_face": "aucun visage"}


def in_order(reports: Reports) -> list[tuple[str, dict[str, Any]]]:
    """Returns the reports in the order in which every table shows them."""
    return [(name, reports[name]) for name in SETS if name in reports]


def _whole() -> dict[str, dict[str, Any]]:
    """By pipeline: the counts that benchmarks/whole_photographs.py wrote."""
    content = json.loads((ROOT / "benchmarks" / "whole_photographs.json").read_text(encoding="utf-8"))
    results: dict[str, dict[str, Any]] = content["results"]
    return results


def _share(counts: dict[str, int]) -> dict[str, Any]:
    return asdict(wilson(counts.get("right", 0), sum(counts.values())))


def _photographs(result: dict[str, Any]) -> dict[str, int]:
    """Adds up the outcomes of every kind of photograph."""
    kinds = result["photographs"].values()
    return {word: sum(kind.get(word, 0) for kind in kinds) for word in ("right", "wrong", "uncertain")}


def _rates(reports: Reports) -> str:
    """The success rate, once for each kind of picture; a face that is not found counts as a wrong answer."""
    every = _photographs(_whole()["default install"])
    rows = [
        ("Photographies entières", f"{sum(every.values())}", "part de photographies justes", percent(_share(every))),
    ]
    for name, title in (
        ("eval_wild_adults", "Visages découpés, adultes"),
        ("eval_wild", "Visages découpés, enfants compris"),
    ):
        shown = percent(reports[name]["overall"]["all_pictures"]["balanced_accuracy"])
        rows.append((title, number(reports[name]["set"]["pictures"]), "exactitude équilibrée", shown))
    return "\n".join(
        ["| Images | Nombre | Mesure | Taux de réussite |", "|---|---|---|---|"]
        + [
            f"| {title} | {count} | {measure} | **{rate.replace(' [', '** [')} |"
            for title, count, measure, rate in rows
        ]
    )


def _photos(_: Reports) -> str:
    """Whole photographs: this program, the same without faces, and a peer, by photograph and by face."""
    lines = [
        "| | Une réponse attendue : juste / fausse / incertaine | Groupes mixtes : juste / autre | Visages nets : juste / faux / incertain / non trouvé |",
        "|---|---|---|---|",
    ]
    for name, result in _whole().items():
        one, mixed = (result["photographs"][kind] for kind in ("one answer", "mixed"))
        cells = (
            " / ".join(str(one.get(word, 0)) for word in ("right", "wrong", "uncertain")),
            f"{mixed.get('right', 0)} / {sum(mixed.values()) - mixed.get('right', 0)}",
            " / ".join(str(result["faces"].get(word, 0)) for word in ("right", "wrong", "uncertain", "not found")),
        )
        lines.append(f"| {_PIPELINES.get(name, name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _results(reports: Reports) -> str:
    lines = [
        "| Ensemble | Images, dont sans visage trouvé | Exactitude équilibrée | Femmes / hommes reconnus | Réponses données | Justes parmi elles |",
        "|---|---|---|---|---|---|",
    ]
    for name, report in in_order(reports):
        every, point = report["overall"]["all_pictures"], report["overall"]["operating_point"]
        recall = " / ".join(percent(every["recall"][word], interval=False) for word in ("female", "male"))
        lines.append(
            f"| [{SETS[name]}](docs/evaluation/{name}/report.md) | {number(report['set']['pictures'])}, "
            f"{sum(report['set']['failed'].values())} | {percent(every['balanced_accuracy'])} | {recall} | "
            f"{percent(point['answered'], interval=False)} | {percent(point['accuracy'])} |"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class _Failure:
    """One row of the ranked list: what is measured, shares from 0 to 1, and what is worth adding."""

    kind: str
    condition: str
    measure: str
    reference: float
    value: float
    note: str = "–"


def _failures(reports: Reports) -> str:
    """Every kind of picture on which it does worse, from the costliest."""
    adults = reports["eval_wild_adults"]
    rows = [*_ages(reports), *_spoilt(adults["robustness"]), *_found(), _small(), _several()]
    rows.sort(key=lambda row: row.value - row.reference)
    children = reports["eval_wild"]["by"]["age"]["groups"]["0-9"]
    lost = points(children["balanced_accuracy"]["value"] - adults["overall"]["balanced_accuracy"]["value"])
    point = children["operating_point"]
    girls = point["answered_by_class"]["male"]["value"] * (1 - point["recall"]["male"]["value"])
    lines = [
        f"D'abord sur les **enfants** : {lost} points avant dix ans. S'il devait toujours répondre, il ne reconnaîtrait que "
        f"{number(children['recall']['male'])} des garçons ; avec ses seuils, il en appelle encore {decimals(100 * girls, 1)} % "
        "« femme », et se tait sur la plupart des autres. C'est le seul échec grave sur des images ordinaires. Les autres viennent "
        "de visages minuscules ou d'images très abîmées ; devant les pires, il se tait le plus souvent.",
        "",
        "Du plus coûteux au moins coûteux, chacun au pire pas mesuré :",
        "",
        "| Rang | Type d'image | Mesuré à | Grandeur | Taux, au lieu de | Coût (points) | À savoir |",
        "|---|---|---|---|---|---|---|",
    ]
    for rank, row in enumerate(rows, 1):
        rates = ", ".join(
            percent({"value": each, "low": 0, "high": 0}, interval=False) for each in (row.value, row.reference)
        )
        cells = (row.kind, row.condition, row.measure, rates, points(row.value - row.reference), row.note)
        lines.append(f"| {rank} | {' | '.join(cells)} |")
    harmless = [
        DEGRADATIONS.get(name, name)
        for name, curve in adults["robustness"]["degradations"].items()
        if _worst(adults["robustness"], curve) is None
    ]
    return "\n".join([*lines, "", f"Sans chute établie, même au pire pas : {', '.join(harmless)}."])


def _ages(reports: Reports) -> list[_Failure]:
    reference = reports["eval_wild_adults"]["overall"]["balanced_accuracy"]["value"]
    groups = reports["eval_wild"]["by"]["age"]["groups"]
    titles = {"0-9": "**enfants**", "10-17": "**adolescents**", "60+": "personnes âgées"}
    rows = []
    for age, title in titles.items():
        group = groups[age]
        boys = f"garçons reconnus : {percent(group['recall']['male'], interval=False)} ; "
        women = f"femmes reconnues : {percent(group['recall']['female'], interval=False)} ; "
        answered = f"réponses données : {percent(group['operating_point']['answered'], interval=False)}"
        value = group["balanced_accuracy"]["value"]
        rows.append(
            _Failure(
                title,
                f"{age} ans".replace("+ ans", " ans et plus"),
                "exactitude équilibrée",
                reference,
                value,
                (women if age == "60+" else boys) + answered,
            )
        )
    return rows


def _worst(content: dict[str, Any], curve: dict[str, Any]) -> dict[str, Any] | None:
    """The step with the lowest accuracy, if its interval lies wholly below the untouched one."""
    known = [point for point in curve["points"] if point["balanced_accuracy"]["value"] is not None]
    worst: dict[str, Any] = min(known, key=lambda point: float(point["balanced_accuracy"]["value"]))
    low = content["untouched"]["balanced_accuracy"]["low"]
    return worst if worst["balanced_accuracy"]["high"] < low else None


def _spoilt(content: dict[str, Any]) -> list[_Failure]:
    rows = []
    for name, curve in content["degradations"].items():
        worst = _worst(content, curve)
        if worst:
            rows.append(
                _Failure(
                    DEGRADATIONS.get(name, name),
                    STEPS.get(name, "{}").format(f"{worst['step']:g}"),
                    "exactitude équilibrée",
                    content["untouched"]["balanced_accuracy"]["value"],
                    worst["balanced_accuracy"]["value"],
                    f"réponses données : {percent(worst['answered'], interval=False)}",
                )
            )
    return rows


def _found() -> list[_Failure]:
    """What the detector loses, from the committed tables of docs/faces.md."""
    level, turned = (_ratio(_faces("limits", f"{angle} degrees")[0]) for angle in (0, 45))
    large, tiny = (_per_cent(_faces("limits", key)[1]) for key in ("48 px and more", "8 to 10 px"))
    measure = "visages trouvés"
    return [
        _Failure("photographie de travers", "45 degrés", measure, level, turned, "`no_face` si aucun visage n'est vu"),
        _Failure("visages minuscules", "8 à 10 pixels", measure, large, tiny, "non vus, donc sans réponse"),
    ]


def _small() -> _Failure:
    large, small = (_per_cent(_faces("least", f"{size} px")[2]) for size in (48, 12))
    return _Failure("petits visages", "12 pixels", "exactitude équilibrée", large, small, "en dessous : « incertain »")


def _ratio(cell: str) -> float:
    """Reads ``123 of 195``."""
    number, _, of = cell.partition(" of ")
    return int(number) / int(of)


def _per_cent(cell: str) -> float:
    """Reads ``12.3%``, whatever follows."""
    return float(cell.partition("%")[0]) / 100


def _several() -> _Failure:
    kinds = _whole()["default install"]["photographs"]
    one, mixed = (_share(kinds[kind])["value"] for kind in ("one answer", "mixed"))
    count = sum(kinds["mixed"].values())
    return _Failure(
        "plusieurs personnes",
        f"{count} groupes mixtes",
        "photographies justes",
        one,
        mixed,
        "écart non établi : trop peu d'images",
    )


def _faces(mark: str, key: str) -> list[str]:
    """Returns the cells behind a row's first one, from a table of docs/faces.md."""
    text = (ROOT / "docs" / "faces.md").read_text(encoding="utf-8")
    table = text.split(f"<!-- faces.py {mark}: begin -->")[1].split("<!-- faces.py")[0]
    rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|"))
    return {cells[0]: cells[1:] for cells in rows}[key]


def _groups(reports: Reports) -> str:
    """The groups by age (all ages) and by race label (adults), in narrow columns, and the gaps that are established."""
    lines = [
        "| Groupe | Images | Exactitude équilibrée | Femmes reconnues | Hommes reconnus |",
        "|---|---|---|---|---|",
    ]
    gaps = []
    for name, column, word in (("eval_wild", "age", "{} ans"), ("eval_wild_adults", "race", "{}, adultes")):
        for key, group in reports[name]["by"][column]["groups"].items():
            title = word.format(key).replace("+ ans", " ans et plus")
            recall = (percent(group["recall"][gender], interval=False) for gender in ("female", "male"))
            lines.append(f"| {title} | {group['n']} | {percent(group['balanced_accuracy'])} | {' | '.join(recall)} |")
            gap = group["recall_gap"]
            if gap["low"] > 0 or gap["high"] < 0:
                missed = "hommes" if gap["low"] > 0 else "femmes"
                gaps.append(
                    f"- {title} : {percent(gap, signed=True)} ; les {missed} sont plus souvent {'manqués' if missed == 'hommes' else 'manquées'}."
                )
    gap = reports["eval_wild_adults"]["by"]["race"]["gaps"]["balanced_accuracy"]
    proven = "établi" if gap["difference"]["low"] > 0 else "non établi, l'intervalle contient zéro"
    return "\n".join(
        [
            *lines,
            "",
            "Écarts établis entre femmes et hommes (femmes reconnues moins hommes reconnus, en points) :",
            "",
            *(gaps or ["- aucun."]),
            "",
            f"Plus grand écart entre origines étiquetées, chez les adultes : {percent(gap['difference'], signed=True)} points, entre "
            f"« {gap['best']} » et « {gap['worst']} » ({proven}).",
        ]
    )


def _example(_: Reports) -> str:
    """What the program says of the two faces that may be shown, more and more blurred."""
    import gender_classifier as gc

    classifier = gc.load("gender-small")
    radii = (0, 8, 16, 24)
    lines = [f"| Flou, rayon en pixels | {' | '.join(map(str, radii))} |", "|---" * (len(radii) + 1) + "|"]
    for name, title in (("average-woman", "visage moyen de femme"), ("average-man", "visage moyen d'homme")):
        with Image.open(ROOT / "examples" / f"{name}.jpg") as opened:
            picture = opened.convert("RGB")
        answers = [classifier.predict(picture.filter(ImageFilter.GaussianBlur(radius))) for radius in radii]
        lines.append(f"| {title} | {' | '.join(_SAID[each.label or each.status] for each in answers)} |")
    return "\n".join(lines)


def _brief(reports: Reports) -> str:
    every = _photographs(_whole()["default install"])
    adults, young = reports["eval_wild_adults"]["overall"], reports["eval_wild"]["by"]["age"]["groups"]["0-9"]
    point = adults["operating_point"]
    return "\n".join(
        [
            f"- **Photographies entières** : {every['right']} justes sur {sum(every.values())}, {every['wrong']} "
            f"fausse{'s' if every['wrong'] > 1 else ''}, {every['uncertain']} incertaine{'s' if every['uncertain'] > 1 else ''}.",
            f"- **Visages d'adultes** : exactitude équilibrée {percent(adults['all_pictures']['balanced_accuracy'])} ; le programme répond à "
            f"{number(point['answered'])} d'entre eux, et {number(point['accuracy'])} de ces réponses sont justes.",
            f"- **Enfants de moins de dix ans : à exclure.** Exactitude équilibrée {number(young['balanced_accuracy'])} ; "
            f"{number(young['recall']['male'])} des garçons seulement sont reconnus s'il doit toujours répondre.",
        ]
    )


ANSWERS: dict[str, Callable[[Reports], str]] = {
    "bref": _brief,
    "taux": _rates,
    "photos": _photos,
    "resultats": _results,
    "echecs": _failures,
    "groupes": _groups,
    "exemple": _example,
}
"""What ``<!-- mesure: NAME -->`` stands for, beside the full tables."""
