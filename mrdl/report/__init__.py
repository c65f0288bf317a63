"""What a run has measured, shown to people and to monitoring."""
