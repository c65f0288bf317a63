"""Trains and scores a model in one process."""
