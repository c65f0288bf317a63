"""The data that the driver and its workers exchange about a round."""
