"""Readers of raw inputs, a file for each form."""
