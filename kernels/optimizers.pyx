"""Updaters: each changes w and its slots in one pass and returns the sum of squares of g.

g is multiplied by `scale` first (clipping). The rules and their constants are Keras's."""
include "common.pxi"

cdef extern from "optimizers.h" nogil:
    double c_sgd "sgd"[T](T *, const T *, long, T, T)
    double c_momentum "momentum"[T](T *, const T *, T *, long, T, T, T)
    double c_nesterov "nesterov"[T](T *, const T *, T *, long, T, T, T)
    double c_rmsprop "rmsprop"[T](T *, const T *, T *, long, T, T, T, T)
    double c_adam "adam"[T](T *, const T *, T *, T *, long, T, T, T, T, T)
    double c_squares "sum_squares"[T](const T *, long)
    double c_regularize "regularize"[T](const T *, T *, long, T, T)


cdef int fit(const real[::1] a, const real[::1] b) except -1:
    return need(a.shape[0] == b.shape[0] and a.shape[0] > 0, "w, g and the slots must have one length, not 0")


def sgd(real[::1] w, const real[::1] g, double rate, double scale):
    """w[P] -= rate g."""
    fit[real](w, g)
    cdef double squares
    with nogil:
        squares = c_sgd(&w[0], &g[0], w.shape[0], <real>scale, <real>rate)
    return squares


def momentum(real[::1] w, const real[::1] g, real[::1] m, double rate, double momentum, double scale):
    """m[P] = momentum m - rate g; w += m (Polyak 1964)."""
    fit[real](w, g)
    fit[real](w, m)
    cdef double squares
    with nogil:
        squares = c_momentum(&w[0], &g[0], &m[0], w.shape[0], <real>scale, <real>rate, <real>momentum)
    return squares


def nesterov(real[::1] w, const real[::1] g, real[::1] m, double rate, double momentum, double scale):
    """m[P] = momentum m - rate g; w += momentum m - rate g (Sutskever et al. 2013)."""
    fit[real](w, g)
    fit[real](w, m)
    cdef double squares
    with nogil:
        squares = c_nesterov(&w[0], &g[0], &m[0], w.shape[0], <real>scale, <real>rate, <real>momentum)
    return squares


def rmsprop(real[::1] w, const real[::1] g, real[::1] v, double rate, double rho, double epsilon,
            double scale):
    """v[P] = rho v + (1 - rho) g^2; w -= rate g / sqrt(v + epsilon) (Hinton 2012)."""
    fit[real](w, g)
    fit[real](w, v)
    cdef double squares
    with nogil:
        squares = c_rmsprop(&w[0], &g[0], &v[0], w.shape[0], <real>scale, <real>rate, <real>rho, <real>epsilon)
    return squares


def adam(real[::1] w, const real[::1] g, real[::1] m, real[::1] v, double rate, double beta1,
         double beta2, double epsilon, double scale):
    """m[P] += (g - m)(1 - beta1); v += (g^2 - v)(1 - beta2); w -= rate m / (sqrt(v) + epsilon).

    `rate` holds the bias corrections: lr sqrt(1 - beta2^t) / (1 - beta1^t) (Kingma & Ba 2015)."""
    fit[real](w, g)
    fit[real](w, m)
    fit[real](w, v)
    cdef double squares
    with nogil:
        squares = c_adam(&w[0], &g[0], &m[0], &v[0], w.shape[0], <real>scale, <real>rate, <real>beta1,
                         <real>beta2, <real>epsilon)
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
