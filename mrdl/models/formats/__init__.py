"""Forms in which models are written and read."""
