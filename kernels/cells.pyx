"""Fields of many columns at once, in the order in which they lie in the text: it then passes the cache once; and what scales numbers."""
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


def fill(double[::1] x, const int[::1] codes, double filling):
    """x = filling where the code is EMPTY; returns whether all other codes are GOOD."""
    cdef Py_ssize_t i
    cdef bint good = True
    need(codes.shape[0] == x.shape[0], "fill: x and codes must have one length")
    with nogil:
        for i in range(x.shape[0]):
            if codes[i] == _EMPTY:
                x[i] = filling
            else:
                good &= codes[i] == _GOOD
    return good


def scale(const double[:, :] x, const double[::1] shift, const double[::1] by, double[:, :] out):
    """out[n, k] = (x - shift) / by, with a shift and a divisor for each column; returns whether all of out are finite."""
    cdef Py_ssize_t i, j, n = x.shape[0], k = x.shape[1]
    cdef const double* row
    cdef double* made
    cdef double value
    cdef bint odd = False
    need(out.shape[0] == n and out.shape[1] == shift.shape[0] == by.shape[0] == k, "scale: x, out[n, k], shift and by[k] do not fit")
    if n == 0 or k == 0:
        return True
    with nogil:
        if k == 1 and x.strides[0] == out.strides[0] == sizeof(double):
            row, made = &x[0, 0], &out[0, 0]
            for i in range(n):
                value = (row[i] - shift[0]) / by[0]
                odd |= value - value != 0
                made[i] = value
        elif x.strides[1] == out.strides[1] == sizeof(double):
            for i in range(n):
                row, made = &x[i, 0], &out[i, 0]
                for j in range(k):
                    value = (row[j] - shift[j]) / by[j]
                    odd |= value - value != 0
                    made[j] = value
        else:
            for i in range(n):
                for j in range(k):
                    value = (x[i, j] - shift[j]) / by[j]
                    odd |= value - value != 0
                    out[i, j] = value
    return not odd
