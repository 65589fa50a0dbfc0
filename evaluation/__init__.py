"""Measures how good a model is, for whom, and where it fails."""
