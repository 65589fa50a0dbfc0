"""Says whether a person on a photograph looks like a woman or a man, with probabilities.

>>> import gender_classifier as gc
>>> gc.load().predict("photo.jpg").label  # doctest: +SKIP
'female'

This file is the whole package's face. In a wheel it is ``gender_classifier/__init__.py``; in a checkout it makes a
package of the folders beside it, so that ``python gender_classifier.py photo.jpg`` runs without an installation.
Importing it is cheap: numpy and onnxruntime load on first use.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":  # the folder of this script first, under `python -P` too
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
elif "__path__" not in globals():  # a checkout; import looks for submodules here, and resolves relative imports
    __path__ = [os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    __package__ = __name__
    if __spec__ is not None:
        __spec__.submodule_search_locations = __path__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .runtime import *  # noqa: F403


def __getattr__(name: str) -> Any:
    runtime = importlib.import_module(".runtime", __name__)
    if name == "__all__":
        return [*runtime.__all__, "main"]
    if name in runtime.__all__:
        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__getattr__("__all__"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 all well, 1 a picture failed, 2 wrong use or no model."""
    try:
        from .gender_cli.main import main as run

        return run(argv)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    from gender_classifier import main as run_checkout

    sys.exit(run_checkout())
