"""Turns upright RGB pictures into a network's input, as transformers' and timm's own processors do."""
