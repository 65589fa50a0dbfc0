"""Chooses the model, and finds a bundle's folder on this machine from a name or a path."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final, Literal, NamedTuple

from ..errors import ModelNotFoundError, NotABundleError, StoreError
from .bundle import is_bundle
from .manifest import MANIFEST_NAME

__all__ = [
    "BUILTIN_NAME",
    "MODELS_VARIABLE",
    "MODEL_VARIABLE",
    "PACKAGE",
    "Choice",
    "builtin_path",
    "choose",
    "default_output_dir",
    "expanded",
    "find",
    "installed",
    "is_folder",
    "is_hub_id",
    "search_path",
    "user_dir",
]

BUILTIN_NAME: Final = "gender-small"
MODEL_VARIABLE: Final = "GENDER_CLASSIFIER_MODEL"
MODELS_VARIABLE: Final = "GENDER_CLASSIFIER_MODELS"

_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)

PACKAGE: Final = Path(__file__).resolve().parents[2]  # the checkout, or gender_classifier/ where it is installed


class Choice(NamedTuple):
    """Which model is used, and what chose it.

    Attributes:
        model: Its name, path or ``ORG/NAME``; ``None`` is the built-in one.
        by: What chose it.
    """

    model: str | os.PathLike[str] | None
    by: Literal["argument", "variable", "exported", "built-in"]


def choose(model: str | os.PathLike[str] | None = None, *, exported: bool = False) -> Choice:
    """Chooses the model; first hit wins: the argument, ``GENDER_CLASSIFIER_MODEL``, an exported one, the built-in one.

    Args:
        model: The argument.
        exported: Whether the bundle exported last counts (modification time of its manifest). To a command line it
            does; the answers of an application must not change because its user exports something.
    """
    if model is not None:
        return Choice(model, "argument")
    if variable := os.environ.get(MODEL_VARIABLE):
        return Choice(variable, "variable")
    others = [path for path in installed() if path.name != BUILTIN_NAME] if exported else []
    return Choice(max(others, key=_written), "exported") if others else Choice(None, "built-in")


def find(model: str | os.PathLike[str]) -> Path:
    """Returns the folder of a bundle from its name or its path.

    A bare word (a string without a separator) is a name first: a folder that happens to lie in the current one does not
    stand in for the model of that name, and is meant by ``./word``. A :class:`~pathlib.Path` is always a path.

    Raises:
        NotABundleError: If the path leads to a folder that is not a bundle.
        ModelNotFoundError: If there is nothing of that name.
    """
    text = os.fspath(model)
    if isinstance(model, str) and (named := _named(text)) is not None:
        return named
    path = expanded(text)
    if is_bundle(path):
        return path
    if is_folder(path):
        raise NotABundleError(f"The folder {path} is not a model bundle: it has no {MANIFEST_NAME}.")
    names = sorted({*(found.name for found in installed()), BUILTIN_NAME})
    raise ModelNotFoundError(f"There is no model {text!r}. Models here: {', '.join(names)}.")


def _named(text: str) -> Path | None:
    if Path(text).name != text or text.startswith("."):
        return None
    for folder in search_path():
        if is_bundle(folder / text):
            return folder / text
    return builtin_path() if text == BUILTIN_NAME else None


def expanded(text: str) -> Path:
    """Returns a path with ``~`` and ``~user`` replaced, where there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a user who is not known here, or no home
        return Path(text)


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ``ORG/NAME``."""
    return bool(_HUB_ID.fullmatch(text)) and ".." not in text


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
    Otherwise: the checkout's ``models/`` when the package runs from one, and the user's model folder where there is a
    home for it. The current folder is not searched: a downloaded archive must not choose the model by where it lies.
    """
    variable = os.environ.get(MODELS_VARIABLE)
    if variable:
        return [expanded(part) for part in variable.split(os.pathsep) if part]
    return [folder for folder in (_checkout_models(), _user_dir()) if folder is not None]


def default_output_dir() -> Path:
    """Returns where a new bundle goes unless told otherwise: the first folder of the search path.

    Raises:
        StoreError: If there is none, for want of a home.
    """
    return next(iter(search_path()), None) or user_dir()


def user_dir() -> Path:
    """Returns the user's model folder, following each platform's custom; it may not exist yet.

    Raises:
        StoreError: If this user has no home; the message says what to set.
    """
    folder = _user_dir()
    if folder is None:
        raise StoreError(
            f"This user has no home folder, so there is no place to keep models in. Set {MODELS_VARIABLE} to a folder "
            "that holds them, or XDG_DATA_HOME to one for the data of all programs."
        )
    return folder


def _user_dir() -> Path | None:
    variable = {"win32": "LOCALAPPDATA", "darwin": None}.get(sys.platform, "XDG_DATA_HOME")
    below_home = {"win32": "AppData/Local", "darwin": "Library/Application Support"}.get(sys.platform, ".local/share")
    base = os.environ.get(variable) if variable else None
    try:
        data = Path(base) if base else Path.home() / below_home
    except RuntimeError:  # HOME is not set, and the user is not in the list of users: a container, a service
        return None
    return data / "gender-classifier" / "models"


def builtin_path() -> Path:
    """Returns the folder of the built-in bundle: inside the installed package, or in the checkout.

    Raises:
        ModelNotFoundError: If neither is there, which means a broken installation.
    """
    path = PACKAGE / "models" / BUILTIN_NAME
    if is_bundle(path):
        return path
    raise ModelNotFoundError(
        "The built-in model is missing from this application: the program that froze it has to collect the data files "
        "of the package gender_classifier, too."
        if getattr(sys, "frozen", False)  # set by PyInstaller and its like
        else "The built-in model is missing from this installation; install the package again."
    )


def _written(bundle: Path) -> float:
    try:
        return (bundle / MANIFEST_NAME).stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def _checkout_models() -> Path | None:
    """Returns ``models/`` of the checkout this package runs from, or ``None`` when it is an installed copy."""
    models = PACKAGE / "models"
    return models if (PACKAGE / "pyproject.toml").is_file() and models.is_dir() else None
