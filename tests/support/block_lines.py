"""A shard's lines for a worker."""
import numpy as np

from mrdl.data import blocks


def shard(number=0, sizes=(10, 10, 5), role="train", seed=0):
    """The lines of a shard whose x[:, 0] are its row numbers."""
    rng, lines, row, before = np.random.default_rng(seed), [], 0, ""
    for index, n in enumerate(sizes):
        x = rng.standard_normal((n, 4)).astype("f4")
        x[:, 0] = np.arange(row, row + n)
        lines.append(blocks.pack({"x": x, "y": rng.integers(0, 3, n).astype("i4")}, dataset="d",
                                 shard=number, index=index, role=role, before=before))
        before = blocks.unpack(lines[-1]).seal
        row += n
    return lines
