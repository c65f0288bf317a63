"""Recurrent layers: the steps of a sequence, forward and backward, in one call.

z[T G U, N] comes in as what the input gives to the G gates of each step; h[(T + 1) U, N] and c begin with the
state before the first step. r[G U, U] is the recurrent kernel; mask[T, N] or None: a step where it is 0 changes
nothing; drop[U, N] or None is multiplied with the h that r multiplies, which seen[T U, N] keeps; dy[T U, N] is the gradient of h after each step; `acts` are the names of the activation of the state and
of the gates, whose slope must come from y. `work` comes in with the
gradients of the last states and goes out with those of the first.
"""
include "common.pxi"
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport strcmp

cdef extern from "activations.h" nogil:
    cdef cppclass Row "Activation<double>":
        const char *name
        const char *slope_of
    const Row &activation_row(int)

cdef extern from "recurrent.h" nogil:
    ctypedef struct Acts:
        int state, gate
    void c_rnn "simple_rnn_forward"[T](const T *, const T *, const T *, T *, T *, T *, long, long, long, Acts)
    void c_rnn_back "simple_rnn_backward"[T](const T *, const T *, const T *, const T *, const T *, T *, T *, long, long, long, Acts)
    void c_lstm "lstm_forward"[T](const T *, const T *, const T *, const T *, T *, T *, T *, T *, T *, long, long, long, Acts)
    void c_lstm_back "lstm_backward"[T](const T *, const T *, const T *, const T *, const T *, const T *, const T *, const T *, T *, T *, long, long, long, Acts)
    void c_peephole "peephole_gradient"[T](const T *, const T *, T *, long, long, long)
    void c_gru "gru_forward"[T](const T *, const T *, const T *, const T *, T *, T *, T *, T *, long, long, long, bint, Acts)
    void c_gru_back "gru_backward"[T](const T *, const T *, const T *, const T *, const T *, const T *, const T *, const T *, T *, T *, T *, long, long, long, bint, Acts)
    void c_ids "ids_forward"[T](const T *, const T *, const int32_t *, T *, T *, long, long, long, long, long)
    void c_ids_gradient "ids_gradient"[T](const T *, const int32_t *, T *, T *, long, long, long, long, long, long, long, long)


cdef int row(str name) except -1:
    cdef bytes wanted = name.encode()
    cdef int i = 0
    while activation_row(i).name and strcmp(activation_row(i).name, wanted):
        i += 1
    need(activation_row(i).name != NULL and activation_row(i).slope_of[0] == c"y",
         f"a recurrent layer has no activation {name!r}")
    return i


cdef Acts named(tuple acts) except *:
    cdef Acts a
    a.state, a.gate = row(acts[0]), row(acts[1])
    return a


cdef Py_ssize_t steps(int gates, const real[:, ::1] r, const real[:, ::1] z, const real[:, ::1] h) except -1:
    """T, where the recurrent kernel, the gates and the states fit."""
    cdef Py_ssize_t U = r.shape[1], T
    need(filled(r) and padded(z) and r.shape[0] == gates * U, "r[G U, U] and z[T G U, N], N a multiple of 16, do not fit")
    T = z.shape[0] // (gates * U)
    need(T > 0 and z.shape[0] == T * gates * U and h.shape[0] == (T + 1) * U and h.shape[1] == z.shape[1],
         "z[T G U, N] and the states [(T + 1) U, N] do not fit")
    return T


cdef int sized(const real[:, ::1] a, Py_ssize_t rows, Py_ssize_t N, str name) except -1:
    return need(a.shape[0] == rows and a.shape[1] == N, f"{name} must have {rows} rows of {N}")


cdef const real *matrix(given, Py_ssize_t rows, str name, const real[:, ::1] z) except? NULL:
    cdef const real[:, ::1] m
    if given is None:
        return NULL
    m = given
    sized[real](m, rows, z.shape[1], name)
    return &m[0, 0]


cdef const real *vector(given, Py_ssize_t size, str name, const real[:, ::1] z) except? NULL:
    cdef const real[::1] v
    if given is None:
        return NULL
    v = given
    need(v.shape[0] == size, f"{name} must have {size} values")
    return &v[0]


def simple_rnn_forward(const real[:, ::1] r, mask, drop, real[:, ::1] seen, real[:, ::1] z, real[:, ::1] h, tuple acts):
    """z becomes the activation of z + r h, and h of the next step that."""
    cdef Py_ssize_t T = steps[real](1, r, z, h)
    cdef const real *m = matrix[real](mask, T, "mask", z)
    cdef const real *d = matrix[real](drop, r.shape[1], "drop", z)
    cdef Acts a = named(acts)
    sized[real](seen, T * r.shape[1], z.shape[1], "seen")
    with nogil:
        c_rnn(&r[0, 0], m, d, &seen[0, 0], &z[0, 0], &h[0, 0], T, r.shape[1], z.shape[1], a)


def simple_rnn_backward(const real[:, ::1] r, mask, drop, const real[:, ::1] z, const real[:, ::1] h, const real[:, ::1] dy,
                        real[:, ::1] dz, real[:, ::1] work, tuple acts):
    """dz[T U, N], the gradient of what came in as z; work[2 U, N] as in recurrent.h."""
    cdef Py_ssize_t T = steps[real](1, r, z, h), U = r.shape[1], N = z.shape[1]
    cdef const real *m = matrix[real](mask, T, "mask", z)
    cdef const real *d = matrix[real](drop, U, "drop", z)
    cdef Acts a = named(acts)
    sized[real](dy, T * U, N, "dy")
    sized[real](dz, T * U, N, "dz")
    sized[real](work, 2 * U, N, "work")
    with nogil:
        c_rnn_back(&r[0, 0], m, d, &z[0, 0], &dy[0, 0], &dz[0, 0], &work[0, 0], T, U, N, a)


def lstm_forward(const real[:, ::1] r, peephole, mask, drop, real[:, ::1] seen, real[:, ::1] z, real[:, ::1] c, real[:, ::1] made, real[:, ::1] h,
                 tuple acts):
    """z becomes the gates i f g o; c = f c + i g, made[T U, N] = act(c), h = o act(c); with peephole[3 U] i and f
    see the c before, o the c after."""
    cdef Py_ssize_t T = steps[real](4, r, z, h), U = r.shape[1], N = z.shape[1]
    cdef const real *m = matrix[real](mask, T, "mask", z)
    cdef const real *p = vector[real](peephole, 3 * U, "peephole", z)
    cdef const real *d = matrix[real](drop, U, "drop", z)
    cdef Acts a = named(acts)
    sized[real](seen, T * U, N, "seen")
    sized[real](c, (T + 1) * U, N, "c")
    sized[real](made, T * U, N, "made")
    with nogil:
        c_lstm(&r[0, 0], p, m, d, &seen[0, 0], &z[0, 0], &c[0, 0], &made[0, 0], &h[0, 0], T, U, N, a)


def lstm_backward(const real[:, ::1] r, peephole, mask, drop, const real[:, ::1] z, const real[:, ::1] c,
                  const real[:, ::1] made, const real[:, ::1] dy, real[:, ::1] dz, real[:, ::1] work, tuple acts):
    """dz[T 4 U, N], the gradient of what came in as z, which it may be itself; work[4 U, N] as in recurrent.h."""
    cdef Py_ssize_t T = steps[real](4, r, z, c), U = r.shape[1], N = z.shape[1]
    cdef const real *m = matrix[real](mask, T, "mask", z)
    cdef const real *p = vector[real](peephole, 3 * U, "peephole", z)
    cdef const real *d = matrix[real](drop, U, "drop", z)
    cdef Acts a = named(acts)
    sized[real](made, T * U, N, "made")
    sized[real](dy, T * U, N, "dy")
    sized[real](dz, T * 4 * U, N, "dz")
    sized[real](work, 4 * U, N, "work")
    with nogil:
        c_lstm_back(&r[0, 0], p, m, d, &z[0, 0], &c[0, 0], &made[0, 0], &dy[0, 0], &dz[0, 0], &work[0, 0], T, U, N, a)


def peephole_gradient(const real[:, ::1] dz, const real[:, ::1] c, real[::1] dp):
    """dp[3 U]: sums over steps and batch of dz_i c and dz_f c before the step, of dz_o c after it."""
    cdef Py_ssize_t U = dp.shape[0] // 3, T
    need(dp.shape[0] == 3 * U and U > 0 and padded(dz) and dz.shape[0] % (4 * U) == 0, "peephole_gradient: dz[T 4 U, N], dp[3 U]")
    T = dz.shape[0] // (4 * U)
    sized[real](c, (T + 1) * U, dz.shape[1], "c")
    with nogil:
        c_peephole(&dz[0, 0], &c[0, 0], &dp[0], T, U, dz.shape[1])


def gru_forward(const real[:, ::1] r, bias, mask, drop, real[:, ::1] seen, real[:, ::1] z, real[:, ::1] q, real[:, ::1] h, tuple acts):
    """z becomes the gates z r and the candidate; h = z h + (1 - z) candidate. With bias[3 U] the reset gate comes
    after the product and q[T 3 U, N] keeps r h + bias; without it before it, and q keeps r h of each step."""
    cdef Py_ssize_t T = steps[real](3, r, z, h), U = r.shape[1], N = z.shape[1]
    cdef const real *m = matrix[real](mask, T, "mask", z)
    cdef const real *b = vector[real](bias, 3 * U, "bias", z)
    cdef const real *d = matrix[real](drop, U, "drop", z)
    cdef Acts a = named(acts)
    sized[real](seen, T * U, N, "seen")
    sized[real](q, T * 3 * U, N, "q")
    with nogil:
        c_gru(&r[0, 0], b, m, d, &seen[0, 0], &z[0, 0], &q[0, 0], &h[0, 0], T, U, N, b == NULL, a)


def gru_backward(const real[:, ::1] r, bint early, mask, drop, const real[:, ::1] z, const real[:, ::1] q, const real[:, ::1] h,
                 const real[:, ::1] seen,
                 const real[:, ::1] dy, real[:, ::1] dz, real[:, ::1] dq, real[:, ::1] work, tuple acts):
    """dz[T 3 U, N], the gradient of what came in as z, and dq, that of r h + bias (not `early`: without a bias);
    work[3 U, N] as in recurrent.h."""
    cdef Py_ssize_t T = steps[real](3, r, z, h), U = r.shape[1], N = z.shape[1]
    cdef const real *m = matrix[real](mask, T, "mask", z)
    cdef const real *d = matrix[real](drop, U, "drop", z)
    cdef Acts a = named(acts)
    sized[real](seen, T * U, N, "seen")
    for x, name in ((q, "q"), (dz, "dz"), (dq, "dq")):
        sized[real](x, T * 3 * U, N, name)
    sized[real](dy, T * U, N, "dy")
    sized[real](work, 3 * U, N, "work")
    with nogil:
        c_gru_back(&r[0, 0], m, d, &z[0, 0], &q[0, 0], &h[0, 0], &seen[0, 0], &dy[0, 0], &dz[0, 0], &dq[0, 0], &work[0, 0], T, U, N, early, a)


cdef real *scratch(const real *like, Py_ssize_t n) except NULL:
    """Memory for n values of like's type; whoever asks frees it."""
    cdef real *found = <real *>malloc(n * sizeof(real))
    if found == NULL:
        raise MemoryError
    return found


cdef int known(const int32_t[:, ::1] ids, Py_ssize_t F) except -1:
    cdef Py_ssize_t i, j
    for i in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            if not 0 <= ids[i, j] < F:          # the text is made for this one alone
                raise ValueError(f"the id {ids[i, j]} is outside 0..{F - 1}")
    return 0


def ids_forward(const real[:, ::1] w, const real[::1] bias, const int32_t[:, ::1] ids, real[:, ::1] z):
    """z[T O, N] = w[O, ids[T, N]] + bias[O]: the product with one-hot columns."""
    need(filled(w) and padded(z) and bias.shape[0] == w.shape[0] and z.shape[0] == ids.shape[0] * w.shape[0]
         and z.shape[1] == ids.shape[1], "ids_forward: w[O, F], bias[O], ids[T, N] and z[T O, N] do not fit")
    known(ids, w.shape[1])
    cdef Py_ssize_t ld = (w.shape[0] + 15) // 16 * 16
    cdef real *turned = scratch[real](&w[0, 0], w.shape[1] * ld)
    with nogil:
        c_ids(&w[0, 0], &bias[0], &ids[0, 0], &z[0, 0], turned, ids.shape[0], w.shape[0], w.shape[1], z.shape[1], ld)
        free(turned)


def ids_gradient(const real[:, ::1] dz, const int32_t[:, ::1] ids, Py_ssize_t batch, Py_ssize_t first, real[:, ::1] dw):
    """dw[rows, F], from row `first` on: its column f is the sum of dz[T O, :batch] over where ids[T, N] is f."""
    cdef Py_ssize_t T = ids.shape[0], O = dz.shape[0] // max(T, 1)
    need(filled(dw) and padded(dz) and dz.shape[0] == T * O and dz.shape[1] == ids.shape[1] and 0 < batch <= dz.shape[1]
         and 0 <= first and first + dw.shape[0] <= O, "ids_gradient: dz[T O, N], ids[T, N] and dw[rows, F] do not fit")
    known(ids, dw.shape[1])
    cdef Py_ssize_t ld = (dw.shape[0] + 15) // 16 * 16
    cdef real *turned = scratch[real](&dw[0, 0], dw.shape[1] * ld)
    with nogil:
        c_ids_gradient(&dz[0, 0], &ids[0, 0], &dw[0, 0], turned, T, O, dw.shape[1], dz.shape[1], batch, first, dw.shape[0],
                       ld)
        free(turned)
