"""Rows as lines of text: numbers in decimal, and columns of fields beside each other.

Field i of a column is the bytes data[starts[i]:stops[i]]."""
include "common.pxi"
include "numbers.pxi"
include "fields.pxi"

from libc.string cimport memcpy

cdef extern from "written.h" nogil:
    enum:
        FIVES_KNOWN
        LONGEST
    int write_number(double value, int digits, const uint64_t (*fives)[3], const uint64_t* tens, unsigned char* out)

#: bytes that a number has, at most
ROOM = LONGEST

cdef uint64_t WHOLE[FIVES_KNOWN][3]     # 5^k
cdef uint64_t TENS[18]


cdef void _fill():
    cdef int k, limb
    cdef object power
    for k in range(18):
        TENS[k] = 10 ** <object> k
    for k in range(FIVES_KNOWN):
        power = 5 ** <object> k
        for limb in range(3):
            WHOLE[k][limb] = power & 0xffffffffffffffff
            power >>= 64


_fill()


def decimals(const double[:] values, int digits, int64_t[::1] starts, int64_t[::1] stops, unsigned char[::1] out):
    """The numbers as "%.{digits}g" % value has them, in `out`, which has ROOM bytes for each; `digits`: 1 to 17."""
    cdef Py_ssize_t i, n = values.shape[0]
    cdef int64_t at = 0
    cdef int size
    need(starts.shape[0] == stops.shape[0] == n and out.shape[0] == n * LONGEST,
         "decimals: starts, stops and out must have a place for each number")
    need(1 <= digits <= 17, "decimals: there are 1 to 17 digits")
    with nogil:
        for i in range(n):
            size = write_number(values[i], digits, WHOLE, TENS, &out[at])
            if size == 0:
                size = _rare(values[i], digits, &out[at])
            starts[i] = at
            at += size
            stops[i] = at


cdef int _rare(double value, int digits, unsigned char* out) noexcept with gil:
    """A number beyond what write_number knows."""
    text = b"%.*g" % (digits, value)
    memcpy(out, <const char*> text, len(text))
    return len(text)


cdef inline bint _special(unsigned char byte, int delimiter) noexcept nogil:
    return byte == b'"' or byte == delimiter or byte == b"\n" or byte == b"\r"


def room(Bytes data, Places starts, Places stops, int delimiter, int64_t[::1] sizes):
    """sizes[n] += the bytes that `put` writes for each field."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    cdef Text p
    cdef Text stop
    cdef int64_t quotes
    cdef bint special
    need(sizes.shape[0] == n, "room: sizes must have a place for each field")
    with nogil:
        for i in range(n):
            p, stop = base + starts[i], base + stops[i]
            sizes[i] += stop - p + 1
            if delimiter >= 0:
                quotes, special = 2, False
                while p < stop:
                    special |= _special(p[0], delimiter)
                    quotes += p[0] == b'"'
                    p += 1
                if special:
                    sizes[i] += quotes


def put(Bytes data, Places starts, Places stops, int delimiter, unsigned char end, int64_t[::1] places,
        unsigned char[::1] out):
    """Each field at out[places[n]] and the byte `end` behind it; places[n]: behind that then.

    delimiter: where a field has it, a quote or an end of a line, it stands in quotes, its own doubled; -1: no field does.
    There must be room for all."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    cdef Text p
    cdef Text stop
    cdef unsigned char* to
    cdef int64_t size, place
    cdef bint fit = True
    need(places.shape[0] == n, "put: places must have a place for each field")
    with nogil:
        for i in range(n):
            p, stop, place = base + starts[i], base + stops[i], places[i]
            size = stop - p
            if place < 0 or size >= out.shape[0] - place:
                fit = False
                break
            to = &out[place]
            if delimiter >= 0 and _any_special(p, stop, delimiter):
                size = _quote(p, stop, to, &out[0] + out.shape[0])
                if size < 0:
                    fit = False
                    break
            elif size:
                memcpy(to, p, size)
            to[size] = end
            places[i] = place + size + 1
    need(fit, "put: there is no room for a field")


cdef bint _any_special(Text p, Text stop, int delimiter) noexcept nogil:
    while p < stop and not _special(p[0], delimiter):
        p += 1
    return p < stop


cdef int64_t _quote(Text p, Text stop, unsigned char* to, unsigned char* end) noexcept nogil:
    """Writes a field in quotes, and leaves a byte behind it; its size, or -1 where there is no room."""
    cdef unsigned char* start = to
    if end - to < stop - p + 3:
        return -1
    to[0] = b'"'
    to += 1
    while p < stop:
        if end - to < stop - p + 2 + (p[0] == b'"'):
            return -1
        if p[0] == b'"':
            to[0] = b'"'
            to += 1
        to[0] = p[0]
        to += 1
        p += 1
    to[0] = b'"'
    return to + 1 - start
