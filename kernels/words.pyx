"""Columns of words: fields of text found in its lines, and what is made of them.

Field i is the bytes data[starts[i]:stops[i]]. Each function raises ValueError where one is not
within its data, and where arrays do not fit."""
include "common.pxi"
include "numbers.pxi"
include "fields.pxi"
include "dates.pxi"
include "calendar.pxi"

from libc.math cimport NAN
from libc.string cimport memchr, memcmp, memcpy, memmove

cdef extern from "words.h" nogil:
    Text find(Text p, Text stop, Text end, unsigned char a, unsigned char b)
    uint64_t hash_word(Text p, size_t size)
    size_t put_line_ends(Text p, size_t size, int64_t* out, size_t n)


cdef bytes DIGITS = b"0123456789+-eE"


def split(unsigned char[::1] buffer, unsigned char delimiter, int64_t[:, ::1] starts,
          int64_t[:, ::1] stops, int[::1] codes, int[::1] fields, const int64_t[::1] ends=None):
    r"""starts, stops[rows, columns] = the fields of each line in `buffer`; returns how many lines.

    A line ends at \n, or before \r's that stand there; with `ends`, which rise, only at those newlines
    whose places these are: others are blanks or text like any. Fields lose the blanks and tabs around them.
    The delimiter 32 (a blank) stands for any run of blanks and tabs. A field that begins with a
    double quote ends at the next one: delimiters in between are text, and "" is one quote. Text
    after that second quote belongs to the field, as in Python's csv; quotes elsewhere are text.
    `buffer` changes only within fields that have "" or such text.

    codes[row] is GOOD, EMPTY (a blank line), FIELDS (not `columns` of them) or QUOTE (a quoted
    field does not end in this line); fields[row] is the count of fields, or the index of that
    field. The places of fields that were not found are 0:0."""
    cdef Py_ssize_t row = 0, rows = codes.shape[0]
    cdef unsigned char* p
    cdef unsigned char* end
    cdef unsigned char* stop
    need(starts.shape[0] == stops.shape[0] == fields.shape[0] == rows
         and starts.shape[1] == stops.shape[1],
         "split: starts and stops[rows, columns], codes[rows] and fields[rows] do not fit")
    need(delimiter not in b'"\r\n', "split: no such delimiter")
    need(ends is None or ends.shape[0] == rows, "split: ends[rows] and codes[rows] do not fit")
    if buffer.shape[0] == 0:
        return 0
    with nogil:
        p, end = &buffer[0], &buffer[0] + buffer.shape[0]
        while p < end and row < rows:
            if ends is None:
                stop = <unsigned char*> memchr(p, b"\n", end - p)
                if stop == NULL:
                    stop = end
            else:
                stop = &buffer[0] + ends[row]
                if stop < p or stop > end:
                    break
            codes[row] = _split(&buffer[0], p, stop, end, delimiter, starts, stops, row,
                                &fields[row])
            p = stop + (stop < end)
            row += 1
    need(p == end, "split: more lines than rows to put them in, or ends that do not rise to the last one")
    return row


cdef inline bint _blank(unsigned char byte, unsigned char delimiter) noexcept nogil:
    return byte == b" " or (byte == b"\t" and delimiter != b"\t")


cdef int _split(unsigned char* base, unsigned char* p, unsigned char* stop, Text end,
                unsigned char delimiter, int64_t[:, ::1] starts, int64_t[:, ::1] stops,
                Py_ssize_t row, int* field) noexcept nogil:
    """One line."""
    cdef unsigned char other = b"\t" if delimiter == b" " else delimiter
    cdef Py_ssize_t f = 0, columns = starts.shape[1]
    cdef unsigned char* start
    cdef unsigned char* last        # where the field ends
    cdef int code = _GOOD
    while stop > p and (stop - 1)[0] == b"\r":
        stop -= 1
    start = p
    while start < stop and _blank(start[0], delimiter):
        start += 1
    if start == stop:
        code = _EMPTY
    while code == _GOOD:
        while p < stop and _blank(p[0], delimiter):
            p += 1
        if delimiter == b" " and p == stop:
            break
        start = p
        if p < stop and p[0] == b'"':
            start += 1
            p = _quoted(start, stop, end, delimiter, other, &last)
            if p == NULL:
                code = _QUOTE
                break
            while start < last and (start[0] == b" " or start[0] == b"\t"):
                start += 1
            while start < last and ((last - 1)[0] == b" " or (last - 1)[0] == b"\t"):
                last -= 1
        else:
            p = last = <unsigned char*> find(p, stop, end, delimiter, other)
            while start < last and _blank((last - 1)[0], delimiter):
                last -= 1
        if f < columns:
            starts[row, f], stops[row, f] = start - base, last - base
        f += 1
        if p == stop:
            break
        p += 1
    field[0] = <int> f
    if code == _GOOD and f != columns:
        code = _FIELDS
    while f < columns:
        starts[row, f] = stops[row, f] = 0
        f += 1
    return code


cdef unsigned char* _quoted(unsigned char* start, unsigned char* stop, Text end,
                            unsigned char delimiter, unsigned char other,
                            unsigned char** last) noexcept nogil:
    """Takes the quotes out of a field, in place: it is [start, last[0]) then.

    Returns where its delimiter is; NULL where its quote does not end."""
    cdef unsigned char* quote
    cdef unsigned char* p = start       # read up to here
    cdef unsigned char* to = start      # and written up to here
    cdef Py_ssize_t size
    cdef bint doubled = True
    while doubled:
        quote = <unsigned char*> memchr(p, b'"', stop - p)
        if quote == NULL:
            return NULL
        doubled = quote + 1 < stop and quote[1] == b'"'
        size = quote - p + doubled
        if to != p:
            memmove(to, p, size)
        to += size
        p = quote + 1 + doubled
    quote = <unsigned char*> find(p, stop, end, delimiter, other)
    size = quote - p
    while size and _blank(p[size - 1], delimiter):
        size -= 1
    memmove(to, p, size)
    last[0] = to + size
    return quote


def numbers(Bytes data, Places starts, Places stops, unsigned char decimal,
            unsigned char thousands, double[::1] out, int[::1] codes):
    """out[n] = float(field), to the bit; nan where codes[n] is not GOOD.

    `decimal` is the byte before the fraction. `thousands` (0: none) is a byte that may stand
    between the digits before it, in groups of three; the first group then has 1 to 3 and begins
    with no 0. Blanks and underscores are not read. codes: GOOD, EMPTY, NUMBER (is none), FINITE (inf, nan or
    too large)."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    cdef Text end = base + data.shape[0]
    need(out.shape[0] == codes.shape[0] == n,
         "numbers: out and codes must have a place for each field")
    need(decimal != thousands and decimal not in DIGITS and thousands not in DIGITS,
         "numbers: no such decimal or thousands mark")
    with nogil:
        for i in range(n):
            codes[i] = _field(base + starts[i], base + stops[i], end, decimal, thousands, &out[i])
            if codes[i] != _GOOD:
                out[i] = NAN


def line_ends(Bytes data, int64_t[::1] out):
    """out[i] = the place of the i-th newline; returns how many there are, of which out need not have room for all."""
    cdef int64_t none
    return put_line_ends(_base(data), data.shape[0], &out[0] if out.shape[0] else &none, out.shape[0])


def calendar(const double[::1] seconds, int64_t[:, ::1] out):
    """out[6, n] = year, month, day, weekday, hour and minute of seconds since 1970, each but the year from 0 on (Monday is 0)."""
    cdef Py_ssize_t i, k
    cdef int64_t parts[6]
    need(out.shape[0] == 6 and out.shape[1] == seconds.shape[0], "calendar: out must be [6, seconds]")
    _counted(seconds)
    with nogil:
        for i in range(seconds.shape[0]):
            _parts(seconds[i], parts)
            for k in range(6):
                out[k, i] = parts[k]


def hashes(Bytes data, Places starts, Places stops, uint64_t[::1] out):
    """out[n] = a hash of each field, the same on every CPU; any of its bits may be used alone."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    need(out.shape[0] == n, "hashes: out must have a place for each field")
    with nogil:
        for i in range(n):
            out[i] = hash_word(base + starts[i], stops[i] - starts[i])


def pack(Bytes data, Places starts, Places stops, unsigned char[::1] out):
    """out = the bytes of all fields, one after the other."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), size = 0
    cdef Text base = _base(data)
    for i in range(n):
        size += stops[i] - starts[i]
    need(out.shape[0] == size, "pack: out must have room for all bytes, and no more")
    size = 0
    if out.shape[0]:
        with nogil:
            for i in range(n):
                memcpy(&out[size], base + starts[i], stops[i] - starts[i])
                size += stops[i] - starts[i]


def equal(Bytes data, Places starts, Places stops, Bytes other, Places ostarts, Places ostops,
          Places indices, unsigned char[::1] out):
    """out[n] = 1 where field i equals field indices[i] of `other`, else 0; 0 for the index -1."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), m = _count(other, ostarts, ostops), size
    cdef Text base = _base(data)
    cdef Text obase = _base(other)
    cdef int64_t at
    cdef bint fit = True
    need(indices.shape[0] == out.shape[0] == n,
         "equal: indices and out must have a place for each field")
    with nogil:
        for i in range(n):
            fit &= -1 <= indices[i] < m
    need(fit, "equal: an index is not of a field")
    with nogil:
        for i in range(n):
            at, size = indices[i], stops[i] - starts[i]
            out[i] = (at >= 0 and size == ostops[at] - ostarts[at]
                      and not memcmp(base + starts[i], obase + ostarts[at], size))


def tokens(Bytes data, Places starts, Places stops, bint chars, Py_ssize_t most, unsigned char[::1] out,
           int64_t[::1] first, int64_t[::1] last, int64_t[::1] edges):
    """first, last[k] = where tokens are in `out`, at most `most` of each field; those of field i are edges[i]
    to edges[i + 1]. Returns how many there are. `out` gets the fields' bytes, one after the other, with small
    letters for ASCII's capitals; bytes behind the last token of a field may be left out.

    A token is a run of ASCII letters, digits and bytes above 127; with `chars` a character of UTF-8: a byte, and
    those of the form 10...... behind it. There must be room for `most` tokens of each field, or for every other
    byte of it; with `chars` for every byte."""
    cdef Py_ssize_t i, k, n = _count(data, starts, stops), size = 0, room = 0, count = 0, limit
    cdef Text base = _base(data)
    cdef unsigned char byte
    cdef bint inside, now
    for i in range(n):
        k = stops[i] - starts[i]
        size += k
        room += min(most, k if chars else (k + 1) / 2)
    need(most > 0 and out.shape[0] >= size and first.shape[0] >= room and last.shape[0] >= room
         and edges.shape[0] == n + 1, "tokens: out, first, last and edges[n + 1] do not fit")
    edges[0] = size = 0
    with nogil:
        for i in range(n):
            limit, inside = count + most, False
            for k in range(starts[i], stops[i]):
                byte = SMALL[base[k]]
                now = byte >= 128 or IN_WORD[byte] or chars
                if inside and (not now or chars and byte & 0xc0 != 0x80):
                    last[count] = size
                    count += 1
                    inside = False
                if now and not inside:
                    if count == limit:
                        break
                    first[count] = size
                    inside = True
                out[size] = byte
                size += 1
            if inside:
                last[count] = size
                count += 1
            edges[i + 1] = count
    return count


cdef unsigned char SMALL[256]           # of a byte: that of its small letter
cdef unsigned char IN_WORD[128]
for _byte in range(256):
    SMALL[_byte] = _byte + 32 * (65 <= _byte <= 90)
    if _byte < 128:
        IN_WORD[_byte] = 48 <= _byte <= 57 or 97 <= _byte <= 122


def dates(Bytes data, Places starts, Places stops, int order, double[::1] out, int[::1] codes):
    """out[n] = seconds since 1970 UTC of a date; nan where codes[n] is not GOOD.

    `order` is YMD, DMY or MDY. A year has 4 digits, 0001 to 9999; month and day have 1 or 2, with
    two equal separators of - / . between the parts, or 2 without separators. A month may be a name
    (_month); separators may then be blanks, behind a dot that ends the name or a comma in front of the
    year, and a year of two digits behind day and month is one of 1969 to 2068. A time may follow: T or
    a blank, H:MM or HH:MM, :SS, .fraction (its first 9 digits count), and then Z or the offset from
    UTC: +HH, +HHMM or +HH:MM, or with -. codes: GOOD, EMPTY, NUMBER (is no date, or one that the
    calendar does not have)."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    need(out.shape[0] == codes.shape[0] == n,
         "dates: out and codes must have a place for each field")
    need(0 <= order <= 2, "dates: the order is YMD, DMY or MDY")
    with nogil:
        for i in range(n):
            codes[i] = _EMPTY
            if starts[i] < stops[i]:
                codes[i] = _date(base + starts[i], base + stops[i], order, &out[i])
            if codes[i] != _GOOD:
                out[i] = NAN
