"""Lines of delimited numbers in, rows of doubles out; base64 in, bytes out."""
include "common.pxi"
include "numbers.pxi"

from libc.string cimport memchr

cdef extern from "words.h" nogil:
    Text find(Text p, Text stop, Text end, unsigned char a, unsigned char b)

cdef unsigned int SIXTEENTH[4][256]     # base64: the bits of a character at each place in its four


cdef void _tables():
    cdef int i, place
    cdef bytes alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef unsigned int bits
    for i in range(256):
        for place in range(4):
            bits = alphabet.find(bytes([i])) if bytes([i]) in alphabet else 1 << 24
            if bits < 64:       # 24 bits, the first byte lowest
                bits <<= 18 - 6 * place
                bits = (bits >> 16) | (bits & 0xff00) | (bits & 0xff) << 16
            SIXTEENTH[place][i] = bits


_tables()


NO_DELIMITERS = b'0123456789+-.eE" #\r\n\0'


def parse(bytes lines, unsigned char delimiter, int[::1] places, double[:, ::1] out,
          int[::1] codes):
    """out[line, places[field]] = float(field), rounded as Python rounds; returns the count of lines.

    A field whose place is -1 is not read. codes[line] is GOOD, EMPTY, FIELDS (not as many as there are places), NUMBER
    (one does not parse, there is a double quote, or a # at the beginning) or FINITE (one is not).
    Spaces around a number are allowed, and so are carriage returns at the end."""
    cdef Text p = lines
    cdef Text end = p + len(lines)
    cdef Text stop
    cdef Py_ssize_t i, row = 0
    cdef bint fit = True
    need(codes.shape[0] == out.shape[0], "parse: out and codes must have one length")
    for i in range(places.shape[0]):
        fit &= -1 <= places[i] < out.shape[1]
    need(fit, "parse: a place is not in out")
    need(delimiter not in NO_DELIMITERS, "parse: no such delimiter")
    with nogil:
        while p < end and row < out.shape[0]:
            stop = <Text> memchr(p, b"\n", end - p)
            if stop == NULL:
                stop = end
            codes[row] = _line(p, stop, end, delimiter, places, out, row)
            p = stop + 1
            row += 1
    need(p >= end, "parse: more lines than rows to put them in")
    return row


cdef int _line(Text p, Text stop, Text end, unsigned char delimiter, int[::1] places, double[:, ::1] out,
               Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t f = 0, columns = places.shape[0]
    cdef Text start
    cdef int code
    while stop > p and (stop - 1)[0] == b"\r":
        stop -= 1
    start = p
    while start < stop and start[0] == b" ":
        start += 1
    if start == stop:
        return _EMPTY
    if start[0] == b"#":
        return _NUMBER
    while True:
        if f == columns:                # one too many
            return _FIELDS
        start = p
        if places[f] < 0:
            p = find(p, stop, end, delimiter, b'"')
            if p < stop and p[0] == b'"':
                return _NUMBER
        else:
            p = find(p, stop, end, delimiter, delimiter)
            if end - start < AHEAD_OF_DIGITS or not short_decimal(start, p - start, b".", &out[row, places[f]]):
                p = start
                code = _number(&p, stop, delimiter, &out[row, places[f]])
                if code:
                    return code
        f += 1
        if p == stop:
            break
        p += 1
    return _GOOD if f == columns else _FIELDS


cdef int _number(Text* place, Text stop, unsigned char delimiter, double* value) noexcept nogil:
    """One field: spaces, a number, spaces; leaves place[0] at its end."""
    cdef Text p = place[0]
    cdef int code
    while p < stop and p[0] == b" ":
        p += 1
    code = _float(&p, stop, b".", 0, value)
    while p < stop and p[0] == b" ":
        p += 1
    if code == _NUMBER or not (p == stop or p[0] == delimiter):
        return _NUMBER
    place[0] = p
    return code


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
