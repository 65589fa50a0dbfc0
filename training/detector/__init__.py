"""Trains the face detector that the package carries: data, canvases, network, losses, export, evaluation."""
