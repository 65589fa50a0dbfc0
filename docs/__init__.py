"""Holds the documents, and what writes the parts of them that people do not type."""
