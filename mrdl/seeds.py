"""Random streams, keyed by their purpose and never by the process that uses them: the same numbers everywhere."""
import hashlib

import numpy as np


def key(*parts: int | str) -> int:
    """A 64-bit key that depends on all parts and their order."""
    text = "\0".join(f"{type(p).__name__}:{p}" for p in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """A Philox generator (Salmon et al., SC 2011) whose key depends on these parts."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def permutation(n: int, *parts: int | str) -> np.ndarray:
    """A permutation of 0..n-1 that depends only on the parts, with every version of NumPy."""
    raw = np.random.Philox(key=key(*parts)).random_raw(n)
    return np.argsort(raw, kind="stable").astype(np.int64)
