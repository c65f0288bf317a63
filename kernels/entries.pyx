"""Sparse rows as text, `id:value id:value ..`, and the lines of libsvm's files that they stand in.

Field i is the bytes data[starts[i]:stops[i]]."""
include "common.pxi"
include "numbers.pxi"

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memchr

# more of what may be wrong with entries: one that is not id:value, ids that do not rise, one beyond the features
ENTRY, ORDER, BEYOND = range(6, 9)

cdef enum:
    _ENTRY = 6
    _ORDER
    _BEYOND

ctypedef const unsigned char[::1] Bytes


cdef inline bint _gap(unsigned char byte) noexcept nogil:
    return byte == b" " or byte == b"\t" or byte == b"\r"


def lines(Bytes data, int64_t[:, ::1] starts, int64_t[:, ::1] stops, int[::1] codes):
    r"""starts, stops[rows, 6] = the parts of each line of `data`: label, qid, entries, comment, first id and last id; returns how
    many lines there are. codes[row] is GOOD, EMPTY, or FIELDS (it has no label, as a comment). A line ends at \n."""
    cdef Py_ssize_t row = 0, rows = codes.shape[0], size = data.shape[0]
    cdef Text p
    cdef Text end
    cdef Text stop
    need(starts.shape[0] == stops.shape[0] == rows and starts.shape[1] == stops.shape[1] == 6, "lines: starts and stops[rows, 6], codes[rows] do not fit")
    if size == 0:
        return 0
    p, end = &data[0], &data[0] + size
    with nogil:
        while p < end and row < rows:
            stop = <Text> memchr(p, b"\n", end - p)
            if stop == NULL:
                stop = end
            codes[row] = _line(&data[0], p, stop, &starts[row, 0], &stops[row, 0])
            p = stop + (stop < end)
            row += 1
    need(p == end, "lines: more lines than rows to put them in")
    return row


cdef int _line(Text base, Text p, Text stop, int64_t* starts, int64_t* stops) noexcept nogil:
    cdef Text note
    cdef Text first
    cdef int i
    for i in range(6):
        starts[i] = stops[i] = 0
    note = <Text> memchr(p, b"#", stop - p)
    if note != NULL:
        starts[3] = note + 1 - base
        first = stop
        while first > note + 1 and _gap((first - 1)[0]):
            first -= 1
        while base + starts[3] < first and _gap(base[starts[3]]):
            starts[3] += 1
        stops[3] = first - base
        stop = note
    while stop > p and _gap((stop - 1)[0]):
        stop -= 1
    while p < stop and _gap(p[0]):
        p += 1
    if p == stop:
        return _EMPTY if note == NULL else _FIELDS
    starts[0] = p - base
    while p < stop and not _gap(p[0]):
        p += 1
    stops[0] = p - base
    while p < stop and _gap(p[0]):
        p += 1
    if stop - p > 4 and p[0] == b"q" and p[1] == b"i" and p[2] == b"d" and p[3] == b":":
        starts[1] = p + 4 - base
        while p < stop and not _gap(p[0]):
            p += 1
        stops[1] = p - base
        while p < stop and _gap(p[0]):
            p += 1
    if p == stop:
        return _GOOD
    starts[2], stops[2] = p - base, stop - base
    first = p
    while first < stop and first[0] != b":":
        first += 1
    starts[4], stops[4] = p - base, first - base
    while stop > p and (stop - 1)[0] != b":":
        stop -= 1
    stops[5] = stop - (stop > p) - base
    while stop > p and not _gap((stop - 1)[0]):
        stop -= 1
    starts[5] = stop - base
    if stops[5] < starts[5]:
        stops[5] = starts[5]
    return _GOOD


def entries(Bytes data, const int64_t[:] starts, const int64_t[:] stops, long long first, long long width,
            int64_t[::1] ends, int32_t[::1] ids, double[::1] values, int[::1] codes):
    """ids[ends[i]:ends[i + 1]] and values = those of field i, where `first` is the id of feature 0 and there are `width`; returns
    how many there are. Zeros are left out. codes[i] is GOOD, or what is wrong with field i, which then has none: ENTRY, ORDER,
    BEYOND, NUMBER or FINITE. There must be room for as many as `data` has colons in the fields."""
    cdef Py_ssize_t i, n = starts.shape[0], at = 0, before, room = ids.shape[0]
    cdef Text base
    need(stops.shape[0] == n == codes.shape[0] and ends.shape[0] == n + 1 and values.shape[0] == room and 0 <= width < 2 ** 31,
         "entries: starts, stops, codes[n], ends[n + 1], ids and values do not fit")
    for i in range(n):
        need(0 <= starts[i] <= stops[i] <= data.shape[0], "entries: a field is outside of the data")
    ends[0] = 0
    base = &data[0] if data.shape[0] else NULL
    with nogil:
        for i in range(n):
            before = at
            codes[i] = _entries(base + starts[i], base + stops[i], first, width, &ids[0], &values[0], &at, room)
            if codes[i]:
                at = before
            ends[i + 1] = at
    return at


cdef int _entries(Text p, Text stop, long long first, long long width, int32_t* ids, double* values, Py_ssize_t* at,
                  Py_ssize_t room) noexcept nogil:
    cdef long long id, last = -1
    cdef unsigned int digit
    cdef unsigned long long m
    cdef Text start
    cdef double value
    cdef int code
    while True:
        while p < stop and _gap(p[0]):
            p += 1
        if p == stop:
            return _GOOD
        start, id = p, 0
        while p < stop and 48 <= p[0] <= 57 and p - start < 12:
            id = id * 10 + (p[0] - 48)
            p += 1
        if p == start or p == stop or p[0] != b":":
            return _ENTRY
        p += 1
        id -= first
        if id <= last:
            return _ORDER
        if id >= width:
            return _BEYOND
        last = id
        start, m = p, 0
        while p < stop and 48 <= p[0] <= 57 and p - start < 16:
            m = m * 10 + (p[0] - 48)
            p += 1
        if start < p < start + 16 and (p == stop or _gap(p[0])):
            value = <double> m
        else:
            p = start
            code = _float(&p, stop, b".", 0, &value)
            if code == _NUMBER or p < stop and not _gap(p[0]):
                return _NUMBER
            if code:
                return code
        if value != 0:
            if at[0] == room:
                return _ENTRY
            ids[at[0]], values[at[0]] = <int32_t> id, value
            at[0] += 1
