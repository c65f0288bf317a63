"""Computes which reducer gets a key, as Hadoop streaming does; and makes keys that go to chosen reducers."""
from functools import lru_cache

import numpy as np


@lru_cache(1 << 16)
def partition(key: bytes, reducers: int, sort_values: bool = False) -> int:
    """The number of the reducer to which Hadoop streaming sends `key`.

    Text.hashCode starts at 1. KeyFieldBasedPartitioner, which mrjob uses if SORT_VALUES is set, starts at 0."""
    code = 0 if sort_values else 1
    for byte in key:
        code = (31 * code + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % reducers


_LETTERS = b"0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(None)
def _suffix_hashes(length: int) -> np.ndarray:
    """For each suffix of this length, what it adds to the hash of the key."""
    letters = np.frombuffer(_LETTERS, np.uint8).astype(np.uint32)
    codes = np.zeros(1, np.uint32)
    for _ in range(length):
        codes = (codes[:, None] * np.uint32(31) + letters).ravel()
    return codes


def spread(names: list[str], reducers: int, sort_values: bool = False) -> list[str]:
    """Keys "name.suffix", of which key i goes to reducer i % reducers. Takes the shortest suffix that does so, and
    the smallest of these."""
    return [_key(name + ".", i % reducers, reducers, sort_values) for i, name in enumerate(names)]


def _key(stem: str, wanted: int, reducers: int, sort_values: bool) -> str:
    before = partition(stem.encode(), 1 << 32, sort_values)
    for length in range(1, 6):
        # the hash is linear, so one line computes it for all suffixes of a length
        codes = _suffix_hashes(length) + np.uint32(before * 31**length & 0xFFFFFFFF)
        fits = (codes & np.uint32(0x7FFFFFFF)) % np.uint32(reducers) == wanted
        if fits.any():
            code = int(fits.argmax())
            places = [36**i for i in reversed(range(length))]
            return stem + "".join(chr(_LETTERS[code // place % 36]) for place in places)
    raise ValueError(f"found no key that starts with {stem!r} and goes to reducer {wanted} of {reducers}")
