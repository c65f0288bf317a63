"""Dense layers over sparse rows: of each example only the features that are not 0, by their ids.

A minibatch of B examples is bounds[B + 1], ids[bounds[B]] and their values; weights are [features][O].
"""
include "common.pxi"
from libc.stdint cimport int32_t, uint8_t

cdef extern from "csr.h" nogil:
    long c_gather "csr_gather"[S, T](const long long *, const int32_t *, const S *, const long long *, long, long long *, int32_t *, T *)
    long c_distinct "csr_distinct"[T](const T *, long, const int32_t *, long, int32_t *, int32_t *, int32_t *)
    void c_take "csr_take"[T](const T *, const int32_t *, T *, long, long)
    void c_put "csr_put"[T](const T *, const int32_t *, T *, long, long)
    void c_forward "csr_forward"[T](const T *, const T *, const long long *, const int32_t *, const T *, T *, long, long, long, long, bint)
    void c_gradient "csr_gradient"[T](const T *, const long long *, const int32_t *, const T *, T *, long, long, long, long)
    void c_descend "csr_descend"[T](const T *, const long long *, const int32_t *, const T *, T, T *, long, long, long, long)
    bint c_within "csr_within"(const int32_t *, long, int32_t)

ctypedef fused source:
    uint8_t
    int32_t
    float
    double


cdef const int32_t *numbers(const int[::1] ids):
    """Where they begin; NULL: there are none."""
    return <const int32_t *>&ids[0] if ids.shape[0] else NULL


cdef const real *factors(const real[::1] values):
    return &values[0] if values.shape[0] else NULL


cdef int within(const int[::1] ids, Py_ssize_t rows) except -1:
    return need(rows < 2 ** 31 and (not ids.shape[0] or c_within(<const int32_t *>&ids[0], ids.shape[0], rows)),
                f"an id is outside 0..{rows - 1}")


cdef int fit(const long long[::1] bounds, const int[::1] ids, Py_ssize_t values, Py_ssize_t columns, Py_ssize_t rows) except -1:
    """The bounds of at most so many columns are those of the ids, which name rows of a table."""
    cdef Py_ssize_t i, B = bounds.shape[0] - 1
    need(0 < B <= columns and bounds[0] == 0 and bounds[B] == ids.shape[0] == values,
         "csr: bounds[B + 1], ids and values of B columns do not fit")
    for i in range(B):
        need(bounds[i] <= bounds[i + 1], "csr: bounds must not fall")
    return within(ids, rows)


def csr_gather(const long long[::1] starts, const int[::1] ids, const source[::1] values, const long long[::1] index,
               long long[::1] bounds, int[::1] to_ids, real[::1] to):
    """bounds, to_ids, to = the rows `index` of the matrix whose row r has ids[starts[r]:starts[r + 1]]."""
    cdef Py_ssize_t i, B = index.shape[0]
    cdef long long wanted = 0
    need(B > 0 and bounds.shape[0] == B + 1 and ids.shape[0] == values.shape[0] and to_ids.shape[0] == to.shape[0],
         "csr_gather: index[B], bounds[B + 1], ids and their values do not fit")
    for i in range(B):
        need(0 <= index[i] < starts.shape[0] - 1 and 0 <= starts[index[i]] <= starts[index[i] + 1] <= ids.shape[0],
             "csr_gather: a row is outside of the matrix")
        wanted += starts[index[i] + 1] - starts[index[i]]
    need(wanted == to.shape[0], "csr_gather: the place for the rows must be as long as they are")
    if not wanted:
        bounds[:] = 0
        return
    with nogil:
        c_gather(&starts[0], <const int32_t *>&ids[0], &values[0], &index[0], B, &bounds[0], <int32_t *>&to_ids[0], &to[0])


def csr_distinct(const real[:, ::1] w, const int[::1] ids, int[::1] where, int[::1] rows, int[::1] slots):
    """ids[n] = rows[slots], with each id once in rows, in the order in which they come first; returns how many there are. w[V, O]
    is the table that they are of; where[V] is scratch that nothing else may change."""
    cdef Py_ssize_t n = ids.shape[0]
    need(n == slots.shape[0] == rows.shape[0] - 1 and where.shape[0] == w.shape[0],
         "csr_distinct: w[V, O], ids[n], where[V], rows[n + 1] and slots[n] do not fit")
    within(ids, w.shape[0])
    cdef long count = 0
    if n:
        with nogil:
            count = c_distinct(&w[0, 0], w.shape[1], <const int32_t *>&ids[0], n, <int32_t *>&where[0], <int32_t *>&rows[0], <int32_t *>&slots[0])
    return count


def csr_take(const real[:, ::1] w, const int[::1] rows, real[:, ::1] own):
    """own[n, O] = w[rows]."""
    need(filled(w) and own.shape[0] == rows.shape[0] and own.shape[1] == w.shape[1], "csr_take: w[V, O], rows[n], own[n, O] do not fit")
    within(rows, w.shape[0])
    if own.shape[0]:
        with nogil:
            c_take(&w[0, 0], <const int32_t *>&rows[0], &own[0, 0], w.shape[1], rows.shape[0])


def csr_put(const real[:, ::1] own, const int[::1] rows, real[:, ::1] w):
    """w[rows] = own[n, O]."""
    need(filled(w) and own.shape[0] == rows.shape[0] and own.shape[1] == w.shape[1], "csr_put: own[n, O], rows[n], w[V, O] do not fit")
    within(rows, w.shape[0])
    if own.shape[0]:
        with nogil:
            c_put(&own[0, 0], <const int32_t *>&rows[0], &w[0, 0], w.shape[1], rows.shape[0])


def csr_forward(const real[:, ::1] w, const real[::1] bias, const long long[::1] bounds, const int[::1] ids, const real[::1] values,
                real[:, ::1] y, bint relu):
    """y[O, N] = bias[O] + the sum of value * w[id] over the features of each column, then max(0, y) where relu."""
    need(padded(y) and w.shape[1] == y.shape[0] == bias.shape[0], "csr_forward: w[V, O], bias[O], y[O, N] with N a multiple of 16 do not fit")
    fit(bounds, ids, values.shape[0], y.shape[1], w.shape[0])
    cdef const int32_t *at = numbers(ids)
    cdef const real *own = factors(values)
    with nogil:
        c_forward(&w[0, 0], &bias[0], &bounds[0], at, own, &y[0, 0], y.shape[0], w.shape[0],
                  bounds.shape[0] - 1, y.shape[1], relu)


def csr_gradient(const real[:, ::1] dy, const long long[::1] bounds, const int[::1] ids, const real[::1] values, real[:, ::1] g):
    """g[V, O] = for each id the sum of value * dy[O, n] over the columns n that have it."""
    need(padded(dy) and g.shape[1] == dy.shape[0], "csr_gradient: dy[O, N] with N a multiple of 16, g[V, O] do not fit")
    fit(bounds, ids, values.shape[0], dy.shape[1], g.shape[0])
    cdef const int32_t *at = numbers(ids)
    cdef const real *own = factors(values)
    if g.shape[0]:
        with nogil:
            c_gradient(&dy[0, 0], &bounds[0], at, own, &g[0, 0], g.shape[1], g.shape[0], bounds.shape[0] - 1,
                       dy.shape[1])


def csr_descend(const real[:, ::1] dy, const long long[::1] bounds, const int[::1] ids, const real[::1] values, double rate, real[:, ::1] w):
    """w[V, O] -= rate times what csr_gradient gives."""
    need(padded(dy) and w.shape[1] == dy.shape[0], "csr_descend: dy[O, N] with N a multiple of 16, w[V, O] do not fit")
    fit(bounds, ids, values.shape[0], dy.shape[1], w.shape[0])
    cdef const int32_t *at = numbers(ids)
    cdef const real *own = factors(values)
    if w.shape[0]:
        with nogil:
            c_descend(&dy[0, 0], &bounds[0], at, own, <real>rate, &w[0, 0], w.shape[1], w.shape[0],
                      bounds.shape[0] - 1, dy.shape[1])
