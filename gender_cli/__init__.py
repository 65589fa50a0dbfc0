"""The parts of the command line, and the gender vocabulary."""
