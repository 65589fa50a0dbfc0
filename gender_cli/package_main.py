"""Runs the command line as ``python -m gender_classifier``; a wheel holds this file as ``__main__.py``."""

import sys

from gender_classifier import main

sys.exit(main())
