"""Runs the exporter from a checkout: ``python -m export``, or ``python path/to/export`` from any working folder."""

import sys
from pathlib import Path

if __package__ in ("", "export"):  # not inside the installed package: the checkout comes first
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gender_classifier.export.command import main

sys.exit(main())
