"""The image processors the runtime knows: their steps, their classes as data, and the reading of their settings."""
