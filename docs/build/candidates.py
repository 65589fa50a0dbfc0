"""Makes the tables of candidate models (ANALYSE.md, docs/candidats.md): facts with source, date and sureness.

``python -m docs.build.candidates`` asks the Hub for today's downloads and last change of each candidate and keeps the
answers in ``candidates.json`` with the day they were seen. Everything else there was read in the source it names.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from .blocks import Makers

__all__ = ["DATA", "MAKERS", "Candidates", "main", "read", "refresh", "short", "table"]

DATA = Path(__file__).with_name("candidates.json")
TIMEOUT = 20.0
FORMAT = 1
SURENESS = {
    "live": "confirmé en ligne",
    "confirmed": "confirmé",
    "inferred": "déduit",
    "memory": "de mémoire, à vérifier",
    "unknown": "inconnu",
}
"""How sure a fact is: asked of the Hub itself, read in an archived copy of the page named, concluded from such facts,
remembered, or looked for and not found."""
_COLUMNS = {
    "downloads": "Téléchargements (30 jours)",
    "updated": "Dernière mise à jour",
    "classes": "Classes, dans l'ordre des indices",
    "architecture": "Architecture et taille",
    "license": "Licence",
    "accuracy": "Exactitude annoncée",
    "limitations": "Limites",
}
_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août"),
    *("septembre", "octobre", "novembre", "décembre"),
)

_MARKS = {"inferred": "\u00a0*", "memory": "\u00a0†", "unknown": "\u00a0?"}
"""In the narrow table; what was read in its source has none."""

Candidates = list[dict[str, Any]]


def read(path: Path = DATA) -> Candidates:
    """Reads the facts and checks their form: no fact without a sureness, none called sure without a source.

    Raises:
        ValueError: If the file is not of this form.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ValueError(f"{path}: format {content['format']!r} is not {FORMAT}")
    candidates: Candidates = content["candidates"]
    for candidate in candidates:
        for column in _COLUMNS:
            _check(candidate["id"], column, candidate[column])
    return candidates


def refresh(candidates: Candidates, *, today: date, endpoint: str | None = None) -> tuple[Candidates, list[str]]:
    """Asks the Hub for downloads and last change of every candidate.

    Args:
        candidates: The facts so far.
        today: The day to note beside what is seen.
        endpoint: Address of the Hub; the public one unless given.

    Returns:
        The facts with those two renewed, and one sentence for each model the Hub does not give; a single one when it
        cannot be reached at all.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint)
    renewed: Candidates = []
    complaints: list[str] = []
    for position, candidate in enumerate(candidates):
        name = candidate["id"]
        try:
            info = api.model_info(name, expand=["downloads", "lastModified"], timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001 - its class depends on the client's version and HTTP library
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status is None:
                complaints.append(f"The Hub cannot be reached ({type(error).__name__}); the recorded facts stay.")
                return renewed + candidates[position:], complaints
            complaints.append(f"The Hub does not give {name} ({status}); its recorded facts stay.")
            renewed.append(candidate)
            continue
        live: dict[str, Any] = {}
        source = f"https://huggingface.co/{name}"
        if info.downloads is not None:
            live["downloads"] = _live(f"{info.downloads:,}".replace(",", "\u00a0"), source, today)
        if info.last_modified is not None:
            live["updated"] = _live(_french(info.last_modified.date()), source, today)
        renewed.append({**candidate, **live})
    return renewed, complaints


def table(candidates: Candidates) -> str:
    """Returns the table as Markdown: each cell with how sure it is and where it was read, sources below."""
    sources: dict[str, int] = {}
    lines = [f"| Modèle | {' | '.join(_COLUMNS.values())} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for candidate in candidates:
        name = f"[{candidate['id']}](https://huggingface.co/{candidate['id']})"
        cells = [f"**{name}** (retenu)" if candidate.get("chosen") else name]
        cells += [_cell(candidate[column], sources) for column in _COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Sources, avec ce qui en a été vu :", ""]
    lines += [f"{number}. {source}" for source, number in sources.items()]
    return "\n".join(lines)


def short(candidates: Candidates) -> str:
    """Returns the narrow table: candidates of known downloads, first statements alone, sureness as a mark."""
    lines = [
        "| Modèle | Téléchargements en 30 jours | Dernière mise à jour | Classes | Licence | Principale limite |",
        "|---|---|---|---|---|---|",
    ]
    for candidate in candidates:
        if candidate["downloads"]["sureness"] == "unknown":
            continue
        name = f"[{candidate['id']}](https://huggingface.co/{candidate['id']})"
        downloads = candidate["downloads"]
        cells = [f"**{name}** (retenu)" if candidate.get("chosen") else name]
        cells += [f"{_first(downloads, ' ; ')}{_when(downloads)}"]
        cells += [_first(candidate[column], r" ; | \(| : |, (?!`)") for column in ("updated", "classes", "license")]
        cells += [_first(candidate["limitations"], " ; ")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Runs the command line; returns 1 when the Hub could not be asked about every model."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.build.candidates",
        description="Renew the candidates' downloads and dates from the Hub; python -m docs.build writes the table.",
    )
    parser.add_argument("--data", type=Path, default=DATA, help="facts to renew (docs/build/candidates.json)")
    path = parser.parse_args(words).data
    today = datetime.now(timezone.utc).date()
    candidates, complaints = refresh(read(path), today=today, endpoint=os.environ.get("HF_ENDPOINT") or None)
    content = {"format": FORMAT, "candidates": candidates}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def _check(name: str, column: str, fact: dict[str, str]) -> None:
    sureness = fact["sureness"]
    if sureness not in SURENESS:
        raise ValueError(f"{name}, {column}: {sureness!r} is not one of {', '.join(SURENESS)}")
    if not fact["text"]:
        raise ValueError(f"{name}, {column}: no text")
    if sureness in ("live", "confirmed", "inferred") and not (fact.get("source") and fact.get("seen")):
        raise ValueError(f"{name}, {column}: {sureness}, but source or date is missing")


def _live(text: str, source: str, today: date) -> dict[str, str]:
    return {"text": text, "sureness": "live", "source": source, "seen": f"le {_french(today)}"}


def _cell(fact: dict[str, str], sources: dict[str, int]) -> str:
    mark = SURENESS[fact["sureness"]]
    if "source" not in fact:
        return f"{fact['text']} ({mark})"
    number = sources.setdefault(f"<{fact['source']}> ({fact['seen']})", len(sources) + 1)
    return f"{fact['text']} ({mark}) [{number}]"


def _first(fact: dict[str, str], end: str) -> str:
    """Returns the first statement of a fact, with the mark of its sureness."""
    return re.split(end, fact["text"])[0] + _MARKS.get(fact["sureness"], "")


def _when(fact: dict[str, str]) -> str:
    """Returns when a figure was seen, as far as that is known."""
    if re.search(r"20\d\d", fact["text"].split(" ; ")[0]):
        return ""
    day = (
        fact["seen"].removeprefix("le ")
        if fact["sureness"] == "live"
        else "".join(re.findall(r"20\d\d", fact["seen"])[:1])
    )
    return f" ({day or 'archive sans date'})"


def _french(day: date) -> str:
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"


MAKERS: Makers = {"candidats": lambda form: short(read()) if form == "court" else table(read())}


if __name__ == "__main__":
    sys.exit(main())
