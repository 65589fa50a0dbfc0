"""Runs ``gender-classifier evaluate``: reports, comparison, calibration."""

from __future__ import annotations

import sys

from ..runtime.errors import ClassifierError
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
        print(f"evaluation: {package} is missing. pip install 'gender-classifier[evaluation]'", file=sys.stderr)
    except ClassifierError as error:
        print(f"evaluation: {error}", file=sys.stderr)
    except OSError as error:
        print(f"evaluation: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
    return 2
