"""What is counted of a column's words, numbers and dates, against plain Python twins."""
import ctypes
import random
import subprocess
import sys

import numpy as np
import pytest
from mrdl.kernels import tally, words
from mrdl.kernels.reference import tally as twin
from mrdl.kernels.reference import words as words_twin

from mrdl.data.tables.words import Words


def kept(found):
    """Of each hash what is known."""
    n = len(found)
    hashes, counts, (low, high), ends, out = np.empty(n, "u8"), np.empty(n, "i8"), np.empty((2, n), "u4"), np.empty(n, "i8"), np.empty(found.size, "u1")
    found.copy(hashes, counts, low, high, ends, out)
    starts = np.append(0, ends)[:-1]
    return hashes, Words(out, starts, ends), counts, low, high


def both(make):
    """What the kernel and its twin keep, which is the same."""
    found = [make(module) for module in (tally, twin)]
    tables = [{int(row[0]): (row[1], *map(int, row[2:])) for row in zip(*kept(one))} for one in found]
    assert tables[0] == tables[1] and [one.level for one in found] == [found[0].level] * 2 and found[0].size == found[1].size
    return found[0], tables[0]


def arrays(column):
    return column.data, column.starts, column.stops, column.hashes


@pytest.mark.parametrize("most, size", [(1000, 1 << 20), (50, 1 << 20), (1, 1 << 20), (1000, 300), (1000, 0)])
def test_words_and_labels_are_counted_as_the_twin_counts_them(most, size):
    rng = random.Random(most + size)
    batches = [Words.of([rng.randbytes(rng.choice([0, 1, 1, 2, 30])) for _ in range(400)]) for _ in range(4)]
    codes = np.array([rng.choice([0, 0, 3, tally.GONE]) for _ in range(400)], np.intc)
    labels = np.array([rng.randrange(3) << 33 for _ in range(400)], "u8")

    def make(module):
        found = module.Tally(most, size)
        for i, batch in enumerate(batches):
            found.add(*arrays(batch), codes if i % 2 else None, labels if i != 2 else None)
        return found
    found, table = both(make)
    assert len(table) <= most and found.size <= size and (found.level > 0) == (most < 1000 or size < 1000)
    assert all(value % 2 ** found.level == 0 for value in table)


MEMORY = """
import ctypes
import numpy as np
from mrdl.kernels import tally

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

info = ctypes.CDLL(None).mallinfo2
info.restype = Mallinfo2
held = lambda: info().uordblks + info().hblkhd
n = 1 << 14
found = []
for more in 0, 5:
    hashes = np.arange(n + more, dtype="u8") << np.uint64(40)
    places = np.zeros(n + more, "i8")
    before = held()
    found.append(tally.Tally(n, 1 << 20))
    found[-1].add(b"", places, places, hashes)
    print(held() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc from 2.33 on tells what is allocated")
def test_there_is_no_room_for_more_words_than_are_kept():
    full, beyond = map(int, subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True).stdout.split())
    assert 1 << 19 < full and beyond < full * 1.1


@pytest.mark.parametrize("level", [0, 2])
def test_tallies_are_merged(level):
    rng = random.Random(level)
    parts = [Words.of({b"%d" % rng.randrange(500) for _ in range(300)}) for _ in range(3)]
    counts, low, high = np.arange(1, 301), np.arange(300, dtype="u4"), np.arange(300, 600, dtype="u4")

    def make(module):
        found = module.Tally(200, 1 << 20)
        for i, part in enumerate(parts):
            n = len(part)
            found.merge(level * i, *arrays(part), counts[:n], low[:n], high[:n])
        return found
    assert both(make)[0].level >= 2 * level


def test_words_of_one_hash_count_as_the_first_of_them():
    for some in (["b", "ab", "a", "", "b"], ["", "b"], ["b", "ab", "abc"]):
        column = Words.of(some)
        hashes = np.zeros(len(some), "u8")

        def make(module, column=column, hashes=hashes):
            found = module.Tally(10, 100)
            for _ in range(3):
                found.add(column.data, column.starts, column.stops, hashes)
            return found
        assert both(make)[1] == {0: (min(some).encode(), 3 * len(some), 2 ** 32 - 1, 0)}


def test_numbers_are_counted_in_bins():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2 ** 64, 3000, np.uint64).view("f8")
    values = np.concatenate([values[np.isfinite(values)], np.arange(-50.0, 50), [0.0, -0.0, 5e-324, 1e308, 2.0 ** 52 + 1, 0.5 - 2.0 ** 51]])
    codes = rng.choice([words.GOOD, words.NUMBER, tally.GONE], len(values)).astype(np.intc)
    for dropped in (44, 0, 63):
        found = [module.Bins(dropped) for module in (tally, twin)]
        for some in (codes, None, np.full(len(values), words.NUMBER, np.intc)):
            assert found[0].add(values, some) == found[1].add(values, some)
        assert len(found[0]) == len(found[1])
        bins = []
        for one in found:
            keys, counts = np.empty((2, len(one)), "i8")
            one.copy(keys, counts)
            bins.append(dict(zip(keys.tolist(), counts.tolist())))
        assert bins[0] == bins[1]


DATES = [b"20240101", b"2024-1-1", b"1/1/2024 10:00", b"MAY 1 2024", b"march, 4444"]     # and what may be one


def test_missing_words_are_marked_and_the_others_looked_at():
    rng = random.Random(0)
    fields = [rng.choice([b"", b"NA", b"0", b"00", b"-", b"a", b"007", b"20240101", b"2024-1-1", b"123456789", b"1/1/2024 10:00", b"inf",
                          b"NAN", b"x" * 50, b"MAY 1 2024", b"Mar 1, 24", b"Marching on foot", b"March on feet", b"Marching, 44", b"march, 4444"]) for _ in range(500)]
    column, missing = Words.of(fields), Words.of([b"", b"NA", b"0", b"NAN", b"none"])
    for numbers in (False, True):
        found = []
        for module in (tally, twin):
            codes, counts, places = column.numbers()[1], np.zeros(5, "i8"), np.full(500, -7)
            gone = module.mark(*arrays(column), codes, *arrays(missing), counts, numbers)
            assert gone == counts.sum() == (codes == tally.GONE).sum()
            seen = module.look(column.data, column.starts, column.stops, codes, places)
            found.append((codes.tolist(), counts.tolist(), seen, places[:seen[3]].tolist()))
        assert found[0] == found[1]
        assert found[0][1][1] == fields.count(b"NA") and found[0][1][2] == numbers * fields.count(b"0")
        assert [fields[i] for i in found[0][3]] == [field for field in fields if field in DATES]


def test_a_calendar_has_the_days_of_all_years():
    rng = np.random.default_rng(0)
    seconds = np.concatenate([rng.uniform(-62135596800, 253402300799, 3000), np.arange(-800, 800) * 86400.0, [-0.5, 0.5, -62135596800.0]])
    for second in np.split(seconds, len(seconds)):
        assert tally.calendar(second) == twin.calendar(second)
    assert tally.calendar(seconds) == twin.calendar(seconds) and tally.calendar(seconds[:0]) == (0,) * 5
    found, wanted = np.zeros((2, 6, len(seconds)), "i8")
    words.calendar(seconds, found)
    words_twin.calendar(seconds, wanted)
    assert np.array_equal(found, wanted)


ONE, TWO, HASH, CODE = np.zeros(1, "i8"), np.zeros(2, "i8"), np.zeros(1, "u8"), np.zeros(1, np.intc)
U4, FULL = np.zeros(1, "u4"), tally.Tally(5, 5)


@pytest.mark.parametrize("function, arguments", [
    (FULL.add, (b"", ONE, ONE + 1, HASH)), (FULL.add, (b"", ONE, ONE, HASH[:0])), (FULL.add, (b"", ONE, ONE, HASH, CODE[:0])),
    (FULL.add, (b"", ONE, ONE, HASH, CODE, HASH[:0])), (FULL.merge, (0, b"", ONE, ONE, HASH, TWO, U4, U4)),
    (FULL.merge, (0, b"", ONE, ONE + 1, HASH, ONE, U4, U4)), (FULL.copy, (HASH, ONE, U4, U4, ONE, np.zeros(0, "u1"))),
    (tally.Bins, (64,)), (tally.Bins(44).add, (np.zeros(1), CODE[:0])), (tally.Bins(44).copy, (ONE, ONE)),
    (tally.mark, (b"", ONE, ONE, HASH, CODE[:0], b"", ONE, ONE, HASH, ONE, True)),
    (tally.mark, (b"", ONE, ONE, HASH, CODE, b"", ONE, ONE, HASH, TWO, True)),
    (tally.mark, (b"", ONE, ONE, HASH, CODE, b"", ONE, ONE + 1, HASH, ONE, True)),
    (tally.look, (b"", ONE, ONE, CODE, TWO)), (tally.look, (b"", ONE, ONE + 1, CODE, ONE)),
    (words.calendar, (np.zeros(2), np.zeros((6, 1), "i8"))), (words.calendar, (np.zeros(2), np.zeros((5, 2), "i8"))), (words.calendar, (np.array([-1e12]), np.zeros((6, 1), "i8"))),
    (tally.calendar, (np.array([np.nan]),)), (tally.calendar, (np.array([1e300]),)),
])
def test_arguments_that_do_not_fit_are_refused(function, arguments):
    with pytest.raises(ValueError, match=": |within its data"):
        function(*arguments)
