"""Partial lines survive the wire or are refused; merging is the weighted mean, in worker order."""
import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrdl.driver.schedule import chunk_keys
from mrdl.rounds import partial
from mrdl.rounds.partial import RECORD, Partial, PartialError, PartialProtocol, averaged, merge
from mrdl.runners.partitioning import partition

FLOATS = st.lists(st.floats(width=32), max_size=40)


@settings(deadline=None, derandomize=True)
@given(FLOATS, st.integers(0, 999999), st.integers(0, 10 ** 12 - 1), st.sampled_from(["f4", "f8"]))
def test_a_partial_line_is_ascii_and_gives_back_every_bit(values, worker, n, dtype):
    protocol, array = PartialProtocol(dtype), np.array(values, dtype)
    line = protocol.write("000003.a", Partial(worker, n, array))
    assert line.isascii() and line.count(b"\t") == 3 and line == line.rstrip(b"\r\n")
    chunk, read = protocol.read(line)
    assert (chunk, read.worker, read.n) == ("000003.a", worker, n)
    assert read.values.tobytes() == array.tobytes()


def test_a_record_gives_back_its_object():
    line = PartialProtocol().write(RECORD, Partial(1, 2, {"loss": 0.5, "where": "tab\there"}))
    assert PartialProtocol().read(line) == (RECORD, Partial(1, 2, {"loss": 0.5, "where": "tab\there"}))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_damaged_partial_is_refused_or_keeps_its_form(data):
    """Cuts and flips: whatever is still read has whole values and sane numbers."""
    line = bytearray(PartialProtocol().write("000001.b", Partial(3, 70, np.arange(9, dtype="f4"))))
    if data.draw(st.booleans()):
        del line[data.draw(st.integers(0, len(line) - 1)):]
    else:
        line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        _, read = PartialProtocol().read(bytes(line))
    except PartialError as error:
        assert "damaged partial" in str(error)
    else:
        assert read.worker >= 0 and read.n >= 0 and read.values.dtype == "f4"


@pytest.mark.parametrize("line", [
    b"", b"a\tb\tc\td", b"000000.a\t1\t2", b"000000.a\t1\t2\tAAAA", b"000000.a\t-1\t2\tAAAAAA==",
    b"000000.a\t1\t2\tAAAAAA==\textra", b"record\t1\t2\t" + base64.b64encode(b"[1]"),
    b"record\t1\t2\t" + base64.b64encode(b"[" * 100000), b"\xff\t1\t2\tAAAAAA=="])
def test_lines_that_are_no_partials_are_refused(line):
    with pytest.raises(PartialError):
        PartialProtocol().read(line)


def merged(partials):
    ((_, found),) = partial.merge("000000.a", partials)
    return found


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 8), st.integers(0, 2 ** 32))
def test_the_merge_is_the_mean_weighted_by_examples(workers, seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 10000, workers)
    values = rng.standard_normal((workers, 20)).astype("f4")
    found = merged([Partial(i, int(n[i]), values[i]) for i in range(workers)])
    assert (found.worker, found.n) == (workers, n.sum())
    np.testing.assert_allclose(found.values, (n @ values.astype("f8")) / n.sum(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_single_partial_passes_untouched(dtype):
    values = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    assert merged([Partial(0, 49, values)]).values.tobytes() == values.tobytes()


@pytest.mark.parametrize("partials, reason", [
    ([Partial(1, 5, np.ones(3, "f4")), Partial(1, 5, np.ones(3, "f4"))], "worker 1 after worker 1"),
    ([Partial(2, 5, np.ones(3, "f4")), Partial(1, 5, np.ones(3, "f4"))], "in worker order"),
    ([Partial(0, 5, np.ones(3, "f4")), Partial(1, 5, np.ones(4, "f4"))], "4 values from worker 1")])
def test_partials_that_do_not_belong_together_are_not_averaged(partials, reason):
    with pytest.raises(PartialError, match=reason):
        merged(partials)


def test_records_are_not_averaged():
    records = [Partial(0, 1, {"a": 1}), Partial(0, 1, {"a": 2})]
    assert list(partial.merge(RECORD, records)) == [(RECORD, p) for p in records]


@pytest.mark.parametrize("size", [1, partial.CHUNK, partial.CHUNK + 1, 5 * partial.CHUNK - 7])
@pytest.mark.parametrize("reducers", [1, 2, 3])
def test_chunks_cover_the_vector_and_are_dealt_evenly_to_the_reducers(size, reducers):
    keys = chunk_keys(size, reducers)
    ranges = partial.ranges(size, keys)
    assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])] and ranges[-1][1] == size
    assert all(0 < b - a <= partial.CHUNK for a, b in ranges)
    assert keys[-1] == RECORD and len(keys) == len(ranges) + 1 == len(set(keys))
    reducers = min(reducers, len(ranges))       # no more than there are chunks
    dealt = [partition(key.encode(), reducers, True) for key in keys[:-1]]
    assert dealt == [i % reducers for i in range(len(ranges))]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", [(3, 2, 320), (0, 7), (0, 0), (5,)])
def test_a_mean_of_what_is_at_hand_has_the_bits_of_the_reducers(n, dtype):
    rng, out = np.random.default_rng(1), np.empty(1500, dtype)
    partials = [Partial(worker, each, rng.standard_normal(1500).astype(dtype)) for worker, each in enumerate(n)]
    (_, mean), = merge("", partials)
    found = averaged(partials, out)
    assert found.values is out and out.tobytes() == mean.values.tobytes() and found[:2] == mean[:2]
