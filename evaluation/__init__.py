"""How good a model is, for whom, and where it fails: reports, figures, comparison, calibration."""
