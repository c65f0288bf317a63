"""Winograd's transforms along the rows of images: what lies between them is a convolution of the points.

A tiling is (H, W, T, F, step, left, sh, st, sp): images [H][W][F][N], T tiles a row, whose first pixels are
t step - left; point p of tile t of row h begins at row h sh + t st + p sp of the tiles.
"""
include "common.pxi"

cdef extern from "winograd.h" nogil:
    enum: POINTS
    ctypedef struct Tiling:
        long H, W, T, F, step, left, sh, st, sp
    void c_to "to_tiles"[T](const T *, const T *, long, T *, const Tiling &, long)
    void c_from "from_tiles"[T](const T *, const T *, long, T *, const Tiling &, long, const T *, const T *, bint)


cdef Tiling read(tuple given, const real[:, ::1] image, const real[:, ::1] tiles, Py_ssize_t J) except *:
    cdef Tiling g
    g.H, g.W, g.T, g.F, g.step, g.left, g.sh, g.st, g.sp = given
    cdef long last = (g.H - 1) * g.sh + (g.T - 1) * g.st + (POINTS - 1) * g.sp + g.F
    need(min(given[:5]) > 0 and min(given) >= 0 and max(given) < 1 << 31 and 0 < J <= POINTS
         and image.shape[0] == g.H * g.W * g.F and tiles.shape[0] >= last and filled(image)
         and image.shape[1] == tiles.shape[1], f"the tiling {given} does not fit")
    return g


def to_tiles(const real[:, ::1] x, const real[:, ::1] matrix, real[:, ::1] tiles, tuple tiling):
    """Point p of a tile = the sum of matrix[p, j] times pixel j of its J pixels; those outside x are 0."""
    need(matrix.shape[0] == POINTS, "to_tiles: matrix[6, J]")
    cdef Tiling g = read[real](tiling, x, tiles, matrix.shape[1])
    with nogil:
        c_to(&x[0, 0], &matrix[0, 0], matrix.shape[1], &tiles[0, 0], g, x.shape[1])


def from_tiles(const real[:, ::1] tiles, const real[:, ::1] matrix, real[:, ::1] y, tuple tiling, bias, bint relu, below):
    """y[h, w] = the sum of matrix[j, p] times point p over the tiles whose pixel j lies at w. With bias[F] it is
    added, then max(0, y) where relu; with `below`, of y's shape, 0 where that is not above 0."""
    need(matrix.shape[1] == POINTS, "from_tiles: matrix[J, 6]")
    cdef Tiling g = read[real](tiling, y, tiles, matrix.shape[0])
    cdef const real[::1] added
    cdef const real[:, ::1] under
    cdef const real *b = NULL
    cdef const real *u = NULL
    need(bias is None or below is None, "from_tiles: bias or below")
    if bias is not None:
        added = bias
        need(added.shape[0] == g.F and y.shape[1] % 16 == 0, "from_tiles: bias[F]")
        b = &added[0]
    if below is not None:
        under = below
        need(under.shape[0] == y.shape[0] and under.shape[1] == y.shape[1], "from_tiles: below and y must have one shape")
        u = &under[0, 0]
    with nogil:
        c_from(&tiles[0, 0], &matrix[0, 0], matrix.shape[0], &y[0, 0], g, y.shape[1], b, u, relu)
