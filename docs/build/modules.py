"""Makes the list of modules in docs/modules.md from their docstrings."""

from __future__ import annotations

import ast
import re

from .blocks import ROOT, Makers

__all__ = ["MAKERS"]


def modules(folder: str) -> str:
    """Returns a table of the modules in a folder of the checkout, each with the first sentence of its docstring."""
    lines = ["| module | |", "|---|---|"]
    for path in sorted((ROOT / folder).glob("[!_]*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        says = re.sub(r":\w+:`[~.]?([\w.]+)`", r"`\1`", " ".join(first.replace("``", "`").split())).replace("|", "\\|")
        lines.append(f"| [{path.stem}](../{path.relative_to(ROOT).as_posix()}) | {says} |")
    return "\n".join(lines)


MAKERS: Makers = {"modules": modules}
