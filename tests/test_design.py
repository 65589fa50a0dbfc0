"""The walls of docs/design.md: who may import whom. Read from the source, so that no import hides in a function."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ROOT

ROOMS = ("runtime", "gender_cli", "export", "evaluation")
KNOWN = sys.stdlib_module_names | {"gender_classifier", "main"}
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The names that a file imports, ours without ``gender_classifier.``, and whether importing it does so."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(n)
        for each in ast.walk(tree)
        if isinstance(each, ast.If) and "TYPE_CHECKING" in ast.unparse(each.test)
        for n in ast.walk(each)
    }
    later = {id(n) for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) for n in ast.walk(each)}
    package = ("gender_classifier", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name.removeprefix("gender_classifier."), id(node) not in later


def arrows(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of this package that a file imports."""
    for name, now in imports(path):
        found = name if name in MODULES else name.rpartition(".")[0]
        if found in MODULES and MODULES[found] != path:
            yield found, now


def floors() -> dict[str, int]:
    """The floor of every room and module that the page names, ``runtime/decode`` as ``runtime.decode``."""
    rows = re.findall(r"^\| (\d) \| (.+?) \|", PAGE, re.MULTILINE)
    return {name.replace("/", "."): int(floor) for floor, cell in rows for name in re.findall(r"`([\w/]+)`", cell)}


def floor_of(module: str) -> int:
    known = floors()
    while module not in known:
        module, dot, _ = module.rpartition(".")
        assert dot, f"docs/design.md names no floor for {module}"
    return known[module]


def test_no_circle() -> None:
    graph = {name: [found for found, now in arrows(path) if now] for name, path in MODULES.items()}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_from_a_higher_floor(module: str) -> None:
    upward = {found for found, _ in arrows(MODULES[module]) if floor_of(found) > floor_of(module)}
    assert not upward


@pytest.mark.parametrize("room", ["runtime", "export", "evaluation", "training"])
def test_only_the_command_line_uses_the_command_line(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert [name for name, _ in imports(path) if name.startswith("gender_cli")] == [], path


def test_what_is_imported_with_a_room_is_what_the_page_allows() -> None:
    """Third-party packages at the top of a module; what a function imports may be an extra that is not installed."""
    for room, cell in re.findall(r"^\| `(runtime|gender_cli)/` \|[^|]+\| ([^|]+) \|", PAGE, re.MULTILINE):
        allowed = set(re.findall(r"\w+", cell.replace("Pillow", "PIL")))
        for path in (ROOT / room).rglob("*.py"):
            for name, now in imports(path):
                top = name.partition(".")[0]
                if now and MODULES.keys().isdisjoint({name, name.rpartition(".")[0]}) and top not in KNOWN:
                    assert top in allowed, (path, name)
