"""What is counted of a column, each batch in one pass: its words or a sample of them, its numbers, its dates.

Field i is the bytes data[starts[i]:stops[i]]; codes[i] is that of words.numbers, or GONE: the value is missing. Each function
raises ValueError where a field is not within its data, and where arrays do not fit."""
include "common.pxi"
include "numbers.pxi"
include "fields.pxi"
include "months.pxi"
include "calendar.pxi"

from libc.math cimport INFINITY
from libc.stdint cimport uint32_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

cdef extern from "tally.h" nogil:
    struct Entry:
        uint64_t hash
        int64_t count
        size_t start
        uint32_t length, low, high
    struct Sample:
        size_t most, bytes_most, size, bytes
        unsigned level
        Entry* entries
        uint32_t* slots
        unsigned char* text
    bint sampled(const Sample*, uint64_t)
    bint raise_level(Sample*, unsigned)
    void fetch(const Sample*, uint64_t, int)
    bint count_word(Sample*, uint64_t, Text, size_t, int64_t, uint32_t, uint32_t)
    struct Bin:
        int64_t key, count
    struct Histogram:
        Bin* bins
        size_t size
        unsigned bits
    void fetch_bin(const Histogram*, int64_t)
    bint count_key(Histogram*, int64_t)


GONE = -1                       # the code of a value that is missing

cdef enum:
    _GONE = -1
    AHEAD = 6                   # words between one step of `fetch` and the next


cdef class Tally:
    """The words whose hash ends in `level` zero bits, and of each how often it came, and the least and the largest label.

    The level is the least one at which there are no more than `most`, of no more than `size` bytes. Words of one hash count as
    the first of them, in the order of their bytes. MemoryError where no memory is left."""
    cdef Sample sample

    def __cinit__(self, size_t most, size_t size):
        memset(&self.sample, 0, sizeof(Sample))
        self.sample.most, self.sample.bytes_most = most, size

    def __dealloc__(self):
        free(self.sample.entries)
        free(self.sample.slots)
        free(self.sample.text)

    def __len__(self):
        return self.sample.size

    @property
    def level(self):
        return self.sample.level

    @property
    def size(self):
        """The bytes of all words."""
        return self.sample.bytes

    def add(self, Bytes data, Places starts, Places stops, const uint64_t[:] hashes, const int[::1] codes=None,
            const uint64_t[:] labels=None):
        """Counts each field that is not GONE, once. A label is the upper half of labels[n]; of words without one it is
        between 2^32 - 1 and 0."""
        cdef Py_ssize_t i, n = _count(data, starts, stops)
        cdef Text base = _base(data)
        cdef uint32_t low = 0xffffffff, high = 0
        cdef int step
        cdef bint done = True
        need(hashes.shape[0] == n and (codes is None or codes.shape[0] == n) and (labels is None or labels.shape[0] == n),
             "add: there is a hash, a code and a label for each field")
        with nogil:
            for i in range(n):
                for step in range(3):
                    if i + AHEAD * (3 - step) < n:
                        fetch(&self.sample, hashes[i + AHEAD * (3 - step)], step)
                if sampled(&self.sample, hashes[i]) and (codes is None or codes[i] != _GONE):
                    if labels is not None:
                        low = high = labels[i] >> 32
                    done &= count_word(&self.sample, hashes[i], base + starts[i], stops[i] - starts[i], 1, low, high)
        if not done:
            raise MemoryError

    def merge(self, unsigned level, Bytes data, Places starts, Places stops, const uint64_t[:] hashes, const int64_t[:] counts,
              const uint32_t[:] low, const uint32_t[:] high):
        """Adds the words of another one, which has that level."""
        cdef Py_ssize_t i, n = _count(data, starts, stops)
        cdef Text base = _base(data)
        cdef bint done = True
        need(hashes.shape[0] == counts.shape[0] == low.shape[0] == high.shape[0] == n,
             "merge: there are hashes, counts, low and high for each field")
        with nogil:
            if level > self.sample.level:
                done = raise_level(&self.sample, level)
            for i in range(n):
                if sampled(&self.sample, hashes[i]):
                    done &= count_word(&self.sample, hashes[i], base + starts[i], stops[i] - starts[i], counts[i], low[i], high[i])
        if not done:
            raise MemoryError

    def copy(self, uint64_t[::1] hashes, int64_t[::1] counts, uint32_t[::1] low, uint32_t[::1] high, int64_t[::1] ends,
             unsigned char[::1] out):
        """What there is of each word, len(self) of them, in no order; word i ends at ends[i] of out[self.size]."""
        cdef Py_ssize_t i, n = self.sample.size, at = 0
        cdef Entry* entry
        need(hashes.shape[0] == counts.shape[0] == low.shape[0] == high.shape[0] == ends.shape[0] == n
             and out.shape[0] == <Py_ssize_t> self.sample.bytes, "copy: there is a place for each word, and room for all bytes")
        with nogil:
            for i in range(n):
                entry = &self.sample.entries[i]
                hashes[i], counts[i], low[i], high[i] = entry.hash, entry.count, entry.low, entry.high
                if entry.length:
                    memcpy(&out[at], self.sample.text + entry.start, entry.length)
                at += entry.length
                ends[i] = at


cdef class Bins:
    """How many numbers there are in each bin: those that have all bits but the last `dropped` in common."""
    cdef Histogram histogram
    cdef int dropped

    def __cinit__(self, int dropped):
        need(0 <= dropped < 64, "Bins: a number has 64 bits")
        memset(&self.histogram, 0, sizeof(Histogram))
        self.dropped = dropped

    def __dealloc__(self):
        free(self.histogram.bins)

    def __len__(self):
        return self.histogram.size

    def add(self, const double[::1] values, const int[::1] codes=None):
        """(how many are GOOD, how many of these are whole, the least, the largest); -0.0 is 0.0."""
        cdef Py_ssize_t i, n = values.shape[0], count = 0, whole = 0
        cdef double value, least = INFINITY, largest = -INFINITY
        cdef int64_t bits
        cdef bint done = True
        need(codes is None or codes.shape[0] == n, "add: there is a code for each value")
        with nogil:
            for i in range(n):
                if i + 2 * AHEAD < n:
                    value = values[i + 2 * AHEAD] + 0.0
                    memcpy(&bits, &value, 8)
                    fetch_bin(&self.histogram, bits >> self.dropped)
                if codes is None or codes[i] == _GOOD:
                    value = values[i] + 0.0
                    count += 1
                    whole += fabs(value) >= 4503599627370496.0 or <double> <int64_t> value == value
                    least, largest = min(least, value), max(largest, value)
                    memcpy(&bits, &value, 8)
                    done &= count_key(&self.histogram, bits >> self.dropped)
        if not done:
            raise MemoryError
        return count, whole, least, largest

    def copy(self, int64_t[::1] keys, int64_t[::1] counts):
        """The bits of each bin, len(self) of them, in no order, and its count."""
        cdef Py_ssize_t i, at = 0, n = self.histogram.size
        need(keys.shape[0] == counts.shape[0] == n, "copy: there is a place for each bin")
        with nogil:
            for i in range(<Py_ssize_t> 1 << self.histogram.bits if n else 0):
                if self.histogram.bins[i].count:
                    keys[at], counts[at] = self.histogram.bins[i].key, self.histogram.bins[i].count
                    at += 1


def mark(Bytes data, Places starts, Places stops, const uint64_t[:] hashes, int[::1] codes, Bytes other, Places ostarts, Places ostops,
         const uint64_t[::1] ohashes, int64_t[::1] counts, bint numbers):
    """codes[n] = GONE where a field is a field i of `other`, which are few; counts[i] is one more then. Returns how many are.

    numbers: whether those that are GOOD are looked at too."""
    cdef Py_ssize_t i, j, size, n = _count(data, starts, stops), m = _count(other, ostarts, ostops), found = 0
    cdef Text base = _base(data)
    cdef Text obase = _base(other)
    cdef uint64_t there = 0             # the bits that the leading bits of their hashes tell
    need(hashes.shape[0] == codes.shape[0] == n and ohashes.shape[0] == counts.shape[0] == m,
         "mark: there is a hash and a code for each field, and a hash and a count for each other one")
    with nogil:
        for j in range(m):
            there |= <uint64_t> 1 << (ohashes[j] >> 58)
        for i in range(n):
            if (codes[i] != _GOOD or numbers) and there >> (hashes[i] >> 58) & 1:
                size = stops[i] - starts[i]
                for j in range(m):
                    if (ohashes[j] == hashes[i] and ostops[j] - ostarts[j] == size
                            and not memcmp(obase + ostarts[j], base + starts[i], size)):
                        counts[j] += 1
                        codes[i] = _GONE
                        found += 1
                        break
    return found


def look(Bytes data, Places starts, Places stops, const int[::1] codes, int64_t[::1] places):
    """(the bytes of the longest field, how many are numbers with a needless 0 in front, how many are FINITE, how many may be
    dates): of those that are not GONE. The places of the last are places[:that].

    A date has 8 bytes or more and begins with a digit, or 10, begins with a month's name and ends as numbers or in Z; one that is a number has 8 bytes."""
    cdef Py_ssize_t i, size, n = _count(data, starts, stops), longest = 0, padded = 0, infinite = 0, dates = 0
    cdef Text base = _base(data)
    cdef Text p
    need(codes.shape[0] == places.shape[0] == n, "look: there is a code and a place for each field")
    with nogil:
        for i in range(n):
            if codes[i] == _GONE:
                continue
            p, size = base + starts[i], stops[i] - starts[i]
            longest = max(longest, size)
            infinite += codes[i] == _FINITE
            if size > 1 and 48 <= p[0] <= 57:
                padded += codes[i] == _GOOD and p[0] == 48 and 48 <= p[1] <= 57
                if size == 8 or (size > 8 and codes[i] != _GOOD):
                    places[dates] = i
                    dates += 1
            elif size >= 10 and p[0] >= 65 and (p[size - 1] <= 57 or p[size - 1] == b"Z") and _month(&p, p + size):
                places[dates] = i
                dates += 1
    return longest, padded, infinite, dates


def calendar(const double[::1] seconds):
    """Which months, days, weekdays, hours and minutes there are of seconds since 1970, as bits from 0 on (Monday is 0);
    between the years -9999 and 9999."""
    cdef Py_ssize_t i, k
    cdef int64_t parts[6]
    cdef int64_t bits[6]
    bits[:] = [0, 0, 0, 0, 0, 0]
    _counted(seconds)
    with nogil:
        for i in range(seconds.shape[0]):
            _parts(seconds[i], parts)
            for k in range(1, 6):
                bits[k] |= <int64_t> 1 << parts[k]
    return bits[1], bits[2], bits[3], bits[4], bits[5]
