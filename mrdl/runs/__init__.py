"""A run's folder: its files, which driver may write to it, and when the run ends."""
