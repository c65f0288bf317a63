"""Datasets: raw inputs, rows, shards, blocks."""
