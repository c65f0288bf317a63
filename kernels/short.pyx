"""Rows of bytes without their zeros, and back.

A row is a letter, words of four bytes and up to three bytes more. A short one is SHORT, the letter, how many words there are (four
bytes, little-endian), a bit for each, the lowest first, that says whether it is not 0, the words that are not 0, the bytes more."""
include "common.pxi"
ctypedef const unsigned char* Text
include "fields.pxi"

from libc.string cimport memcpy

cdef extern from "short.h" nogil:
    size_t short_size(Text row, size_t size)
    unsigned char* put_short(Text row, size_t size, unsigned char letter, unsigned char* out)
    Py_ssize_t long_size(Text row, size_t size)
    unsigned char* put_long(Text row, size_t size, unsigned char* out)

#: the first byte of a row without its zeros; no other row begins so
SHORT = b"z"

cdef unsigned char LETTER = 122


def shortened(Bytes data, Places starts, Places stops, int64_t[::1] ends):
    """ends[n]: where each row will end that `shorten` writes one after another: without its zeros where a quarter of its bytes or
    more are saved, else as it is. Returns whether one of them is without."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    cdef int64_t size = 0, own
    cdef bint some = False
    need(ends.shape[0] == n, "shortened: ends must have a place for each row")
    with nogil:
        for i in range(n):
            own = short_size(base + starts[i], stops[i] - starts[i])
            some |= own < stops[i] - starts[i]
            size += own
            ends[i] = size
    return some


def shorten(Bytes data, Places starts, Places stops, const int64_t[::1] ends, unsigned char[::1] out):
    """out = the rows, as `shortened` has found `ends`."""
    cdef Py_ssize_t i, n = _count(data, starts, stops)
    cdef Text base = _base(data)
    cdef unsigned char* p
    cdef int64_t at = 0, size
    cdef bint fit = ends.shape[0] == n and (n == 0 or ends[n - 1] == out.shape[0])
    need(fit, "shorten: ends and out do not fit the rows")
    with nogil:
        for i in range(n):
            size = stops[i] - starts[i]
            if ends[i] - at != <int64_t> short_size(base + starts[i], size) or ends[i] > out.shape[0]:
                fit = False
                break
            if ends[i] - at < size:
                put_short(base + starts[i], size, LETTER, &out[at])
            elif size:
                memcpy(&out[at], base + starts[i], size)
            at = ends[i]
    need(fit, "shorten: ends and out do not fit the rows")


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
