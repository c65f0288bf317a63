"""Fields of many columns at once, in the order in which they lie in the text: it then passes the cache once."""
include "common.pxi"
include "numbers.pxi"
include "fields.pxi"

from libc.math cimport NAN


def numbers(Bytes data, const int64_t[:, ::1] starts, const int64_t[:, ::1] stops, const int64_t[::1] columns, unsigned char decimal,
            double[:, ::1] out, int[:, ::1] codes):
    """out[k, rows], codes[k, rows] = the numbers of k of the columns, as `words.numbers` reads each column. Field c of row i is the bytes
    data[starts[i, c]:stops[i, c]]."""
    cdef Py_ssize_t i, j, n = starts.shape[0], k = columns.shape[0]
    cdef Text base = _base(data)
    cdef Text end = base + data.shape[0]
    cdef int64_t start, stop
    cdef double value
    cdef bint fit = True
    need(stops.shape[0] == out.shape[1] == codes.shape[1] == n and stops.shape[1] == starts.shape[1] and out.shape[0] == codes.shape[0] == k,
         "numbers: starts, stops[rows, columns], out and codes[k, rows] do not fit")
    for j in range(k):
        fit &= 0 <= columns[j] < starts.shape[1]
    need(fit, "numbers: there is no such column")
    need(decimal not in b"0123456789+-eE\0", "numbers: no such decimal mark")
    with nogil:
        for i in range(n):
            for j in range(k):
                start, stop = starts[i, columns[j]], stops[i, columns[j]]
                if not 0 <= start <= stop <= data.shape[0]:
                    fit = False
                    break
                value = NAN
                codes[j, i] = _field(base + start, base + stop, end, decimal, 0, &value)
                out[j, i] = value if codes[j, i] == _GOOD else NAN
    need(fit, "a field is not within its data")
