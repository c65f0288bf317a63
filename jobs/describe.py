"""The moments of what reaches layers: blocks in, one record of exact (n, mean, M2) per shard out."""
from mrdl.jobs.evaluate import Evaluate


class Describe(Evaluate):
    """Map: forward each shard of the split. Nothing is reduced: the driver merges in the shards' order."""


if __name__ == "__main__":
    Describe.run()
