"""The library speaks to applications: its sentences name no flag and no command of the command line."""

from __future__ import annotations

import ast
import re

from support import ROOT

COMMAND_LINE = re.compile(r"(?<![\w-])--[a-z]|gender-classifier (?!\[)[a-z]|`gender-classifier|models add")


def test_no_sentence_of_the_library_names_a_flag_or_a_command():
    found = []
    for path in sorted((ROOT / "runtime").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        bodies = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
        docstrings = {id(first.value) for first in bodies if isinstance(first, ast.Expr)}
        found += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if COMMAND_LINE.search(node.value)
        ]
    assert found == []
