"""Makes the measured tables and figures of ANALYSE.md, in French, from the committed reports."""

# ruff: noqa: E501, RUF001 - whole French sentences, and the typography they need

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from gender_classifier.evaluation.defaults import MIN_GROUP

from .blocks import ROOT, Makers

__all__ = ["MAKERS", "REPORTS", "TABLES", "Reports", "look_up", "number", "percent", "read_reports"]

REPORTS = ROOT / "docs" / "evaluation"

Reports = dict[str, dict[str, Any]]
"""Reports by the name of their set."""

_NBSP = "\u00a0"
_SETS = {
    "eval_wild": "Photographies du web, tous âges",
    "eval_wild_adults": "Photographies du web, adultes (18 ans et plus)",
    "eval_portraits": "Portraits officiels de personnes inconnues du modèle",
    "eval_synthetic": "Visages de synthèse, enfants compris",
}
_DEGRADATIONS = {
    "blur": "flou gaussien",
    "darkness": "sous-exposition",
    "noise": "bruit",
    "jpeg": "compression JPEG",
    "resolution": "basse résolution",
    "rotation": "tête inclinée",
    "occlusion_upper": "haut du visage masqué",
    "occlusion_lower": "bas du visage masqué",
    "greyscale": "noir et blanc",
}
_STEPS = {
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
_WORDS = {
    "baby": "bébé",
    "child": "enfant",
    "adult": "adulte",
    "(several)": "(plusieurs)",
    "(not labelled)": "(non étiqueté)",
}


def number(value: Any) -> str:
    """Returns an estimate (``92,3 %``) or a plain number the French way."""
    if isinstance(value, dict):
        return percent(value, interval=False)
    return f"{value:,}".replace(",", _NBSP) if isinstance(value, int) else f"{value:.4g}".replace(".", ",")


def percent(estimate: dict[str, Any], *, interval: bool = True, signed: bool = False) -> str:
    """Returns an estimate as ``92,3 % [91,0 ; 93,5]``; a dash where the set does not define it."""
    if estimate["value"] is None:
        return "–"
    form = "{:+.1f}" if signed else "{:.1f}"
    value, low, high = (_comma(form.format(100 * estimate[key])) for key in ("value", "low", "high"))
    if signed:
        value, low, high = (each.replace("-", "−") for each in (value, low, high))
    unit = "" if signed else f"{_NBSP}%"
    return f"{value}{unit} [{low}{_NBSP};{_NBSP}{high}]" if interval else f"{value}{unit}"


def _model(reports: Reports) -> str:
    model = next(iter(reports.values()))["model"]
    facts = [f"`{model['name']}`, variante `{model['variant']}`", f"{_decimals(model['bytes'] / 1e6, 2)}{_NBSP}Mo"]
    if model["parameters"]:
        facts.append(f"{_decimals(model['parameters'] / 1e6, 2)} million de paramètres")
    facts.append(f"poids sha256 `{model['sha256'][:16]}`")
    facts.append(f"température {_decimals(model['temperature'], 3)}")
    words = {"female": "femme", "male": "homme"}
    for key, threshold in model["thresholds"].items():
        facts.append(f"seuil pour « {words.get(key, key)} » {_decimals(threshold, 3)}")
    return "Modèle mesuré : " + ", ".join(facts) + "."


def _results(reports: Reports) -> str:
    lines = [
        "| Ensemble | Images (F / H) | Exactitude | Exactitude équilibrée | Femmes reconnues | Hommes reconnus | "
        "Écart F − H (points) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, report in _in_order(reports):
        overall = report["overall"]
        count = overall["n_by_class"]
        lines.append(
            f"| [{_SETS.get(name, name)}](docs/evaluation/{name}/report.md) | {number(overall['n'])} "
            f"({number(count['female'])} / {number(count['male'])}) | {percent(overall['accuracy'])} | "
            f"{percent(overall['balanced_accuracy'])} | {percent(overall['recall']['female'])} | "
            f"{percent(overall['recall']['male'])} | {percent(overall['recall_gap'], signed=True)} |"
        )
    return "\n".join(lines)


def _decision(reports: Reports) -> str:
    lines = [
        "| Ensemble | Réponses données | Justes parmi elles | « femme » juste | « homme » juste | ECE | Brier | Aire ROC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, report in _in_order(reports):
        overall = report["overall"]
        point = overall["operating_point"]
        scores = (_decimals(overall[key]["value"], 3) for key in ("ece", "brier", "roc_auc"))
        lines.append(
            f"| {_SETS.get(name, name)} | {percent(point['answered'])} | {percent(point['accuracy'])} | "
            f"{percent(point['precision']['female'])} | {percent(point['precision']['male'])} | {' | '.join(scores)} |"
        )
    return "\n".join(lines)


def _errors(reports: Reports) -> str:
    lines = [
        "| Ensemble | Femmes dites hommes | Hommes dits femmes | Images illisibles ou sans visage |",
        "|---|---|---|---|",
    ]
    for name, report in _in_order(reports):
        confusion, count = report["overall"]["confusion"], report["overall"]["n_by_class"]
        failed = sum(report["set"]["failed"].values())
        lines.append(
            f"| {_SETS.get(name, name)} | {confusion['female']['male']} sur {number(count['female'])} | "
            f"{confusion['male']['female']} sur {number(count['male'])} | {failed} sur {number(report['set']['pictures'])} |"
        )
    return "\n".join(lines)


def _age(reports: Reports) -> str:
    return "\n\n".join(_groups(reports, name, "age") for name in ("eval_wild", "eval_synthetic") if name in reports)


def _race(reports: Reports) -> str:
    names = [name for name in ("eval_wild_adults", "eval_portraits") if name in reports]
    return "\n\n".join(
        [
            *(_groups(reports, name, "race") for name in names),
            "Pour les visages de synthèse, l'origine demandée au générateur se mêle à l'âge (deux tiers sont des bébés et des "
            "enfants) ; ses tableaux sont dans [son rapport](docs/evaluation/eval_synthetic/report.md).",
        ]
    )


def _crossings(reports: Reports) -> str:
    """The groups of a crossing where the model is worst, among those large enough."""
    content = reports["eval_wild_adults"]["by"]["age x race"]
    large = {key: each for key, each in content["groups"].items() if min(each["n_by_class"].values()) >= MIN_GROUP}
    worst = sorted(large, key=lambda key: large[key]["balanced_accuracy"]["value"])[:6]
    lines = [
        f"Adultes du web, croisements âge × origine étiquetée d'au moins {MIN_GROUP} femmes et {MIN_GROUP} hommes "
        f"({len(large)} sur {len(content['groups'])}), les plus mal servis d'abord :",
        "",
        *_table({key: large[key] for key in worst}),
        "",
        _smallest(content),
    ]
    return "\n".join(lines)


def _degradations(reports: Reports) -> str:
    content = reports["eval_wild_adults"]["robustness"]
    untouched = content["untouched"]["balanced_accuracy"]
    lines = [
        f"Sur {content['n']} photographies d'adultes du web (autant de femmes que d'hommes), intactes : exactitude "
        f"équilibrée {percent(untouched)}. « Chute nette » : l'intervalle passe tout entier sous celui-là.",
        "",
        "| Dégradation | Premier pas | Première chute nette | Dernier pas | Femmes / hommes reconnus, dernier pas | Réponses données, dernier pas |",
        "|---|---|---|---|---|---|",
    ]
    for name, curve in content["degradations"].items():
        first, last = curve["points"][0], curve["points"][-1]
        fallen = [point for point in curve["points"] if _below(point["balanced_accuracy"], untouched)]
        recall = " / ".join(percent(last["recall"][word], interval=False) for word in ("female", "male"))
        lines.append(
            f"| {_DEGRADATIONS.get(name, name)} | {_step(name, first)} : {percent(first['balanced_accuracy'])} | "
            f"{_step(name, fallen[0]) if fallen else 'aucune'} | {_step(name, last)} : {percent(last['balanced_accuracy'])} | "
            f"{recall} | {percent(last['answered'], interval=False)} |"
        )
    return "\n".join([*lines, "", _ranking(content)])


def _step(name: str, point: dict[str, Any]) -> str:
    return _STEPS.get(name, "{}").format(f"{point['step']:g}")


def _below(estimate: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one interval lies wholly below the other."""
    return estimate["value"] is not None and bool(estimate["high"] < other["low"])


def _ranking(content: dict[str, Any]) -> str:
    """Names the degradations whose interval lies wholly below the untouched one, from the costliest."""
    untouched = content["untouched"]["balanced_accuracy"]
    loss: dict[str, float] = {}
    harmless: list[str] = []
    for name, curve in content["degradations"].items():
        known = (point["balanced_accuracy"] for point in curve["points"])
        worst = min((each for each in known if each["value"] is not None), key=lambda each: float(each["value"]))
        if _below(worst, untouched):
            loss[name] = untouched["value"] - worst["value"]
        else:
            harmless.append(name)
    order = sorted(loss, key=lambda name: -loss[name])
    costly = ", ".join(f"{_DEGRADATIONS.get(name, name)} (−{_decimals(100 * loss[name], 1)} points)" for name in order)
    sentence = (
        f"Au pire pas de chacune, les chutes nettes sont, de la plus forte à la plus faible : {costly or 'aucune'}."
    )
    if harmless:
        sentence += f" Sans chute nette : {', '.join(_DEGRADATIONS.get(name, name) for name in harmless)}."
    return sentence


def _gender(reports: Reports) -> str:
    """Which gender is misread more often on each set, and whether the interval excludes equality."""
    sentences = []
    for name, report in _in_order(reports):
        gap = report["overall"]["recall_gap"]
        if gap["value"] is None:
            continue
        text = percent(gap, signed=True)
        if gap["low"] > 0:
            verdict = "les hommes sont plus souvent pris pour des femmes que l'inverse"
        elif gap["high"] < 0:
            verdict = "les femmes sont plus souvent prises pour des hommes que l'inverse"
        else:
            verdict = "aucun écart établi entre femmes et hommes"
        sentences.append(
            f"- {_SETS.get(name, name)} : {verdict} (femmes reconnues moins hommes reconnus : {text} points)."
        )
    return "\n".join(sentences)


def _groups(reports: Reports, name: str, column: str) -> str:
    content = reports[name]["by"][column]
    gap = content["gaps"]["balanced_accuracy"]
    lines = [f"{_SETS.get(name, name)} :", "", *_table(content["groups"]), ""]
    if gap:
        lines.append(
            f"Plus grand écart d'exactitude équilibrée : {percent(gap['difference'], signed=True)} points, entre "
            f"« {_word(gap['best'])} » et « {_word(gap['worst'])} »"
            + (f" (trop petits pour compter : {', '.join(map(_word, gap['left_out']))})" if gap["left_out"] else "")
            + "."
        )
    else:
        lines.append(f"Aucun écart n'est calculé : moins de deux groupes ont {MIN_GROUP} femmes et {MIN_GROUP} hommes.")
    return "\n".join([*lines, _chance(content["groups"]), _smallest(content)])


def _chance(groups: dict[str, Any]) -> str:
    """Names the groups on which the model may be no better than a coin, whole or for one gender."""
    coin: list[str] = []
    worse: list[str] = []
    for key, each in groups.items():
        for word, estimate in (("femmes", each["recall"]["female"]), ("hommes", each["recall"]["male"])):
            if estimate["high"] is not None and estimate["n"] >= MIN_GROUP and estimate["high"] < 0.5:
                worse.append(f"{word}, « {_word(key)} »")
        low = each["balanced_accuracy"]["low"]
        if low is not None and low <= 0.5 and min(each["n_by_class"].values()) >= MIN_GROUP:
            coin.append(f"« {_word(key)} »")
    sentences = []
    if coin:
        sentences.append(f"Pas mieux que le hasard, à l'intervalle près : {', '.join(coin)}.")
    if worse:
        sentences.append(f"Plus souvent mal classés que bien : {' ; '.join(worse)}.")
    return " ".join(sentences) or "Aucun groupe de taille suffisante n'est au niveau du hasard."


def _table(groups: dict[str, Any]) -> list[str]:
    lines = [
        "| Groupe | Images (F / H) | Exactitude équilibrée | Femmes reconnues | Hommes reconnus | Réponses données | Justes parmi elles |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, each in groups.items():
        count, point = each["n_by_class"], each["operating_point"]
        cells = (each["balanced_accuracy"], each["recall"]["female"], each["recall"]["male"])
        lines.append(
            f"| {_word(key)} | {each['n']} ({count['female']} / {count['male']}) | {' | '.join(map(percent, cells))} | "
            f"{percent(point['answered'], interval=False)} | {percent(point['accuracy'])} |"
        )
    return lines


def _smallest(content: dict[str, Any]) -> str:
    smallest = content["smallest"]
    if not smallest:
        return ""
    many = "s" if smallest["n"] > 1 else ""
    return f"Plus petit groupe : « {_word(smallest['group'])} », {smallest['n']} image{many}."


def _figures(reports: Reports) -> str:
    lines = [
        "![Calibration, photographies d'adultes du web](docs/evaluation/eval_wild_adults/reliability.png)",
        "![Exactitude selon la part de réponses, adultes du web](docs/evaluation/eval_wild_adults/abstention.png)",
        "![Par âge, photographies du web](docs/evaluation/eval_wild/by_age.png)",
        "![Par origine étiquetée, adultes du web](docs/evaluation/eval_wild_adults/by_race.png)",
        "![Dégradations, adultes du web](docs/evaluation/eval_wild_adults/robustness.png)",
    ]
    return "\n\n".join(lines)


def _in_order(reports: Reports) -> list[tuple[str, dict[str, Any]]]:
    order = list(_SETS)
    return sorted(reports.items(), key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0]))


def _word(name: str) -> str:
    return _WORDS.get(name, name)


def _decimals(value: float, digits: int) -> str:
    return _comma(f"{value:.{digits}f}")


def _comma(text: str) -> str:
    return text.replace(".", ",")


TABLES: dict[str, Callable[[Reports], str]] = {
    "modele": _model,
    "resultats": _results,
    "erreurs": _errors,
    "decision": _decision,
    "degradations": _degradations,
    "genre": _gender,
    "age": _age,
    "race": _race,
    "croisements": _crossings,
    "figures": _figures,
}
"""What ``<!-- mesure: NAME -->`` stands for."""


@cache
def read_reports(folder: Path = REPORTS) -> Reports:
    """Reads every ``report.json`` below a folder, by the name of its own folder."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/report.json"))
    }


def look_up(reports: Reports, argument: str) -> Any:
    """Returns the estimate or number that ``REPORT dotted.path`` leads to."""
    report, _, path = argument.partition(" ")
    value: Any = reports[report]
    for key in path.split("."):
        value = value[key]
    return value


MAKERS: Makers = {
    "mesure": lambda name: TABLES[name](read_reports()),
    "valeur": lambda argument: number(look_up(read_reports(), argument)),
}
