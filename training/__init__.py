"""The recipes of what ships: the classifier here, the face detector in ``training.detector``."""
