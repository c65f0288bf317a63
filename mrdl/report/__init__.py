"""Shows what a run has measured, to people and to monitoring."""
