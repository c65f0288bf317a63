"""Updaters: one pass changes w and its slots; the rules and their constants are Keras's."""
include "common.pxi"
from libc.string cimport strcmp

cdef extern from "optimizers.h" nogil:
    cdef cppclass entry[T]:
        const char *name
        int slots, numbers
        double (*run)(T *, const T *, T **, long, const T *, T, T, T)
    const entry[T] *c_rules "rules"[T](const T *)
    double c_squares "sum_squares"[T](const T *, long)
    double c_regularize "regularize"[T](const T *, T *, long, T, T)


cdef int fit(const real[::1] a, const real[::1] b) except -1:
    return need(a.shape[0] == b.shape[0] and a.shape[0] > 0, "w, g and the slots must have one length, not 0")


def rules():
    """{rule: (slots, numbers)} of every rule."""
    cdef const entry[float] *e = c_rules(<const float *>NULL)
    found = {}
    while e.name:
        found[e.name.decode()] = e.slots, e.numbers
        e += 1
    return found


def update(str rule, real[::1] w, const real[::1] g, real[:, :] slots, tuple numbers, double decay,
           double scale, double clip):
    """w[P] -= decay w; g[P] = scale g, cut to -clip..clip; the rule changes w and slots[S, P].

    Returns the sum of squares of the g that was given. The fields of the rule in optimizers.h are its
    numbers, in their order."""
    fit[real](w, g)
    cdef bytes name = rule.encode()
    cdef const char *wanted = name
    cdef const entry[real] *e = c_rules(&w[0])
    while e.name and strcmp(e.name, wanted):
        e += 1
    need(e.name != NULL, f"update: there is no rule {rule}")
    need(slots.shape[0] == e.slots and len(numbers) == e.numbers,
         f"update: {rule} has {e.slots} slots and {e.numbers} numbers")
    need(not e.slots or (slots.shape[1] == w.shape[0] and slots.strides[1] == sizeof(real)),
         "w, g and the slots must have one length, not 0")
    cdef real *s[3]
    cdef real n[8]
    cdef Py_ssize_t i
    for i in range(e.slots):
        s[i] = &slots[i, 0]
    for i in range(e.numbers):
        n[i] = numbers[i]
    cdef double squares
    with nogil:
        squares = e.run(&w[0], &g[0], s, w.shape[0], n, <real>decay, <real>scale, <real>clip)
    return squares


def sum_squares(const real[::1] g):
    """The sum of g[P]^2, in 16 fixed lanes."""
    cdef double total = 0
    if g.shape[0]:
        with nogil:
            total = c_squares(&g[0], g.shape[0])
    return total


def regularize(const real[::1] w, real[::1] g, double l1, double l2):
    """g[P] += l1 sign(w) + 2 l2 w; returns the penalty, the sum of l1 |w| + l2 w^2."""
    fit[real](w, g)
    cdef double penalty
    with nogil:
        penalty = c_regularize(&w[0], &g[0], w.shape[0], <real>l1, <real>l2)
    return penalty
