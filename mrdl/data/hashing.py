"""Hashes of rows, many at once."""
import numpy as np

from mrdl.data.tables.words import Words
from mrdl.kernels import rows as kernel


def blake2b(rows: Words, salt: bytes, person: bytes = b"") -> np.ndarray:
    """uint64[n], which hexadecimal digits show in the order of the digest's 8 bytes."""
    out = np.empty(len(rows), "u8")
    kernel.hashes(rows.data, rows.starts, rows.stops, salt, person, out)
    return out
