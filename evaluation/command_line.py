"""Runs ``gender-classifier evaluate``: reports, comparison, calibration."""

from __future__ import annotations

import sys

from ..runtime.errors import ClassifierError
from ..runtime.escaping import printable_lines
from ..runtime.installing import install_command
from .arguments import parse

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        0; 2 when the command could not be carried out.
    """
    arguments = parse(sys.argv[1:] if words is None else words)
    try:
        from .commands import run

        return run(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("sklearn", "pandas", "matplotlib"):
            raise
        needed = install_command("evaluation")
        print(f"evaluation: the package {package} is missing. To install what measures: {needed}", file=sys.stderr)
    except ClassifierError as error:
        print(f"evaluation: {printable_lines(str(error))}", file=sys.stderr)
    except OSError as error:
        what = printable_lines(f"{error.filename or 'a file'}: {error.strerror or error}")
        print(f"evaluation: {what}", file=sys.stderr)
    return 2
