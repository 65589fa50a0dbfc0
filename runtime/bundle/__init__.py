"""Finds, opens and checks model folders."""
