"""Decodes pictures within limits."""
