"""Fixtures that several test modules share."""

from support.model_fixtures import foreign, hub, models, run

__all__ = ["foreign", "hub", "models", "run"]
