"""Says how to install what is missing, with a command that works from where the user is.

No package of this name is on an index: a checkout is installed by its path, and an installed copy gets the packages
that its extra names.
"""

from __future__ import annotations

import os

__all__ = ["install_command"]

# --help names the command, and pathlib takes longer to import than all of it:
# ruff: noqa: PTH113, PTH118, PTH120, PTH121

_ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_IS_CHECKOUT = os.path.isfile(os.path.join(_ROOT, "pyproject.toml"))


def install_command(extra: str | None = None) -> str:
    """Returns the command, in quotes that any shell takes.

    Args:
        extra: One of pyproject.toml's, such as ``export``; what the package itself needs if left out.
    """
    if _IS_CHECKOUT:
        place = os.curdir if _is_here(_ROOT) else _ROOT
        wanted = [f"{place}[{extra}]" if extra else place]
    else:
        wanted = list(_requirements(extra))
    return " ".join(["pip install", *(_quoted(one) for one in wanted)])


def _is_here(folder: str) -> bool:
    try:
        return os.path.samefile(os.curdir, folder)
    except OSError:  # the working folder is gone, or may not be looked at
        return False


def _requirements(extra: str | None) -> list[str]:
    """Returns what an installed copy needs, as its metadata says: ``name>=1.0``."""
    from importlib import metadata

    try:
        lines = metadata.requires("gender-classifier") or []
    except (metadata.PackageNotFoundError, OSError):  # vendored, or not to be read
        return ["numpy", "onnxruntime", "Pillow", "tqdm", *([extra] if extra else [])]
    named = [line.partition(";") for line in lines]
    mark = f'extra=="{extra}"' if extra else ""
    return [
        name.strip()
        for name, _, marker in named
        if (mark in marker.replace("'", '"').replace(" ", "") if extra else "extra" not in marker)
    ]


def _quoted(word: str) -> str:
    return word if all(c.isalnum() or c in "./_-=" for c in word) else f'"{word}"'
