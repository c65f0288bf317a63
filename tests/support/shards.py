"""The rows of a shard."""
import numpy as np

from mrdl.data import blocks
from mrdl.data.reference import expanded


def rows(shard) -> dict[str, np.ndarray]:
    """All arrays of a shard, in the order of its blocks."""
    with open(shard.path, "rb") as file:
        parts = [blocks.unpack(line).arrays() for line in expanded(line.rstrip(b"\n") for line in file)]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}


def in_one_fit(model, data):
    """The model, trained by one fit on the rows of the only shard, in the minibatches that one worker takes in two epochs."""
    whole = rows(data.train()[0])
    model.fit(whole["x"], whole["y"], sample_weight=whole["w"], batch_size=8, epochs=2, seed=3, verbose=0)
    return model
