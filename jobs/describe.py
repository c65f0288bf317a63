"""Computes the moments of layers' inputs: reads blocks, writes one record of exact (n, mean, M2) per shard."""
from mrdl.jobs.evaluate import Evaluate


class Describe(Evaluate):
    """Map: run each shard of the split forward. There is no reducer: the driver merges the records in the shards' order."""


if __name__ == "__main__":
    Describe.run()
