"""The candidate models of ANALYSE.md: facts with source and date, refreshed from the Hub, written as a table.

``python -m export.candidates`` asks the Hub for today's downloads and last change of each candidate, keeps the answers
in ``candidates.json`` with the day they were seen, and rewrites the table between ``<!-- candidats -->`` and
``<!-- fin candidats -->``. Everything else is a fact that somebody read, with where, and how sure it is.
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

from .errors import DownloadError, ExportError

__all__ = ["DATA", "Candidates", "main", "read", "refresh", "rewrite", "table"]

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
_BLOCK = re.compile(r"<!-- candidats -->.*?<!-- fin candidats -->", re.DOTALL)
_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août"),
    *("septembre", "octobre", "novembre", "décembre"),
)

Candidates = list[dict[str, Any]]


def read(path: Path = DATA) -> Candidates:
    """Reads the facts and checks their form: no fact without a sureness, none called sure without a source.

    Raises:
        ExportError: If the file is missing or not of this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        candidates: Candidates = content["candidates"]
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r} is not {FORMAT}")
        for candidate in candidates:
            for column in _COLUMNS:
                _check(candidate["id"], column, candidate[column])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} does not hold the candidates as this version reads them: {error}") from error
    return candidates


def refresh(candidates: Candidates, *, today: date, endpoint: str | None = None) -> tuple[Candidates, list[str]]:
    """Asks the Hub for downloads and last change of every candidate.

    Args:
        candidates: The facts so far.
        today: The day to note beside what is seen.
        endpoint: Address of the Hub; the public one unless given.

    Returns:
        The facts with those two renewed, and one sentence for each model the Hub does not give.

    Raises:
        DownloadError: If the Hub cannot be reached at all.
    """
    import requests
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(endpoint=endpoint)
    renewed: Candidates = []
    complaints: list[str] = []
    for candidate in candidates:
        name = candidate["id"]
        try:
            info = api.model_info(name, expand=["downloads", "lastModified"], timeout=TIMEOUT)
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else "no answer"
            complaints.append(f"The Hub does not give {name} ({status}); its recorded facts stay.")
            renewed.append(candidate)
            continue
        except (OfflineModeIsEnabled, requests.RequestException, OSError) as error:
            raise DownloadError(
                f"The Hub cannot be reached ({type(error).__name__}); the table shows the facts recorded before."
            ) from error
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


def rewrite(file: Path, candidates: Candidates) -> bool:
    """Writes the table into a file; returns whether it changed.

    Raises:
        ExportError: If the file cannot be read or has no place for the table.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{file} cannot be read ({error.strerror}); --file names the document.") from error
    if not _BLOCK.search(text):
        raise ExportError(f"{file} has no place for the table: <!-- candidats --> ... <!-- fin candidats -->.")
    block = f"<!-- candidats -->\n{table(candidates)}\n<!-- fin candidats -->"
    new = _BLOCK.sub(lambda _: block, text)
    if new != text:
        _write(file, new)
    return new != text


def main(words: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 1 when the Hub could not be asked about every model, or a file cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m export.candidates",
        description="Refresh downloads and dates of the candidate models from the Hub and rewrite their table.",
    )
    parser.add_argument("--file", type=Path, default=Path("ANALYSE.md"), help="document with the table (ANALYSE.md)")
    parser.add_argument("--data", type=Path, default=DATA, help="facts to read and renew (export/candidates.json)")
    parser.add_argument("--offline", action="store_true", help="ask nobody; write the table from the recorded facts")
    arguments = parser.parse_args(words)
    complaints: list[str] = []
    try:
        candidates = read(arguments.data)
        if not arguments.offline:
            try:
                today = datetime.now(timezone.utc).date()
                endpoint = os.environ.get("HF_ENDPOINT") or None
                candidates, complaints = refresh(candidates, today=today, endpoint=endpoint)
                content = {"format": FORMAT, "candidates": candidates}
                _write(arguments.data, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
            except ModuleNotFoundError:
                complaints = ["huggingface_hub is missing. pip install 'gender-classifier[hub]', or use --offline."]
            except DownloadError as error:
                complaints = [str(error)]
        changed = rewrite(arguments.file, candidates)
    except ExportError as error:
        complaints.append(str(error))
    else:
        print(f"{arguments.file}: the table {'was rewritten' if changed else 'is unchanged'}.")
    for complaint in complaints:
        print(f"export.candidates: {complaint}", file=sys.stderr)
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


def _french(day: date) -> str:
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ExportError(f"{path} cannot be written ({error.strerror}).") from error


if __name__ == "__main__":
    sys.exit(main())
