"""The rows of a shard."""
import numpy as np

from mrdl.data import blocks


def rows(shard) -> dict[str, np.ndarray]:
    """All arrays of a shard, in the order of its blocks."""
    with open(shard.path, "rb") as file:
        parts = [blocks.unpack(line.rstrip(b"\n")).arrays() for line in file]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
