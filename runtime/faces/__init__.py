"""Finds faces and cuts them out."""
