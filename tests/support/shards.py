"""The rows of a shard."""
import numpy as np

from mrdl.data import blocks
from mrdl.data.reference import expanded


def rows(shard) -> dict[str, np.ndarray]:
    """All arrays of a shard, in the order of its blocks."""
    with open(shard.path, "rb") as file:
        parts = [blocks.unpack(line).arrays() for line in expanded(line.rstrip(b"\n") for line in file)]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
