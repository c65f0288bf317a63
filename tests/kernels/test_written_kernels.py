"""Numbers and fields as lines of text, against Python's own formatting and plain twins."""
import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mrdl.kernels import written
from mrdl.kernels.reference import written as twin

BITS = st.integers(0, 2 ** 64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0])
SINGLE = st.floats(width=32).map(float)
HALFWAY = st.builds(lambda m, e: float(f"{m}5e{e}"), st.integers(1, 10 ** 9), st.integers(-60, 12))
DYADIC = st.builds(lambda m, e: math.ldexp(m, -e), st.integers(1, 2 ** 53), st.integers(0, 70))      # ends exactly halfway
EDGES = [0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 1.0, 10.0, 99999999.95, 999999999.5, 9999999995.0, 1e-4, 9.99999999951e-5, 1e22,
         1e23, 1.6458114537e-38, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.2345678901234567e-300, -0.00012345678901234567,
         1e-66, 1e-67, 1e-74, 1e-75, 1e-76, 1e17, 1e16, 99999999999999995.0, 0.5, 2.5, 1e100, 123456789.5, 123456788.5, *(10.0 ** k for k in range(-40, 20))]


def written_by(module, values, digits):
    places, out = np.zeros((2, len(values)), "i8"), np.zeros(len(values) * written.ROOM, "u1")
    module.decimals(np.array(values, "f8"), digits, *places, out)
    return [bytes(out[start:stop]) for start, stop in zip(*places)]


@settings(max_examples=300, deadline=None)
@given(st.lists(BITS | SINGLE | HALFWAY | DYADIC | st.floats(), min_size=1, max_size=40), st.sampled_from([9, 17]) | st.integers(1, 17))
@example(EDGES, 9)
@example(EDGES, 17)
@example(EDGES, 1)
def test_numbers_are_written_as_python_writes_them(values, digits):
    assert written_by(written, values, digits) == written_by(twin, values, digits)


def test_random_numbers_of_every_size_are_written_as_python_writes_them():
    rng = np.random.default_rng(0)
    single = rng.integers(0, 0x7f800000, 20_000, np.uint32).view("f4").astype("f8")
    double = rng.integers(0, 2 ** 64, 5000, np.uint64).view("f8")
    shares = rng.random(10_000, "f4").astype("f8") ** rng.integers(1, 20, 10_000)
    for values in (single, double, shares, rng.integers(-10 ** 9, 10 ** 9, 5000) / 2.0 ** 12):
        for digits in (9, 17):
            assert written_by(written, values, digits) == [b"%.*g" % (digits, value) for value in values.tolist()]


FIELDS = st.lists(st.lists(st.binary(max_size=9) | st.text(alphabet='a",;\n\r', max_size=6).map(str.encode), min_size=3, max_size=3),
                  min_size=1, max_size=8)


def lines(module, rows, delimiter, quoted):
    """Rows of three fields as lines; `quoted`: whether a column may have quotes."""
    columns = []
    for column, may in zip(zip(*rows), quoted):
        stops = np.cumsum([0, *map(len, column)])
        columns.append((b"".join(column), stops[:-1], stops[1:], delimiter if may else -1))
    sizes = np.zeros(len(rows), "i8")
    for column in columns:
        module.room(*column, sizes)
    places, out = np.cumsum(sizes) - sizes, np.zeros(sizes.sum(), "u1")
    for end, column in zip([delimiter, delimiter, 10], columns):
        module.put(*column, end, places, out)
    assert places.tolist() == np.cumsum(sizes).tolist()
    return bytes(out)


@settings(max_examples=200, deadline=None)
@given(FIELDS, st.sampled_from(b",;\t"), st.lists(st.booleans(), min_size=3, max_size=3))
def test_columns_become_lines_in_which_fields_are_quoted_that_need_it(rows, delimiter, quoted):
    found = lines(written, rows, delimiter, quoted)
    assert found == lines(twin, rows, delimiter, quoted)
    special = set(b'"\r\n' + bytes([delimiter]))
    told = [[b'"' + f.replace(b'"', b'""') + b'"' if may and special & set(f) else f for f, may in zip(row, quoted)] for row in rows]
    assert found == b"".join(bytes([delimiter]).join(row) + b"\n" for row in told)


NONE, ONE, BYTES = np.zeros(0, "i8"), np.zeros(1, "i8"), np.zeros(3, "u1")


@pytest.mark.parametrize("message, function, arguments", [
    ("a place for each", written.decimals, (np.zeros(1), 9, NONE, ONE, np.zeros(24, "u1"))),
    ("a place for each", written.decimals, (np.zeros(1), 9, ONE, ONE, np.zeros(23, "u1"))),
    ("1 to 17", written.decimals, (np.zeros(1), 0, ONE, ONE, np.zeros(24, "u1"))),
    ("1 to 17", written.decimals, (np.zeros(1), 18, ONE, ONE, np.zeros(24, "u1"))),
    ("a place for each", written.room, (b"", ONE, ONE, 44, NONE)),
    ("within its data", written.room, (b"", ONE, ONE + 1, 44, ONE)),
    ("a place for each", written.put, (b"", ONE, ONE, 44, 10, NONE, BYTES)),
    ("within its data", written.put, (b"", ONE, ONE + 1, 44, 10, ONE, BYTES)),
    ("no room", written.put, (b"abc", ONE, ONE + 3, 44, 10, ONE, BYTES)),
    ("no room", written.put, (b"ab", ONE, ONE + 2, -1, 10, ONE + 1, BYTES)),
    ("no room", written.put, (b"", ONE, ONE, 44, 10, ONE - 1, BYTES)),
    ("no room", written.put, (b"", ONE, ONE, 44, 10, ONE + 3, BYTES)),
    ("no room", written.put, (b",", ONE, ONE + 1, 44, 10, ONE, BYTES)),
    ("no room", written.put, (b'""', ONE, ONE + 2, 44, 10, ONE, np.zeros(6, "u1"))),
])
def test_arguments_that_do_not_fit_are_refused(message, function, arguments):
    with pytest.raises(ValueError, match=message):
        function(*(a.copy() if isinstance(a, np.ndarray) else a for a in arguments))
