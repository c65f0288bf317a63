"""The parser of delimited numbers and the base64 decoder, against plain Python twins."""
import base64
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mrdl.kernels import text

NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|infinity|nan)",
                    re.IGNORECASE)


def parsed(lines: bytes, columns: int, delimiter: bytes = b",", places=None):
    """The kernel's code of each line, and the table."""
    rows, places = len(lines.split(b"\n")), range(columns) if places is None else places
    table, codes = np.full((rows, max(places) + 1), -777.0), np.full(rows, -1, np.intc)
    n = text.parse(lines, ord(delimiter), np.array(places, np.intc), table, codes)
    return codes[:n].tolist(), table[:n]


def twin(line: bytes, columns: int, delimiter: bytes):
    """(code, numbers) of one line, by split and float."""
    line = line.removesuffix(b"\r")
    if not line.strip(b" "):
        return text.EMPTY, []
    if line.strip(b" ").startswith(b"#"):
        return text.NUMBER, []
    numbers, fields = [], line.split(delimiter)
    for field in fields[:columns]:
        field = field.strip(b" ")
        if not NUMBER.fullmatch(field):
            return text.NUMBER, numbers
        if not math.isfinite(float(field)):
            return text.FINITE, numbers
        numbers.append(float(field))
    return (text.GOOD if len(fields) == columns else text.FIELDS), numbers


def agrees(lines: bytes, columns: int, delimiter: bytes = b",") -> None:
    found, table = parsed(lines, columns, delimiter)
    expected = lines.removesuffix(b"\n").split(b"\n") if lines else []
    assert len(found) == len(expected)
    for line, code, row in zip(expected, found, table):
        right, numbers = twin(line, columns, delimiter)
        assert code == right, line
        assert row[:len(numbers)].tobytes() == np.array(numbers).tobytes(), line


NUMERIC = st.one_of(
    st.floats().map(repr), st.integers().map(str), st.integers(0, 255).map(str),
    st.decimals(allow_nan=False, places=6).map(str),
    st.from_regex(r"[-+]?[0-9]{0,25}\.?[0-9]{0,25}([eE][-+]?[0-9]{1,4})?", fullmatch=True),
).map(str.encode)
FIELD = st.one_of(
    NUMERIC, NUMERIC.map(lambda n: b' "' + n + b'" '), NUMERIC.map(lambda n: b"  " + n + b" "),
    st.sampled_from([b"", b"a", b"1_0", b"0x1", b"1e", b".", b"-", b"1.2.3", b'"1', b'1"', b'""',
                     b"1 2", b"nano", b"-Infinity", b"1e999", b"--1", b"1\x00", b"\xff", b"+nan"]))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.lists(FIELD, min_size=1, max_size=4),
                          st.sampled_from([b"\n", b"\r\n", b"\n\n"])), max_size=4),
       st.sampled_from([b",", b"\t", b";", b"|"]))
def test_every_line_is_what_split_and_float_make_of_it(rows, delimiter):
    agrees(b"".join(delimiter.join(fields) + end for fields, end in rows), 3, delimiter)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(NUMERIC)
def test_numbers_are_rounded_as_python_rounds(number):
    agrees(number, 1)


@pytest.mark.parametrize("number", [
    b"9007199254740993", b"9007199254740992", b"0.1", b"1e22", b"1e23", b"123456789012345678901",
    b"2.2250738585072011e-308", b"4.9e-324", b"1e-400", b"1.7976931348623157e308", b"-0.0", b"-0",
    b"0.000000000000000000000000000000000000001", b"1" * 400, b"0." + b"0" * 400 + b"1",
    b"000000000000000000000000000000000000000012", b"1e-99999999999999999999", b"1e0000000000001",
    b"8.5e15", b"179769313486231580793e289", b"5e-324", b"1.00000000000000011102230246251565",
])
def test_hard_numbers_are_rounded_as_python_rounds(number):
    agrees(number, 1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_no_bytes_can_confuse_the_parser(lines):
    agrees(lines, 2)


@pytest.mark.parametrize("line, code", [
    (b"1,2,3", text.GOOD), (b"1,2,3\r", text.GOOD), (b" 1 ,2, 3 ", text.GOOD), (b"", text.EMPTY), (b"   \r", text.EMPTY),
    (b"1,2", text.FIELDS), (b"1,2,3,4,5", text.FIELDS), (b"1,2,3,", text.FIELDS), (b"1,x,3", text.NUMBER), (b'1,"2",3', text.NUMBER),
    (b"1,,3", text.NUMBER), (b"1,2,nan", text.FINITE), (b"-inf,2,3", text.FINITE), (b"1e999,2,3", text.FINITE),
    (b'"1,2",3', text.NUMBER), (b" #1,2,3", text.NUMBER)])
def test_a_line_gets_its_code(line, code):
    found, _ = parsed(line, 3)
    assert found == ([code] if line else [])


@pytest.mark.parametrize("line, code", [
    (b"x,1,,2", text.GOOD), (b"x,1,y", text.FIELDS), (b"x,1,y,2,3", text.FIELDS), (b'x,1,"a,b",2', text.NUMBER),
    (b'x,1,a"b,2', text.NUMBER), (b"#,1,y,2", text.NUMBER), (b",1,y,2\r", text.GOOD)])
def test_fields_without_a_place_may_hold_anything_but_quotes(line, code):
    (found,), table = parsed(line, 4, places=(-1, 1, -1, 0))
    assert found == code and (code != text.GOOD or table[0].tolist() == [2, 1])


def test_a_line_after_a_bad_one_is_read_whole():
    found, table = parsed(b"1,2\nx,2\n1,2,3\n3,4\r\n", 2)
    assert found == [text.GOOD, text.NUMBER, text.FIELDS, text.GOOD]
    assert table[3].tolist() == [3, 4]


def test_785_columns_of_pixels_come_out_as_they_went_in():
    x = np.random.default_rng(0).integers(0, 256, (50, 785))
    lines = b"\n".join(b",".join(b"%d" % value for value in row) for row in x)
    found, table = parsed(lines, 785)
    assert found == [text.GOOD] * 50
    np.testing.assert_array_equal(table, x)


def test_more_lines_than_rows_or_codes_of_another_length_are_refused():
    table, one, place = np.empty((1, 1)), np.empty(1, np.intc), np.zeros(1, np.intc)
    with pytest.raises(ValueError, match="more lines"):
        text.parse(b"1\n2\n", 44, place, table, one)
    with pytest.raises(ValueError, match="one length"):
        text.parse(b"1\n", 44, place, table, np.empty(2, np.intc))
    with pytest.raises(ValueError, match="delimiter"):
        text.parse(b"1\n", ord("e"), place, table, one)
    with pytest.raises(ValueError, match="a place is not in out"):
        text.parse(b"1\n", 44, place + 1, table, one)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 40), st.data())
def test_decode64_undoes_base64_and_refuses_any_other_character(groups, data):
    raw = data.draw(st.binary(min_size=3 * groups, max_size=3 * groups))
    coded, out = bytearray(base64.b64encode(raw)), np.empty(3 * groups, "u1")
    assert text.decode64(coded, out)
    assert out.tobytes() == raw
    if groups:
        at = data.draw(st.integers(0, len(coded) - 1))
        coded[at] = data.draw(st.integers(0, 255))
        legal = chr(coded[at]).isalnum() and coded[at] < 128 or coded[at] in b"+/"
        assert text.decode64(coded, out) == legal


def test_decode64_refuses_lengths_that_do_not_fit():
    for characters, size in ((3, 3), (4, 2), (4, 6), (8, 3)):
        with pytest.raises(ValueError, match="4 characters make 3 bytes"):
            text.decode64(b"A" * characters, np.empty(size, "u1"))
