"""Hashes of rows and their lines against hashlib and binascii, and features as a dataset has them against NumPy."""
from binascii import b2a_base64
from hashlib import blake2b

import numpy as np
import pytest
from mrdl.kernels import rows

from mrdl.data.tables.words import Words

RANDOM = np.random.default_rng(0)
SIZES = [0, 1, 2, 3, 127, 128, 129, 255, 256, 257, 1000]
ROWS = [RANDOM.bytes(size) for size in [*SIZES, *np.repeat(SIZES, 9), *RANDOM.integers(0, 300, 200)]]      # also eight alike and more


@pytest.mark.parametrize("salt, person", [(b"", b""), (b"12345678", b"p" * 16), (b"s" * 16, b"x")])
def test_hashes_are_those_of_hashlib(salt, person):
    words, out = Words.of(ROWS), np.empty(len(ROWS), "u8")
    rows.hashes(words.data, words.starts, words.stops, salt, person, out)
    assert out.tolist() == [int.from_bytes(blake2b(row, digest_size=8, salt=salt, person=person).digest(), "big") for row in ROWS]


def test_hashes_of_columns_of_tables():
    ends = np.stack([np.arange(20) * 5, np.arange(20) * 5 + 3], axis=1)
    out, data = np.empty(20, "u8"), RANDOM.bytes(100)
    rows.hashes(data, ends[:, 0], ends[:, 1], b"", b"", out)
    assert out.tolist() == [int.from_bytes(blake2b(data[a:b], digest_size=8).digest(), "big") for a, b in ends.tolist()]
    for wrong in (lambda: rows.hashes(data, ends[:, 0], ends[:, 1] + 3, b"", b"", out),
                  lambda: rows.hashes(data, ends[:, 0], ends[:, 1], b"s" * 17, b"", out),
                  lambda: rows.hashes(data, ends[:, 0], ends[:, 1], b"", b"", out[1:])):
        with pytest.raises(ValueError, match="within its data|16 bytes at most|a place for each"):
            wrong()


def test_lines_are_key_hash_and_base64_in_the_order_that_is_asked_for():
    words, keys, n = Words.of(ROWS), Words.of([b"00000", b"00001.ab", b"2"]), len(ROWS)
    hashes, which, order = RANDOM.integers(0, 2**64, n, "u8"), RANDOM.integers(0, 3, n), RANDOM.permutation(n)[:n - 5]
    wanted = b"".join(keys[which[i]] + b"\t%016x\t" % hashes[i] + b2a_base64(ROWS[i]) for i in order)

    def lines(which, order, out):
        return rows.lines(words.data, words.starts, words.stops, hashes, keys.data, keys.starts, keys.stops, which, order, out)
    out = np.empty(len(wanted), "u1")
    assert lines(which, order, out) == len(wanted) and out.tobytes() == wanted
    for wrong in ((which, order, out[1:]), (which + 1, order, out), (which, order - 1, out), (which[1:], order, out)):
        with pytest.raises(ValueError, match="too small|no such row or key|has a hash"):
            lines(*wrong)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("order", "CF")
def test_features_are_stored_as_numpy_rounds_them(dtype, order):
    x = np.array(RANDOM.choice([0, -0.0, 1, 255, 256, -1, 0.5, 1e-60, -1e-60, 1e39, 2 + 1e-12, np.nan, np.inf], (100, 37), p=[0.79] + [0.0175] * 12),
                 order=order)
    x[:40][~((x[:40] >= 0) & (x[:40] <= 255))] = 7.0
    out, flags = np.empty(x.shape, dtype), np.empty((3, 100), "u1")
    rows.store(x, out, *flags)
    with np.errstate(all="ignore"):
        wanted = x.astype(dtype) + np.zeros((), dtype)
        whole = (wanted.astype("u1") == wanted).all(1)
    assert out.tobytes() == np.ascontiguousarray(wanted).tobytes() and whole.any() and not whole.all()
    assert flags.tolist() == [whole.tolist(), np.isfinite(x).all(1).tolist(), np.isfinite(wanted).all(1).tolist()]


def test_base64_is_decoded_and_what_is_none_is_refused():
    texts, out, ends = Words.of(b2a_base64(row, newline=False) for row in ROWS), np.empty(sum(map(len, ROWS)) + 3 * len(ROWS), "u1"), np.empty(len(ROWS), "i8")
    rows.decode(texts.data, texts.starts, texts.stops, out, ends)
    assert ends.tolist() == np.cumsum([len(row) for row in ROWS]).tolist() and out[:ends[-1]].tobytes() == b"".join(ROWS)
    for wrong in (b"AAA", b"A AA", b"AA=A", b"====", b"\xffAAA", b"AAA==AAA"):
        with pytest.raises(ValueError, match="not of four characters|not base64"):
            rows.decode(wrong, np.array([0]), np.array([len(wrong)]), out, ends[:1])


def test_parts_of_fields_are_cut_and_packed():
    words = Words.of(ROWS).take(slice(0, None, 3))
    long = words.take(words.lengths >= 100)
    out = np.empty((len(long), 90), "u1")
    rows.cut(long.data, long.starts + 7, long.stops, out)
    assert [row.tobytes() for row in out] == [row[7:97] for row in long]
    with pytest.raises(ValueError, match="does not fit"):
        rows.cut(words.data, words.starts, words.stops, out)
    both = Words.together([words, long])
    assert list(both) == [*words, *long] and len(both.data) == both.lengths.sum()
