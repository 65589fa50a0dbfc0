"""Lists, adds, verifies and removes models."""
