"""Rows of bytes without their zeros, and back.

A row is a letter, words of four bytes and up to three bytes more. A short one is SHORT, the letter, how many words there are (four
bytes, little-endian), a bit for each, the lowest first, that says whether it is not 0, the words that are not 0, the bytes more."""
include "common.pxi"
ctypedef const unsigned char* Text
include "fields.pxi"

from libc.string cimport memcpy

cdef extern from "short.h" nogil:
    void fill_packed()
    bint wide_here()
    size_t short_size(Text row, size_t size, bint wide)
    unsigned char* put_short(Text row, size_t size, unsigned char letter, unsigned char* out, bint wide)
    Py_ssize_t long_size(Text row, size_t size)
    unsigned char* put_long(Text row, size_t size, unsigned char* out)

#: the first byte of a row without its zeros; no other row begins so
SHORT = b"z"

fill_packed()

cdef unsigned char LETTER = 122


cdef inline void put_row(Text row, Py_ssize_t size, unsigned char* end) noexcept nogil:
    if size:
        memcpy(end - size, row, size)


def shorten(Bytes data, Places starts, Places stops, unsigned char[::1] out, int64_t[::1] ends):
    """out = the rows, one after another: without their zeros where a quarter of its bytes or more are saved, else as it is. ends[n]: where each
    ends there. Returns whether one of them is without; if not, nothing is written. `out` must have room for the rows as they are."""
    cdef Py_ssize_t i, k, n = _count(data, starts, stops), size = 0, own, at = 0
    cdef Text base = _base(data)
    cdef unsigned char* to = &out[0] if out.shape[0] else NULL
    cdef bint some = False, wide = wide_here()
    for i in range(n):
        size += stops[i] - starts[i]
    need(ends.shape[0] == n and size <= out.shape[0], "shorten: ends and out do not fit the rows")
    with nogil:
        for i in range(n):
            size = stops[i] - starts[i]
            own = short_size(base + starts[i], size, wide)
            if own < size:
                if not some:                # those before it are not written yet
                    for k in range(i):
                        put_row(base + starts[k], stops[k] - starts[k], to + ends[k])
                    some = True
                put_short(base + starts[i], size, LETTER, to + at, wide)
            elif some:
                put_row(base + starts[i], size, to + at + size)
            at += own
            ends[i] = at
    return some


def lengthened(Bytes data, Places starts, Places stops, int64_t[::1] ends):
    """ends[n]: where each row ends that `lengthen` writes. Returns whether one of them is without its zeros here; ValueError where
    one cannot be read."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), own
    cdef Text base = _base(data)
    cdef int64_t size = 0
    cdef bint some = False, fit = True
    need(ends.shape[0] == n, "lengthened: ends must have a place for each row")
    with nogil:
        for i in range(n):
            own = stops[i] - starts[i]
            if own and base[starts[i]] == LETTER:
                some, own = True, long_size(base + starts[i], own)
                if own < 0:
                    fit = False
                    break
            size += own
            ends[i] = size
    need(fit, "lengthened: a row without its zeros is damaged")
    return some


def lengthen(Bytes data, Places starts, Places stops, const int64_t[::1] ends, unsigned char[::1] out):
    """out = the rows with their zeros, as `lengthened` has found `ends`."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), size, own
    cdef Text base = _base(data)
    cdef int64_t at = 0
    cdef bint fit = ends.shape[0] == n and (n == 0 or ends[n - 1] == out.shape[0]), short
    need(fit, "lengthen: ends and out do not fit the rows")
    with nogil:
        for i in range(n):
            size = stops[i] - starts[i]
            short = size and base[starts[i]] == LETTER
            own = long_size(base + starts[i], size) if short else size
            if ends[i] - at != own or ends[i] > out.shape[0]:
                fit = False
                break
            if short:
                put_long(base + starts[i], size, &out[at])
            elif size:
                memcpy(&out[at], base + starts[i], size)
            at = ends[i]
    need(fit, "lengthen: ends and out do not fit the rows")
