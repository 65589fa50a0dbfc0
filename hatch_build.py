"""Builds one package out of the checkout's top-level folders."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Where each part of the checkout lies in a wheel, below gender_classifier/.
PARTS = {
    "gender_classifier.py": "__init__.py",
    "gender_cli/package_main.py": "__main__.py",
    "py.typed": "py.typed",
    "runtime": "runtime",
    "gender_cli": "gender_cli",
    "export": "export",
    "evaluation": "evaluation",
    "models/gender-small": "models/gender-small",
    "models/face-detector": "models/face-detector",
    "examples": "examples",
}


class OnePackage(BuildHookInterface):  # type: ignore[type-arg]
    """Puts every part below ``gender_classifier``; an editable install finds them through its ``__path__`` instead."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Maps the parts, for a real wheel only."""
        if version != "editable":
            build_data["force_include"] |= {part: f"gender_classifier/{place}" for part, place in PARTS.items()}
