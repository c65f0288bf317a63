"""Raw files to a dataset, seen from the driver."""
