"""Writes what people do not type in the documents: ``python -m docs.build``."""
