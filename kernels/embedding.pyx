"""Embeddings: rows of a table by ids[T, N]; every id must be below the table's rows."""
include "common.pxi"
from libc.stdint cimport int32_t

cdef extern from "embedding.h" nogil:
    void c_forward "embedding_forward"[T](const T *, const int32_t *, T *, long, long, long)
    void c_gradient "embedding_gradient"[T](const T *, const int32_t *, T *, long, long, long, long)


cdef int fit(const real[:, ::1] table, const int[:, ::1] ids, const real[:, ::1] y) except -1:
    cdef Py_ssize_t t, n
    need(filled(table) and padded(y) and ids.shape[0] > 0 and ids.shape[1] == y.shape[1]
         and y.shape[0] == ids.shape[0] * table.shape[1],
         "embedding: table[V, D], ids[T, N] and an array [T D, N] with N a multiple of 16 do not fit")
    for t in range(ids.shape[0]):
        for n in range(ids.shape[1]):
            if not 0 <= ids[t, n] < table.shape[0]:
                raise ValueError(f"id {ids[t, n]} is outside 0..{table.shape[0] - 1}")
    return 0


def embedding_forward(const real[:, ::1] table, const int[:, ::1] ids, real[:, ::1] y):
    """y[T D, N] = table[V, D] at ids[T, N]."""
    fit[real](table, ids, y)
    with nogil:
        c_forward(&table[0, 0], <const int32_t *>&ids[0, 0], &y[0, 0], ids.shape[0], table.shape[1], ids.shape[1])


def embedding_gradient(const real[:, ::1] dy, const int[:, ::1] ids, Py_ssize_t batch, real[:, ::1] dtable):
    """dtable[V, D] += dy[T D, N] at ids[T, N], of the first `batch` columns."""
    fit[real](dtable, ids, dy)
    need(0 < batch <= ids.shape[1], "embedding_gradient: batch is not within N")
    with nogil:
        c_gradient(&dy[0, 0], <const int32_t *>&ids[0, 0], &dtable[0, 0], ids.shape[0], dtable.shape[1], ids.shape[1],
                   batch)
