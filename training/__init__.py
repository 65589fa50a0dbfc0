"""The recipe of the built-in model: licence-clean portraits -> a small checkpoint in transformers' format."""
