"""Words found among known ones, and a feature that is 1 for each."""
include "common.pxi"
include "numbers.pxi"
include "fields.pxi"

from libc.stdint cimport int32_t
from libc.string cimport memcmp, memset

cdef enum:
    ROWS = 16                   # that are taken at once


def find(Bytes data, Places starts, Places stops, const uint64_t[:] hashes, Bytes known, Places kstarts, Places kstops,
         const uint64_t[::1] sorted, const int64_t[::1] order, const int64_t[::1] first, int shift, int64_t[::1] out):
    """out[n] = which of the known words field i is, the first in their order; -1: none.

    hashes[n]: of the fields. sorted[k + 1]: the hashes of the known words, rising, and 2^64 - 1 behind them; order[k + 1]: of
    which word each is, -1 behind them. first[2^(64 - shift)]: where the hashes with a prefix begin, or would."""
    cdef Py_ssize_t i, n = _count(data, starts, stops), k = _count(known, kstarts, kstops), at, size
    cdef Text base = _base(data)
    cdef Text kbase = _base(known)
    cdef Text word
    cdef uint64_t top = <uint64_t> -1
    cdef int64_t which
    cdef bint fit = True
    need(hashes.shape[0] == out.shape[0] == n, "find: hashes and out must have a place for each field")
    need(sorted.shape[0] == order.shape[0] == k + 1 and sorted[k] == top and order[k] == -1,
         "find: sorted and order must have a place for each known word, and one behind them")
    need(0 < shift < 64 and first.shape[0] == 1 << (64 - shift), "find: first must have a place for each prefix")
    with nogil:
        for i in range(k):
            fit &= 0 <= order[i] < k
        for i in range(first.shape[0]):
            fit &= 0 <= first[i] <= k
    need(fit, "find: an index is not of a known word")
    with nogil:
        for i in range(n):
            at, word, size, out[i] = first[hashes[i] >> shift], base + starts[i], stops[i] - starts[i], -1
            while sorted[at] < hashes[i]:       # hashes[i] <= sorted[k]
                at += 1
            while at < k and sorted[at] == hashes[i]:
                which = order[at]
                if size == kstops[which] - kstarts[which] and not memcmp(word, kbase + kstarts[which], size):
                    out[i] = which
                    break
                at += 1


def ones(const int64_t[::1] ids, double[:, :] out):
    """out[n, width] = 0, but 1 in the column ids[n] of each row; -1: in none."""
    cdef Py_ssize_t i, j, n = out.shape[0], width = out.shape[1]
    cdef bint fit = True
    need(ids.shape[0] == n, "ones: ids must have a place for each row")
    with nogil:
        for i in range(n):
            fit &= -1 <= ids[i] < width
    need(fit, "ones: an id is not of a column")
    with nogil:
        if n and out.strides[0] == sizeof(double):
            for j in range(width):
                memset(&out[0, j], 0, n * sizeof(double))
        else:
            for i in range(n):
                for j in range(width):
                    out[i, j] = 0
        for i in range(n):
            if ids[i] >= 0:
                out[i, ids[i]] = 1


def mark(const int32_t[:, ::1] ids, real[:, :] out):
    """out[n, width] = 1 in the columns ids[k, n] of each row, k of them; -1: in none."""
    cdef Py_ssize_t first, stop = 0, i, j, n = out.shape[0], width = out.shape[1], k = ids.shape[0]
    cdef bint fit = True
    need(ids.shape[1] == n, "mark: ids must have a place for each row")
    with nogil:
        for j in range(k):
            for i in range(n):
                fit &= -1 <= ids[j, i] < width
    need(fit, "mark: an id is not of a column")
    with nogil:
        while stop < n:                 # few rows, which stay in the cache
            first, stop = stop, min(stop + ROWS, n)
            for j in range(k):
                for i in range(first, stop):
                    if ids[j, i] >= 0:
                        out[i, ids[j, i]] = 1
