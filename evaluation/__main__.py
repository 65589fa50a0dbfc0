"""Runs the evaluation from a checkout: ``python -m evaluation``, or ``python path/to/evaluation`` from anywhere."""

import sys
from pathlib import Path

if __package__ in ("", "evaluation"):  # not inside the installed package: the checkout comes first
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gender_classifier.evaluation.command_line import main

sys.exit(main())
