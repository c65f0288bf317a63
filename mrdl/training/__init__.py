"""Training and scoring of a model in one process."""
