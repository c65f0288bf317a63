"""Lines of delimited numbers in, rows of doubles out; base64 in, bytes out."""
include "common.pxi"

from libc.math cimport isfinite
from libc.string cimport memchr


cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** stop, object overflow) except? -1.0


# what became of a line
GOOD, EMPTY, FIELDS, NUMBER, FINITE = range(5)

cdef enum:
    _GOOD, _EMPTY, _FIELDS, _NUMBER, _FINITE, _SLOW

ctypedef const unsigned char* Text

cdef double POWER[23]
cdef unsigned int SIXTEENTH[4][256]     # base64: the bits of a character at each place in its four


cdef void _tables():
    cdef int i, place
    cdef bytes alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef unsigned int bits
    for i in range(23):
        POWER[i] = float("1e%d" % i)
    for i in range(256):
        for place in range(4):
            bits = alphabet.find(bytes([i])) if bytes([i]) in alphabet else 1 << 24
            if bits < 64:       # 24 bits, the first byte lowest
                bits <<= 18 - 6 * place
                bits = (bits >> 16) | (bits & 0xff00) | (bits & 0xff) << 16
            SIXTEENTH[place][i] = bits


_tables()


def parse(bytes lines, unsigned char delimiter, double[:, ::1] out, int[::1] codes,
          int[::1] fields):
    """out[line, field] = float(field), rounded as Python rounds; returns the count of lines.

    codes[line] is GOOD, EMPTY, FIELDS (not out.shape[1] of them), NUMBER (does not parse) or
    FINITE (is not); fields[line] is the count of fields, or the field where the line went wrong.
    Spaces and double quotes around a number are allowed, and so is a carriage return at the end."""
    cdef Text p = lines
    cdef Text end = p + len(lines)
    cdef Text stop
    cdef Py_ssize_t row = 0
    need(codes.shape[0] == out.shape[0] and fields.shape[0] == out.shape[0],
         "parse: out, codes and fields must have one length")
    need(delimiter not in b'0123456789+-.eE" \r\n\0', "parse: no such delimiter")
    while p < end:
        need(row < out.shape[0], "parse: more lines than rows to put them in")
        stop = <Text> memchr(p, b"\n", end - p)
        if stop == NULL:
            stop = end
        with nogil:
            codes[row] = _line(p, stop, delimiter, out, row, &fields[row])
        p = stop + 1
        row += 1
    return row


cdef int _line(Text p, Text stop, unsigned char delimiter, double[:, ::1] out, Py_ssize_t row,
               int* field) noexcept nogil:
    cdef Py_ssize_t f = 0
    cdef Text start
    cdef unsigned long long m
    cdef unsigned int digit
    cdef int code
    field[0] = 0
    if stop > p and (stop - 1)[0] == b"\r":
        stop -= 1
    start = p
    while start < stop and start[0] == b" ":
        start += 1
    if start == stop:
        return _EMPTY
    while True:
        if f == out.shape[1]:           # one too many: count the rest
            while p < stop:
                f += p[0] == delimiter
                p += 1
            field[0] = <int> f + 1
            return _FIELDS
        start, m = p, 0
        digit = <unsigned int> p[0] - 48
        while digit < 10:               # bytes end with a zero, so this never leaves them
            m = m * 10 + digit
            p += 1
            digit = <unsigned int> p[0] - 48
        if start < p <= start + 15 and (p == stop or p[0] == delimiter):
            out[row, f] = <double> m
        else:
            p = start
            code = _number(&p, stop, delimiter, &out[row, f])
            if code:
                field[0] = <int> f
                return code
        f += 1
        if p == stop:
            break
        p += 1
    field[0] = <int> f
    return _GOOD if f == out.shape[1] else _FIELDS


cdef int _number(Text* place, Text stop, unsigned char delimiter, double* value) noexcept nogil:
    """One field: spaces, a quote, a number, a quote, spaces; leaves place[0] at its end."""
    cdef Text p = place[0]
    cdef Text start
    cdef bint quoted
    cdef int code
    while p < stop and p[0] == b" ":
        p += 1
    quoted = p < stop and p[0] == b'"'
    p += quoted
    while p < stop and p[0] == b" ":
        p += 1
    start = p
    code = _decimal(&p, stop, value)
    if code == _NUMBER:
        code = _word(&p, stop)
    while p < stop and p[0] == b" ":
        p += 1
    if quoted and p < stop and p[0] == b'"':
        p += 1
        quoted = False
    while p < stop and p[0] == b" ":
        p += 1
    if code == _NUMBER or quoted or not (p == stop or p[0] == delimiter):
        return _NUMBER
    if code == _SLOW:
        value[0] = _slow(start)
        code = _GOOD if isfinite(value[0]) else _FINITE
    place[0] = p
    return code


cdef int _decimal(Text* place, Text stop, double* value) noexcept nogil:
    """digits [. digits] [e digits], exact where digits and power of ten are exact doubles."""
    cdef Text p = place[0]
    cdef Text start
    cdef unsigned long long m = 0
    cdef int digits = 0, power = 0, shown = 0
    cdef bint minus = p[0] == b"-", less
    if p < stop and (p[0] == b"-" or p[0] == b"+"):
        p += 1
    start = p
    while p < stop and 48 <= p[0] <= 57:
        if digits or p[0] != 48:
            digits += 1
        if digits <= 19:
            m = m * 10 + (p[0] - 48)
        p += 1
    shown = p > start
    if p < stop and p[0] == b".":
        p += 1
        start = p
        while p < stop and 48 <= p[0] <= 57:
            if digits or p[0] != 48:
                digits += 1
            if digits <= 19:
                m = m * 10 + (p[0] - 48)
            p += 1
        power = <int> (start - p)
        shown |= p > start
    if not shown:
        return _NUMBER
    if p < stop and (p[0] == b"e" or p[0] == b"E"):
        p += 1
        less = p < stop and p[0] == b"-"
        if p < stop and (p[0] == b"-" or p[0] == b"+"):
            p += 1
        start, shown = p, 0
        while p < stop and 48 <= p[0] <= 57:
            if shown < 100000:
                shown = shown * 10 + (p[0] - 48)
            p += 1
        if p == start:
            return _NUMBER
        power += -shown if less else shown
    place[0] = p
    if digits > 19 or m > 1ULL << 53 or power < -22 or power > 22:
        return _SLOW
    value[0] = <double> m
    if power < 0:
        value[0] /= POWER[-power]
    else:
        value[0] *= POWER[power]
    if minus:
        value[0] = -value[0]
    return _GOOD


cdef int _word(Text* place, Text stop) noexcept nogil:
    """inf, infinity or nan, as Python's float() takes them: numbers, but not finite."""
    cdef Text p = place[0]
    cdef Py_ssize_t size = 0
    cdef const char* word
    cdef int i, j
    if p < stop and (p[0] == b"-" or p[0] == b"+"):
        p += 1
    for i in range(3):
        word = "infinity" if i == 0 else "inf" if i == 1 else "nan"
        size = 8 if i == 0 else 3
        if stop - p >= size:
            for j in range(<int> size):
                if (p[j] | 32) != <unsigned char> word[j]:
                    break
            else:
                place[0] = p + size
                return _FINITE
    return _NUMBER


cdef double _slow(Text start) noexcept with gil:
    cdef char* stop
    try:
        return PyOS_string_to_double(<const char*> start, &stop, OverflowError)
    except OverflowError:
        return float("inf")


def decode64(const unsigned char[::1] characters, unsigned char[::1] out):
    """out[3k:3k+3] = the bytes of characters[4k:4k+4]; False where one is not of base64.

    Without padding characters and without line ends; as fast as memory, and without the GIL."""
    cdef Py_ssize_t k, groups = characters.shape[0] // 4
    cdef unsigned int bits, wrong = 0
    cdef Text c
    cdef unsigned char* o
    need(characters.shape[0] == 4 * groups and out.shape[0] == 3 * groups,
         "decode64: 4 characters make 3 bytes")
    if groups == 0:
        return True
    c, o = &characters[0], &out[0]
    with nogil:
        for k in range(groups):
            bits = (SIXTEENTH[0][c[0]] | SIXTEENTH[1][c[1]]
                    | SIXTEENTH[2][c[2]] | SIXTEENTH[3][c[3]])
            wrong |= bits
            o[0], o[1], o[2] = bits & 0xff, bits >> 8 & 0xff, bits >> 16 & 0xff
            c += 4
            o += 3
    return wrong >> 24 == 0
