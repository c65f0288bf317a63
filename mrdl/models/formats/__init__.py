"""The formats in which models are written and read."""
