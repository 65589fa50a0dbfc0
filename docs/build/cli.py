"""Makes the lists of options in docs/cli.md from the parsers of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from gender_classifier.evaluation import arguments as evaluate
from gender_classifier.export import command as export
from gender_classifier.gender_cli import arguments as classify
from gender_classifier.gender_cli.models import command as models
from gender_classifier.gender_cli.sorting import command as sort

from .blocks import Makers

__all__ = ["MAKERS"]


def options(_: str) -> str:
    """Returns the options of every command, a section each."""
    parsers = (
        classify.build_parser(),
        sort.build_parser(),
        models.build_parser(),
        export.build_parser(),
        evaluate.build_parser(),
    )
    return "\n".join(line for parser in parsers for line in _section(parser))


def _section(parser: argparse.ArgumentParser) -> Iterator[str]:
    # argparse has no public way to its actions; --help itself words them differently from one Python to the next.
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    below = next((action.choices for action in actions if isinstance(action, argparse._SubParsersAction)), {})
    yield f"## `{parser.prog}{'' if below else _positionals(actions)}`\n"
    yield f"{parser.description}\n"
    if below:
        for command in below.values():
            yield from _section(command)
        return
    if actions:
        yield "| | |\n|---|---|"
    for action in actions:
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        yield f"| {_name(action)} | {text.replace('|', chr(92) + '|')} |"
    yield ""


def _positionals(actions: list[argparse.Action]) -> str:
    names = [str(action.metavar or action.dest) for action in actions if not action.option_strings]
    return "".join(f" {name}" for name in names)


def _name(action: argparse.Action) -> str:
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    takes = "" if action.nargs == 0 else f" {value}"
    names = [f"{name}{takes}" for name in action.option_strings] or [str(value)]
    return ", ".join(f"`{name}`".replace("|", "\\|") for name in names)


MAKERS: Makers = {"options": options}
