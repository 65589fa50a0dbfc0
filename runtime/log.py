"""Gives the library's one logger: silent until an application configures logging."""

import logging

__all__ = ["logger"]

logger = logging.getLogger("gender_classifier")
logger.addHandler(logging.NullHandler())
