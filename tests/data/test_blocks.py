"""Block lines: what goes in comes out, and nothing damaged ever does."""
import base64
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrdl.data import blocks

PLACE = {"dataset": "abc", "shard": 3, "index": 7, "role": "train"}


def example(n=5):
    random = np.random.default_rng(0)
    return {"x": random.integers(0, 256, (n, 4, 3)).astype("u1"),
            "y": random.integers(0, 10, n).astype("i4"), "w": random.random(n).astype("f4")}


def forged(change=None, text=None, body=b""):
    """A block line whose checksums are right and whose header lies."""
    head = {**PLACE, "n": 0, "arrays": {}, "crc": zlib.crc32(body), "before": "", **(change or {})}
    text = json.dumps(head).encode() if text is None else text
    text = text.ljust((-16 - len(text)) % 48 + len(text))
    prefix = blocks.PREFIX.pack(b"mrdb", blocks.VERSION, len(text))
    return base64.b64encode(prefix + struct.pack("<I", zlib.crc32(prefix + text)) + text + body)


@st.composite
def arrays_of_one_length(draw):
    n = draw(st.integers(0, 9))
    shapes = st.lists(st.integers(0, 4), max_size=3).map(lambda tail: (n, *tail))
    array = st.sampled_from(["u1", "<u2", "<i4", "<f4", "<f8"]).flatmap(
        lambda dtype: hnp.arrays(dtype, shapes))
    return draw(st.dictionaries(st.text(max_size=5), array, min_size=1, max_size=3))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(arrays_of_one_length(), st.integers(0, 2**40), st.integers(0, 2**40),
       st.sampled_from(blocks.ROLES), st.text(max_size=12))
def test_what_is_packed_comes_out_bit_for_bit(arrays, shard, index, role, dataset):
    line = blocks.pack(arrays, dataset=dataset, shard=shard, index=index, role=role)
    assert line.isascii() and not set(line) & set(b"\t\r\n=")
    block = blocks.unpack(line)
    assert (block.dataset, block.shard, block.index, block.role) == (dataset, shard, index, role)
    found = block.arrays()
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert block.n == len(array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable
        assert found[name].flags.aligned


def test_arrays_that_are_not_contiguous_or_big_endian_come_out_equal():
    x = np.arange(12, dtype=">f4").reshape(3, 4)
    line = blocks.pack({"x": x.T}, **PLACE)
    np.testing.assert_array_equal(blocks.unpack(line).arrays()["x"], x.T)


def test_every_dtype_of_a_block_keeps_its_extremes():
    for dtype in blocks.DTYPES:
        info = np.iinfo(dtype) if dtype[0] in "ui" else np.finfo(dtype)
        values = np.array([info.min, info.max], dtype)
        found = blocks.unpack(blocks.pack({"x": values}, **PLACE)).arrays()["x"]
        assert found.dtype == values.dtype and found.tolist() == values.tolist()


def test_the_arrays_are_views_of_one_decoded_buffer():
    found = blocks.unpack(blocks.pack(example(), **PLACE)).arrays()
    assert all(array.base is not None for array in found.values())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_flipped_character_is_caught_wherever_it_is(data):
    line = bytearray(blocks.pack(example(), **PLACE))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] = data.draw(st.integers(0, 255).filter(lambda c: c != line[at]))
    with pytest.raises(blocks.BlockError):
        blocks.unpack(bytes(line)).arrays()


def test_each_flipped_bit_of_the_bytes_is_caught():
    raw = bytearray(base64.b64decode(blocks.pack(example(2), **PLACE)))
    for bit in range(8 * len(raw)):
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(blocks.BlockError):
            blocks.unpack(base64.b64encode(raw)).arrays()
        raw[bit // 8] ^= 1 << bit % 8


def test_a_line_cut_short_or_grown_is_caught_by_its_header_alone():
    line = blocks.pack(example(), **PLACE)
    for cut in range(len(line)):
        with pytest.raises(blocks.BlockError):
            blocks.unpack(line[:cut])
    with pytest.raises(blocks.BlockError, match="characters, must be"):
        blocks.unpack(line + b"AAAA")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_other_line_is_a_block_error(line):
    for candidate in (line, base64.b64encode(line), base64.b64encode(b"mrdb" + line)):
        with pytest.raises(blocks.BlockError):
            blocks.unpack(candidate).arrays()


@pytest.mark.parametrize("change", [
    {"n": -1}, {"n": 2**60}, {"n": 1.0}, {"n": True}, {"n": None}, {"shard": "0"}, {"index": -1},
    {"role": "test"}, {"role": []}, {"dataset": 5}, {"crc": -1}, {"before": None}, {"arrays": None}, {"arrays": []},
    {"arrays": {"x": ["O", [0]]}}, {"arrays": {"x": ["<f4", [0]]}}, {"arrays": {"x": ["f4", []]}},
    {"arrays": {"x": ["f4", [0, -3]]}}, {"arrays": {"x": ["f4", ["0"]]}}, {"arrays": {"x": "f4"}},
    {"arrays": {"x": ["f4", [3]]}}, {"arrays": {"x": ["f4", [0] * 33]}}, {"arrays": {"x": ["f4"]}},
])
def test_a_header_that_lies_is_refused_before_memory_is_taken(change):
    with pytest.raises(blocks.BlockError, match="damaged block"):
        blocks.unpack(forged(change))


def test_an_honest_forgery_is_read():
    assert blocks.unpack(forged({"arrays": {"x": ["f4", [0, 3]]}})).arrays()["x"].shape == (0, 3)


def test_a_header_that_promises_terabytes_takes_no_memory():
    layout = {"x": ["f8", [2**20, 2**20]]}
    with pytest.raises(blocks.BlockError, match="characters, must be"):
        blocks.unpack(forged({"n": 2**20, "arrays": layout}))


@pytest.mark.parametrize("text", [b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b"1e999"])
def test_a_header_that_is_no_json_object_is_refused(text):
    with pytest.raises(blocks.BlockError, match="header"):
        blocks.unpack(forged(text=text))


def test_another_version_is_named_in_the_error():
    raw = bytearray(base64.b64decode(blocks.pack(example(), **PLACE)))
    raw[4] = 9
    with pytest.raises(blocks.BlockError, match="version 9"):
        blocks.unpack(base64.b64encode(raw))


def test_the_error_of_a_damaged_array_says_which_block_it_was():
    line = bytearray(blocks.pack(example(), **PLACE))
    line[-1] = ord("B") if line[-1] != ord("B") else ord("C")
    with pytest.raises(blocks.BlockError, match="block 7 of shard 3"):
        blocks.unpack(bytes(line)).arrays()


@pytest.mark.parametrize("arrays, reason", [
    ({"x": np.zeros(3, "i8")}, "int64"), ({"x": np.zeros(3, "i2")}, "int16"), ({"x": np.array(["a"])}, "U1"),
    ({"x": np.float32(0)}, "0 axes"), ({"x": np.zeros(3, "f4"), "y": np.zeros(2, "f4")}, "first"),
    ({}, "first"),
])
def test_arrays_that_do_not_fit_a_block_are_refused(arrays, reason):
    with pytest.raises(ValueError, match=reason):
        blocks.pack(arrays, **PLACE)


def test_a_role_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="role 'test'"):
        blocks.pack(example(), **{**PLACE, "role": "test"})


@pytest.mark.parametrize("values, labels, dtype", [
    ([0, 255], False, "u1"), ([0, 256], False, "f4"), ([-1, 3], False, "f4"), ([0.5], False, "f4"),
    ([], False, "u1"), ([0, -3], True, "i4"), ([2.0**31], True, "f4"), ([0.5], True, "f4"),
])
def test_narrow_takes_the_smallest_dtype_that_holds_all_values(values, labels, dtype):
    found = blocks.narrow(np.array(values, "f8"), labels=labels)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)


def test_whole_labels_beyond_float32_keep_all_their_digits():
    for values, dtype in (([9_000_000_001, 2], "f8"), ([2**31 - 1, -5], "i4"), ([2.0**40], "f4"), ([0.1, 2**40 + 1], "f8"),
                          ([0.1, 2**24], "f4")):
        found = blocks.narrow(np.array(values, "f8"), labels=True)
        assert found.dtype.str[1:] == dtype
        assert dtype == "f4" or found.tolist() == values


def test_narrow_keeps_float64_where_asked():
    assert blocks.narrow(np.array([0.1]), "float64").dtype == np.float64
