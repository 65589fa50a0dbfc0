"""Makes the measured tables and figures of ANALYSE.md, in French, from the committed reports."""

# ruff: noqa: E501, RUF001 - whole French sentences, and the typography they need

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from gender_classifier.evaluation.defaults import MIN_GROUP

from .answers import ANSWERS, DEGRADATIONS, SETS, STEPS, Reports, in_order
from .blocks import ROOT, Makers
from .french import decimals, number, percent

__all__ = ["MAKERS", "REPORTS", "TABLES", "Reports", "read_reports"]

REPORTS = ROOT / "docs" / "evaluation"

_NBSP = "\u00a0"
_WORDS = {
    "baby": "bébé",
    "child": "enfant",
    "adult": "adulte",
    "(several)": "(plusieurs)",
    "(not labelled)": "(non étiqueté)",
}


def _model(reports: Reports) -> str:
    model = next(iter(reports.values()))["model"]
    facts = [f"`{model['name']}`, variante `{model['variant']}`", f"{decimals(model['bytes'] / 1e6, 2)}{_NBSP}Mo"]
    if model["parameters"]:
        facts.append(f"{decimals(model['parameters'] / 1e6, 2)} million de paramètres")
    facts.append(f"poids sha256 `{model['sha256'][:16]}`")
    facts.append(f"température {decimals(model['temperature'], 3)}")
    words = {"female": "femme", "male": "homme"}
    for key, threshold in model["thresholds"].items():
        facts.append(f"seuil pour « {words.get(key, key)} » {decimals(threshold, 3)}")
    return "Modèle mesuré : " + ", ".join(facts) + "."


def _decision(reports: Reports) -> str:
    lines = [
        "| Ensemble | Réponses données | Justes parmi elles | « femme » juste | « homme » juste | ECE | Brier | Aire ROC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, report in in_order(reports):
        overall = report["overall"]
        point = overall["operating_point"]
        scores = (decimals(overall[key]["value"], 3) for key in ("ece", "brier", "roc_auc"))
        lines.append(
            f"| {SETS.get(name, name)} | {percent(point['answered'])} | {percent(point['accuracy'])} | "
            f"{percent(point['precision']['female'])} | {percent(point['precision']['male'])} | {' | '.join(scores)} |"
        )
    return "\n".join(lines)


def _errors(reports: Reports) -> str:
    lines = [
        "| Ensemble | Femmes dites hommes | Hommes dits femmes | Images illisibles ou sans visage |",
        "|---|---|---|---|",
    ]
    for name, report in in_order(reports):
        confusion, count = report["overall"]["confusion"], report["overall"]["n_by_class"]
        failed = sum(report["set"]["failed"].values())
        lines.append(
            f"| {SETS.get(name, name)} | {confusion['female']['male']} sur {number(count['female'])} | "
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
            "enfants) ; ses tableaux sont dans [son rapport](evaluation/eval_synthetic/report.md).",
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
            f"| {DEGRADATIONS.get(name, name)} | {_step(name, first)} : {percent(first['balanced_accuracy'])} | "
            f"{_step(name, fallen[0]) if fallen else 'aucune'} | {_step(name, last)} : {percent(last['balanced_accuracy'])} | "
            f"{recall} | {percent(last['answered'], interval=False)} |"
        )
    return "\n".join([*lines, "", _ranking(content)])


def _step(name: str, point: dict[str, Any]) -> str:
    return STEPS.get(name, "{}").format(f"{point['step']:g}")


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
    costly = ", ".join(f"{DEGRADATIONS.get(name, name)} (−{decimals(100 * loss[name], 1)} points)" for name in order)
    sentence = (
        f"Au pire pas de chacune, les chutes nettes sont, de la plus forte à la plus faible : {costly or 'aucune'}."
    )
    if harmless:
        sentence += f" Sans chute nette : {', '.join(DEGRADATIONS.get(name, name) for name in harmless)}."
    return sentence


def _gender(reports: Reports) -> str:
    """Which gender is misread more often on each set, and whether the interval excludes equality."""
    sentences = []
    for name, report in in_order(reports):
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
        sentences.append(f"- {SETS.get(name, name)} : {verdict} (écart : {text} points).")
    return "\n".join(sentences)


def _groups(reports: Reports, name: str, column: str) -> str:
    content = reports[name]["by"][column]
    gap = content["gaps"]["balanced_accuracy"]
    lines = [f"{SETS.get(name, name)} :", "", *_table(content["groups"]), ""]
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


def _word(name: str) -> str:
    return _WORDS.get(name, name)


TABLES: dict[str, Callable[[Reports], str]] = ANSWERS | {
    "modele": _model,
    "erreurs": _errors,
    "decision": _decision,
    "degradations": _degradations,
    "genre": _gender,
    "age": _age,
    "race": _race,
    "croisements": _crossings,
}
"""What ``<!-- mesure: NAME -->`` stands for."""


@cache
def read_reports(folder: Path = REPORTS) -> Reports:
    """Reads every ``report.json`` below a folder, by the name of its own folder."""
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/report.json"))
    }


MAKERS: Makers = {
    "mesure": lambda name: TABLES[name](read_reports()),
}
