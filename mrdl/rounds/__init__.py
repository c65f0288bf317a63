"""What driver and workers tell each other about a round."""
