"""Parses command lines without repeating what could steer a terminal."""

from __future__ import annotations

import argparse
from typing import NoReturn

from .escaping import printable

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """Repeats nothing of a wrong command line that could steer the terminal: a name may have come from a pattern."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and a sentence, and exits with 2."""
        super().error(printable(message))
