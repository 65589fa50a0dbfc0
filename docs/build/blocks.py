"""Rewrites the generated blocks of a document.

A block stands between ``<!-- NAME: ARGUMENT -->`` and ``<!-- /NAME -->``; the argument may be missing. A block that
holds a line break keeps its marks on lines of their own, any other is part of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["ROOT", "Makers", "find", "render", "rewrite"]

ROOT = Path(__file__).resolve().parents[2]

Makers = dict[str, Callable[[str], str]]
"""By the name of a block: its argument -> what it shall hold."""

_BLOCK = re.compile(
    r"(?P<open><!-- (?P<name>[a-z]+)(?:: (?P<argument>.+?))? -->)(?P<body>.*?)(?P<close><!-- /(?P=name) -->)", re.DOTALL
)


def find(text: str, name: str) -> list[str]:
    """Returns what the blocks of one name hold now."""
    return [match["body"].strip() for match in _BLOCK.finditer(text) if match["name"] == name]


def render(text: str, makers: Makers) -> str:
    """Returns the text with every block made anew; those without a maker stay as they are."""

    def fill(match: re.Match[str]) -> str:
        if match["name"] not in makers:
            return match[0]
        made = makers[match["name"]](match["argument"] or "").strip()
        return match["open"] + (f"\n{made}\n" if "\n" in match["body"] else made) + match["close"]

    return _BLOCK.sub(fill, text)


def rewrite(path: Path, makers: Makers) -> bool:
    """Rewrites the blocks of a file; returns whether that changed it."""
    old = path.read_text(encoding="utf-8")
    new = render(old, makers)
    if new != old:
        path.write_text(new, encoding="utf-8")
    return new != old
