"""Which model: from a name, a path or nothing at all to the folder of a bundle.

Precedence, first hit wins: the argument, then ``GENDER_CLASSIFIER_MODEL``, then an exported bundle in a ``models/``
folder, then the built-in bundle.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import ModelNotFoundError
from .bundle import is_bundle

__all__ = [
    "BUILTIN_NAME",
    "MODELS_VARIABLE",
    "MODEL_VARIABLE",
    "Located",
    "builtin_path",
    "default_output_dir",
    "expanded",
    "find",
    "installed",
    "is_folder",
    "locate",
    "search_path",
    "user_dir",
]

BUILTIN_NAME: Final = "gender-small"
MODEL_VARIABLE: Final = "GENDER_CLASSIFIER_MODEL"
MODELS_VARIABLE: Final = "GENDER_CLASSIFIER_MODELS"

_PACKAGE: Final = Path(__file__).resolve().parents[2]  # the checkout, or gender_classifier/ where it is installed


@dataclass(frozen=True)
class Located:
    """A bundle's folder, and whether it is the built-in one that nobody asked for by name."""

    path: Path
    is_fallback: bool


def locate(model: str | os.PathLike[str] | None = None) -> Located:
    """Chooses the bundle, by the precedence above.

    Among several exported bundles the one exported last wins (modification time of its manifest).

    Raises:
        ModelNotFoundError: If the name or path leads nowhere; the message lists the names there are.
    """
    if model is None:
        model = os.environ.get(MODEL_VARIABLE) or None
    if model is not None:
        return Located(find(model), is_fallback=False)
    exported = [path for path in installed() if path.name != BUILTIN_NAME]
    if exported:
        return Located(max(exported, key=lambda path: (path / "bundle.json").stat().st_mtime), is_fallback=False)
    return Located(builtin_path(), is_fallback=True)


def find(model: str | os.PathLike[str]) -> Path:
    """Returns the folder of a bundle from its path or its name.

    Something that looks like a path (it has a separator, or such a folder exists here) is a path; a bare word is looked
    up in :func:`search_path`, then among the built-in names.

    Raises:
        ModelNotFoundError: If there is nothing of that name.
    """
    text = os.fspath(model)
    path = expanded(text)
    if is_bundle(path):
        return path
    is_bare = Path(text).name == text and text not in ("", ".", "..")
    if is_bare:
        for folder in search_path():
            if is_bundle(folder / text):
                return folder / text
        if text == BUILTIN_NAME:
            return builtin_path()
    if is_folder(path):
        raise ModelNotFoundError(
            f"The folder {path} is no model bundle: it has no bundle.json. Make one with `gender-classifier export`, "
            "or add a ready ONNX repository with `gender-classifier models add`."
        )
    names = sorted({*(found.name for found in installed()), BUILTIN_NAME})
    hint = (
        f"To bring that model from the Hub: gender-classifier export {text}"
        if text.count("/") == 1 and not text.startswith((".", "/", "~"))
        else "`gender-classifier models list` shows them with their folders."
    )
    raise ModelNotFoundError(f"There is no model {text!r}. Models here: {', '.join(names)}. {hint}")


def expanded(text: str) -> Path:
    """Returns a path with ``~`` and ``~user`` replaced, where there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody, who is not known here
        return Path(text)


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; a name that no file system takes, or that may not be looked at, does not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def installed() -> list[Path]:
    """Returns the folders of all bundles on the search path, a name's first hit only, sorted by name."""
    found: dict[str, Path] = {}
    for folder in search_path():
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if not entry.name.startswith(".") and is_bundle(entry):
                found.setdefault(entry.name, entry)
    return [found[name] for name in sorted(found)]


def search_path() -> list[Path]:
    """Returns the folders that hold bundles by name, first choice first.

    ``GENDER_CLASSIFIER_MODELS`` (one or more folders, separated as ``PATH`` is) stands in for all others when set.
    Otherwise: the checkout's ``models/`` when the package runs from one, and the user's model folder. The current
    folder is not searched: a downloaded archive must not choose the model by where somebody happens to stand.
    """
    variable = os.environ.get(MODELS_VARIABLE)
    if variable:
        return [expanded(part) for part in variable.split(os.pathsep) if part]
    checkout = _checkout_models()
    return [user_dir()] if checkout is None else [checkout, user_dir()]


def default_output_dir() -> Path:
    """Returns where a new bundle goes unless told otherwise: the first folder of the search path."""
    return search_path()[0]


def user_dir() -> Path:
    """Returns the user's model folder, following each platform's custom; it may not exist yet."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "gender-classifier" / "models"


def builtin_path() -> Path:
    """Returns the folder of the built-in bundle: inside the installed package, or in the checkout.

    Raises:
        ModelNotFoundError: If neither is there, which means a broken installation.
    """
    path = _PACKAGE / "models" / BUILTIN_NAME
    if is_bundle(path):
        return path
    raise ModelNotFoundError("The built-in model is missing from this installation; install the package again.")


def _checkout_models() -> Path | None:
    """Returns ``models/`` of the checkout this package runs from, or ``None`` when it is an installed copy."""
    models = _PACKAGE / "models"
    return models if (_PACKAGE / "pyproject.toml").is_file() and models.is_dir() else None
