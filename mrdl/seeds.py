"""Random streams keyed by what they are for, never by who runs them: the same numbers everywhere."""
import hashlib

import numpy as np


def key(*parts: int | str) -> int:
    """64 bits that depend on every part, in order."""
    text = "\0".join(f"{type(p).__name__}:{p}" for p in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """A Philox generator (Salmon et al., SC 2011) of its own for these parts."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def permutation(n: int, *parts: int | str) -> np.ndarray:
    """0..n-1 in an order that depends on the parts alone, the same with every NumPy."""
    raw = np.random.Philox(key=key(*parts)).random_raw(n)
    return np.argsort(raw, kind="stable").astype(np.int64)
