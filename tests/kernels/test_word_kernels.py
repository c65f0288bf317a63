"""Fields of lines, and numbers, hashes and dates in them, against plain Python twins."""
import csv
import math
import random
import re

import numpy as np
import pytest
from mrdl.kernels import cells, words
from mrdl.kernels.reference import cells as cells_twin
from mrdl.kernels.reference import words as twin

DELIMITERS = b",;\t| "


def split(module, lines: bytes, delimiter: int = 44, columns: int = 3, rows: int | None = None):
    """What `split` leaves in its arguments, and each row's fields."""
    buffer, rows = bytearray(lines), len(lines.split(b"\n")) if rows is None else rows
    starts, stops = np.full((2, rows, columns), -7)
    codes, fields = np.full((2, rows), -7, np.intc)
    n = module.split(buffer, delimiter, starts, stops, codes, fields)
    found = [[bytes(buffer[a:b]) for a, b in zip(*places)] for places in zip(starts[:n], stops[:n])]
    return codes[:n].tolist(), fields[:n].tolist(), found


def joined(fields: list[bytes]):
    """Words next to each other with nothing between them: data, starts, stops."""
    stops = np.cumsum([0, *map(len, fields)])
    return b"".join(fields), stops[:-1], stops[1:]


def numbers(module, fields: list[bytes], decimal: bytes = b".", thousands: bytes = b"\0"):
    out, codes = np.full(len(fields), 7.0), np.full(len(fields), -7, np.intc)
    module.numbers(*joined(fields), ord(decimal), ord(thousands), out, codes)
    return out, codes


def dates(module, fields: list[bytes], order: int):
    out, codes = np.full(len(fields), 7.0), np.full(len(fields), -7, np.intc)
    module.dates(*joined(fields), order, out, codes)
    return out, codes


def same(a, b, given) -> None:
    for i, field in enumerate(given):
        assert a[1][i] == b[1][i] and a[0][i].tobytes() == b[0][i].tobytes(), (field, a[0][i], b[0][i])


@pytest.mark.parametrize("line, fields", [
    (b"a,b,c", [b"a", b"b", b"c"]), (b"a,b,c\r", [b"a", b"b", b"c"]), (b" a\t,b b , c\r\r", [b"a", b"b b", b"c"]),
    (b",,", [b"", b"", b""]), (b' "a" ,"b,b","c"\r', [b"a", b"b,b", b"c"]), (b'"",""""," "', [b"", b'"', b""]),
    (b'"a""b""c",b"b"b,c"', [b'a"b"c', b'b"b"b', b'c"']), (b'"a" x ,"b"x,"c""" d', [b"a x", b"bx", b'c" d']),
    (b'"a\tb",\tb,"\t"', [b"a\tb", b"b", b""]), (b"\0,\xff,\x80", [b"\0", b"\xff", b"\x80"]),
])
def test_fields_come_without_quotes_and_blanks(line, fields):
    assert split(words, line) == ([words.GOOD], [3], [fields])
    assert split(words, b"1,2,3\n" + line + b"\n4,5,6")[2][1] == fields


@pytest.mark.parametrize("line, code, fields", [
    (b"", words.EMPTY, 0), (b" \t \r", words.EMPTY, 0), (b"\r\r", words.EMPTY, 0), (b"a,b", words.FIELDS, 2), (b"a", words.FIELDS, 1),
    (b"a,b,c,", words.FIELDS, 4), (b'a,"b,c",d,"e,f",g', words.FIELDS, 5), (b'a,"b,c', words.QUOTE, 1), (b'"a""', words.QUOTE, 0),
    (b'"', words.QUOTE, 0), (b'1,2,3,4,"5', words.QUOTE, 4), (b'"a\r', words.QUOTE, 0),
])
def test_a_line_gets_its_code_and_the_place_that_went_wrong(line, code, fields):
    codes, counts, found = split(words, b"a,b,c\n" + line + b'\n"a",b,c\n')
    assert codes == [words.GOOD, code, words.GOOD] and counts[1] == fields and found[0] == found[2] == [b"a", b"b", b"c"]


def test_blanks_delimit_as_any_run_of_them():
    lines = b' 5.1  3.5\tx\r\n\t"a b"\t \tc "" \n1 2\n1 2 3 4\n'
    assert split(words, lines, 32) == ([words.GOOD] * 2 + [words.FIELDS] * 2, [3, 3, 2, 4], [
        [b"5.1", b"3.5", b"x"], [b"a b", b"c", b""], [b"1", b"2", b""], [b"1", b"2", b"3"]])


def test_tabs_that_delimit_are_no_blanks():
    assert split(words, b"\t \t\n\t\t\n a \t b\tc\n \n", 9) == ([words.GOOD] * 3 + [words.EMPTY], [3, 3, 3, 0], [
        [b"", b"", b""], [b"", b"", b""], [b"a", b"b", b"c"], [b"", b"", b""]])


def test_fields_are_those_of_the_csv_module():
    rng = random.Random(1)
    rows = [["".join(rng.choices('ab,"; 0', k=rng.randrange(6))).strip() for _ in range(4)] for _ in range(2000)]
    rows = [row for row in rows if any(row)]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        lines: list[str] = []
        csv.writer(type("Lines", (), {"write": lines.append}), quoting=quoting).writerows(rows)
        codes, _, found = split(words, "".join(lines).encode(), columns=4)
        assert found == [[field.encode() for field in row] for row in rows] and not any(codes)


def test_random_lines_are_split_as_the_twin_splits_them():
    rng = random.Random(0)
    for turn in range(10_000):
        alphabet = [bytes(range(256)), b'a"\n, \t\r;|', b'0123.,"\n', b'a"",\n'][turn % 4]
        lines = bytes(rng.choices(alphabet, k=rng.randrange(60)))
        delimiter = rng.choice(DELIMITERS)
        assert split(words, lines, delimiter) == split(twin, lines, delimiter), (lines, delimiter)


def test_lines_of_any_length_are_split_alike_wherever_the_buffer_ends():
    for size in range(1, 70):
        line = b"x" * (size // 2) + b"," + b"y" * (size - size // 2)
        assert split(words, line, columns=2)[2] == [line.split(b",")]
        assert split(words, b",\n" + line + b"\n", columns=2)[2][1] == line.split(b",")


def test_split_refuses_shapes_delimiters_and_lines_that_do_not_fit():
    places, one = np.zeros((2, 1, 3), int), np.zeros(1, np.intc)
    with pytest.raises(ValueError, match="more lines"):
        words.split(bytearray(b"\n\n"), 44, *places, one, one)
    with pytest.raises(ValueError, match="do not fit"):
        words.split(bytearray(b"\n"), 44, *places, one, np.zeros(2, np.intc))
    for delimiter in b'"\r\n':
        with pytest.raises(ValueError, match="delimiter"):
            words.split(bytearray(b"\n"), delimiter, *places, one, one)
    assert words.split(bytearray(), 44, *places, one, one) == 0


ZEROS = b"0." + b"0" * 200_000 + b"1"
NASTY = [
    ZEROS, ZEROS + b"e200001", ZEROS + b"e200300", b"1" + b"0" * 200_000 + b"e-200000",
    b"", b" 1", b"1 ", b"-0", b"+0.0", b"-0e9999", b"00012", b".5", b"5.", b".", b"-", b"+", b"--1",
    b"1e5", b"1E+05", b"1e", b"1e+", b"e5", b"0x10", b"1_000", b"inf", b"-INF", b"+Infinity",
    b"infinit", b"nan", b"NaN", b"nano", b"1e308", b"1.8e308", b"-1e309", b"1.7976931348623157e308",
    b"1.7976931348623158e308", b"1.7976931348623159e308", b"4.9e-324", b"2.4e-324", b"2.5e-324",
    b"2.2250738585072011e-308", b"2.2250738585072014e-308", b"1e-400", b"1" * 400,
    b"0." + b"0" * 400 + b"1", b"9" * 19, b"9" * 20, b"1" * 19 + b"e-400", b"9007199254740993",
    b"9007199254740992.9", b"9007199254740993." + b"0" * 40 + b"1", b"1e22", b"1e23", b"8.5e15",
    b"1.00000000000000011102230246251565", b"1e99999999999999999999", b"1e-99999999999999999999",
    b"0e99999999999999999999", b"1\0", b"\xff", "\u0661".encode(), b"1e0000000001",
    b"5e-1000000000", b"1.5.2", b"1,5", b"1'000", b"1,234", b"12,345.678", b"1,234,567",
    b"1234,567", b"1,23", b"1,2345", b",123", b"0,123", b"1,234,", b"1,,234", b"-1,234e2",
    b"1,234,56", b"1.234,5", b"1.234.567,89", b"1.234", b"1,000" + b",000" * 120, b"+1,234",
    b"1,234.5,6", b"9,007,199,254,740,993",
]


@pytest.mark.parametrize("marks", [b".\0", b",\0", b".,", b",.", b".'", b", "])
def test_numbers_are_those_of_float(marks):
    marks = bytes([marks[0]]), bytes([marks[1]])
    same(numbers(words, NASTY, *marks), numbers(twin, NASTY, *marks), NASTY)


def test_numbers_with_a_decimal_comma_and_marks_for_thousands():
    out, codes = numbers(words, [b"1.234.567,5", b"-12,5", b"1234", b"1.5", b"0.123"], b",", b".")
    np.testing.assert_array_equal(out, [1234567.5, -12.5, 1234, math.nan, math.nan])
    assert codes.tolist() == [words.GOOD] * 3 + [words.NUMBER] * 2


def test_random_doubles_come_back_from_every_way_to_write_them():
    rng = np.random.default_rng(0)
    doubles = rng.integers(0, 2 ** 64, 20_000, np.uint64).view("f8")
    denormal = rng.integers(0, 2 ** 52, 1000, np.uint64).view("f8")
    doubles = np.concatenate([doubles[np.isfinite(doubles)], rng.normal(size=20_000), denormal])
    for form in (repr, "{:.17e}".format, "{:.3g}".format, "{:.25g}".format):
        fields = [form(x) for x in doubles.tolist()]
        out, codes = numbers(words, [field.encode() for field in fields])
        assert not codes.any() and out.tobytes() == np.array([float(field) for field in fields]).tobytes()


def test_numbers_halfway_between_two_doubles_are_rounded_as_float_rounds_them():
    rng = random.Random(3)
    fields = []
    for _ in range(3000):
        m, e = rng.randrange(2 ** 52, 2 ** 53), rng.randrange(-80, 80)
        exact = (2 * m + 1) * 2 ** max(e, 0) if e >= 0 else (2 * m + 1) * 5 ** -e
        tail = f"e{e}" if e < 0 else ""         # (2m+1) 2^e = (2m+1) 5^-e 10^e
        fields += [f"{exact + d}{tail}".encode() for d in (-1, 0, 1)]
        fields += [f"{rng.randrange(10 ** 19)}e{rng.randrange(-345, 310)}".encode()]
    values = np.array([float(field) for field in fields])
    codes = np.where(np.isfinite(values), words.GOOD, words.FINITE)
    same(numbers(words, fields), (np.where(codes, math.nan, values), codes), fields)


def test_random_bytes_are_numbers_where_the_twin_says_so():
    rng = random.Random(0)
    for alphabet in (b"0123456789.,e-+", b"01.,'", b"infaty+-", bytes(range(256))):
        fields = [bytes(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(10_000)]
        for marks in ((b".", b"\0"), (b",", b"."), (b".", b",")):
            same(numbers(words, fields, *marks), numbers(twin, fields, *marks), fields)


@pytest.mark.parametrize("decimal", [b".", b","])
def test_numbers_of_many_columns_are_those_of_each(decimal):
    given = (NASTY * 2)[:len(NASTY) // 3 * 3 + 3]
    data, starts, stops = joined(given)
    starts, stops, which = starts.reshape(-1, 3), stops.reshape(-1, 3), np.array([2, 0])
    found, wanted = ((np.full((2, len(starts)), 7.0), np.full((2, len(starts)), -1, np.intc)) for _ in range(2))
    for module, (out, codes) in ((cells, found), (cells_twin, wanted)):
        module.numbers(data, starts, stops, which, ord(decimal), out, codes)
    for own, other in zip(found, wanted):
        assert own.tobytes() == other.tobytes()
    for wrong in ((data[1:-1], starts, stops, which, 46), (data, starts, stops, which + 1, 46), (data, starts, stops, which, 48), (data, starts[1:], stops, which, 46)):
        with pytest.raises(ValueError, match="within its data|no such column|no such decimal|do not fit"):
            cells.numbers(*wrong, *found)


@pytest.mark.parametrize("shape", [(40, 1), (7, 5)])
def test_numbers_are_filled_and_scaled_as_the_twins_do(shape):
    rng = np.random.default_rng(0)
    given = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4, shape)
    codes = rng.choice([words.GOOD, words.GOOD, words.EMPTY], shape[0]).astype(np.intc)
    for code, good in ((words.GOOD, True), (words.NUMBER, False), (words.FINITE, False)):
        codes[3], columns = code, []
        for module in (cells, cells_twin):
            column = given[:, 0].copy()
            assert module.fill(column, codes, 2.5) is good
            columns.append(column.tobytes())
        assert columns[0] == columns[1]
    shift, by = np.linspace(-1, 1, shape[1]), np.linspace(0.3, 3, shape[1])
    for x, finite in ((given, True), (np.where(given == given.max(), np.inf, given), False), (given * np.nan, False)):
        for order in "CF":
            made = [np.full(shape, 7.0, order=order) for _ in range(2)]
            assert cells.scale(np.asarray(x, order=order), shift, by, made[0]) is cells_twin.scale(x, shift, by, made[1]) is finite
            assert made[0].tobytes() == made[1].tobytes()
    assert cells.scale(given[:0], shift, by, given[:0]) and cells.fill(given[:0, 0], codes[:0], 0.0)
    for wrong in ((given, shift[1:], by, given), (given, shift, by[1:], given), (given[1:], shift, by, given)):
        with pytest.raises(ValueError, match="do not fit"):
            cells.scale(*wrong)
    with pytest.raises(ValueError, match="one length"):
        cells.fill(given[:, 0].copy(), codes[1:], 0.0)


def test_line_ends_are_those_of_the_twin():
    rng = random.Random(0)
    for size in (0, 1, 63, 64, 65, 200, 1000):
        for alphabet in (b"\n", b"a\n", b"abcdefgh\r\n\x8a"):
            data = bytes(rng.choices(alphabet, k=size))
            for room in (data.count(b"\n"), 0, 3, size + 1):
                found, wanted = np.zeros((2, room), "i8")
                assert words.line_ends(data, found) == twin.line_ends(data, wanted) == data.count(b"\n")
                assert found.tolist() == wanted.tolist()


def test_a_column_of_a_table_is_read_in_place():
    buffer, starts, stops = bytearray(b"1,a\n22,b\n333,c"), *np.zeros((2, 3, 2), int)
    words.split(buffer, 44, starts, stops, *np.zeros((2, 3), np.intc))
    out, codes = np.zeros(3), np.zeros(3, np.intc)
    words.numbers(buffer, starts[:, 0], stops[:, 0], 46, 0, out, codes)
    assert out.tolist() == [1, 22, 333] and not codes.any()


TAKING = {          # places -> each function that takes them
    "numbers": lambda data, at: words.numbers(data, *at, 46, 0, np.zeros(1), np.zeros(1, np.intc)),
    "dates": lambda data, at: words.dates(data, *at, 0, np.zeros(1), np.zeros(1, np.intc)),
    "hashes": lambda data, at: words.hashes(data, *at, np.zeros(1, "u8")),
    "equal": lambda data, at: words.equal(data, *at, b"", *np.zeros((3, 1), int), np.zeros(1, "u1")),
    "others": lambda data, at: words.equal(b"", *np.zeros((2, 1), int), data, *at, np.zeros(1, int),
                                           np.zeros(1, "u1")),
}


@pytest.mark.parametrize("data", [b"", b"abc", bytearray(b"abc"), np.frombuffer(b"abc", "u1")])
@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
def test_places_outside_the_data_are_refused(take, data):
    n, low, high = len(data), -2 ** 63, 2 ** 63 - 1
    for at in ((-1, 0), (0, n + 1), (n, n - 1), (n + 1, n + 1), (high, high), (low, high), (low, low)):
        with pytest.raises(ValueError, match="within its data"):
            take(data, np.array(at)[:, None])
    take(data, np.array([[n], [n]]))


ONE, OUT, CODES = np.zeros(1, int), np.zeros(1), np.zeros(1, np.intc)


@pytest.mark.parametrize("message, function, arguments", [
    ("one length", words.numbers, (b"", ONE, np.zeros(2, int), 46, 0, OUT, CODES)),
    ("a place for each", words.numbers, (b"", ONE, ONE, 46, 0, np.zeros(2), CODES)),
    ("mark", words.numbers, (b"", ONE, ONE, 46, 46, OUT, CODES)),
    ("mark", words.numbers, (b"", ONE, ONE, 53, 0, OUT, CODES)),
    ("mark", words.numbers, (b"", ONE, ONE, 46, 53, OUT, CODES)),
    ("order", words.dates, (b"", ONE, ONE, 3, OUT, CODES)),
    ("order", words.dates, (b"", ONE, ONE, -1, OUT, CODES)),
    ("a place for each", words.dates, (b"", ONE, ONE, 0, OUT, np.zeros(2, np.intc))),
    ("a place for each", words.hashes, (b"", ONE, ONE, np.zeros(2, "u8"))),
    ("a place for each", words.equal, (b"", ONE, ONE, b"", ONE, ONE, np.zeros(2, int), np.zeros(1, "u1"))),
    ("index", words.equal, (b"", ONE, ONE, b"", ONE, ONE, np.ones(1, int), np.zeros(1, "u1"))),
    ("index", words.equal, (b"", ONE, ONE, b"", ONE, ONE, np.full(1, -2), np.zeros(1, "u1"))),
])
def test_arguments_that_do_not_fit_are_refused(message, function, arguments):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def hashes(module, fields: list[bytes]):
    out = np.zeros(len(fields), "u8")
    module.hashes(*joined(fields), out)
    return out


def test_hashes_are_those_of_the_twin_and_stay_what_they_are():
    rng = random.Random(0)
    fields = [rng.randbytes(size) for size in [*range(70)] * 5]
    np.testing.assert_array_equal(hashes(words, fields), hashes(twin, fields))
    assert [hex(h) for h in hashes(words, [b"", b"a", b"female", b"a word of 20 letters"])] == [
        "0xe220a8397b1dcdaf", "0xc1a76113d7de5200", "0x3a0c2f485a8e3364", "0xe10d8e77c43712d2"]


@pytest.mark.parametrize("fields", [
    [b"%d" % i for i in range(65536)], [b"user-%08d" % i for i in range(65536)],
    [i.to_bytes(2, "little") for i in range(65536)], [i.to_bytes(8, "big") * 3 for i in range(65536)],
    [bytes([i % 256]) * (i // 256) for i in range(65536)]], ids=range(5))
def test_hashes_differ_and_are_even_in_their_top_and_low_bits(fields):
    fields = list(dict.fromkeys(fields))
    found = hashes(words, fields)
    assert len(np.unique(found)) == len(fields)
    for part in (found % 256, found >> np.uint64(56), found >> np.uint64(28) & np.uint64(255)):
        counts = np.bincount(part.astype(int), minlength=256)
        spread = ((counts - len(fields) / 256) ** 2).sum() / (len(fields) / 256)
        assert 150 < spread < 380       # chi-squared: 255 +- 23
    ones = np.unpackbits(hashes(words, [bytes([f[0] ^ 1]) + f[1:] for f in fields if f]).view("u1")
                         ^ hashes(words, [f for f in fields if f]).view("u1"))
    assert abs(ones.mean() - 0.5) < 0.01        # one bit of a word changes half of its hash


def test_equal_compares_bytes_and_not_places():
    rng = random.Random(0)
    known = [bytes(rng.choices(b"ab", k=rng.randrange(4))) for _ in range(20)]
    fields = [bytes(rng.choices(b"ab", k=rng.randrange(4))) for _ in range(5000)]
    indices = np.array([rng.randrange(-1, 20) for _ in fields])
    out, expected = np.full((2, len(fields)), 7, "u1")
    words.equal(*joined(fields), *joined(known), indices, out)
    twin.equal(*joined(fields), *joined(known), indices, expected)
    np.testing.assert_array_equal(out, expected)
    assert 0 < out.sum() < len(out)


DATES = [
    b"", b"2026-11-29", b"2026/1/5", b"2026.01.5", b"20261129", b"2026-11-29T10:20",
    b"2026-11-29 9:05:07", b"2026-11-29T23:59:59.999999999999", b"2026-11-29T10:20Z",
    b"2026-11-29T10:20:30+01", b"2026-11-29 10:20-0530", b"2026-11-29T10:20:30.25+05:45",
    b"2024-02-29", b"2026-02-29", b"1900-02-29", b"2000-02-29", b"2026-02-30", b"2026-04-31",
    b"2026-12-31", b"0000-01-01", b"0001-01-01", b"9999-12-31T23:59:59", b"10000-01-01",
    b"0001-01-01T00:00+23:59", b"1969-12-31T23:59:59.5", b"2026-13-01", b"2026-00-01",
    b"2026-01-00", b"2026-1/5", b"2026 01 05", b"2026-11-29T", b"2026-11-29 10",
    b"2026-11-29T24:00", b"2026-11-29T10:60", b"2026-11-29T10:20:60", b"2026-11-29T10:20:30.",
    b"2026-11-29T10:20.5", b"2026-11-29T10:20z", b"2026-11-29T10:20+1", b"2026-11-29T10:20+24",
    b"2026-11-29T10:20+01:", b"2026-11-29T10:20+01:60", b"2026-11-29T10:20 +01", b"2026-11-29Z",
    b" 2026-11-29", b"2026-11-29 ", b"29.11.2026", b"5/1/2026 9:30", b"12/31/2026", b"31/12/2026",
    b"29022024", b"02292024", b"1.1.26", b"01-02-0001", b"1/1/20261", b"-1-1-2026", b"2026",
    b"202611", b"2026112", b"202611291", b"20261129T10:20", b"2026-", b"2026--1", b"2026-1-",
    b"12 Mar 2024", b"March 12, 2024", b"12-Mar-24", b"Mar 12 2024 10:15", b"MAR. 12, 2024", b"12 march, 2024 10:15:30Z", b"2024-Mar-12",
    b"1.Sept.2024", b"1 Sept. 2024T10:15+01", b"29/feb/2023", b"31 Apr 2024", b"12-Mar-69", b"12-Mar-68 1:30", b"12-Mar-00", b"Mar 12 24",
    b"24-Mar-12", b"12-Mar-240", b"12-Mar-0000", b"12 Marc 2024", b"12 Marchs 2024", b"12-Mar 2024", b"12 Mar", b"Mar 2024", b"Mar-24",
    b"12. Mar 2024", b"Mar 12. 2024", b"12 Mar.2024", b"12,Mar 2024", b"2024 Mar, 12", b"May 1, 2024", b"0 May 2024", b"12Mar2024", b"12 Ma",
    b"1 septembering 2024", b"1 september 2024", b"12 Mai 2024", b"Mar  1 2024", b"12@Mar@2024", b"mar",
    b"\xff", b"2026-1-1T1:1", b"2026-1-1T001:01", "2026-1-\u0661".encode(),
]


@pytest.mark.parametrize("order", [words.YMD, words.DMY, words.MDY])
def test_dates_are_those_of_the_calendar(order):
    same(dates(words, DATES, order), dates(twin, DATES, order), DATES)
    rng = random.Random(order)

    def other(digit: re.Match) -> bytes:
        return b"%d" % rng.randrange(10) if rng.random() < 0.3 else digit[0]
    written = [re.sub(rb"\d", other, rng.choice(DATES)) for _ in range(20_000)]
    written += [b"".join(rng.choices([b"12", b"1", b"Mar", b"december", b"2024", b"99", b" ", b"-", b". ", b", "], k=rng.randrange(4, 8)))
                for _ in range(10_000)]
    written += [bytes(rng.choices(b"0123-/.T :Z+", k=rng.randrange(14))) for _ in range(5000)]
    same(dates(words, written, order), dates(twin, written, order), written)


def test_every_day_of_700_years_is_the_next_one():
    for first in (-719162, -135000, 2932896 - 256000):      # 0001-01-01, 1600, up to 9999-12-31
        days = (first + np.arange(256001)).astype("M8[D]")
        fields, starts = np.datetime_as_string(days).astype("S10").tobytes(), np.arange(len(days)) * 10
        out, codes = np.empty(len(days)), np.empty(len(days), np.intc)
        words.dates(fields, starts, starts + 10, words.YMD, out, codes)
        assert not codes.any()
        np.testing.assert_array_equal(out, days.astype("M8[s]").astype("f8"))
