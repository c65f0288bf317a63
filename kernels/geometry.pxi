# Included by the kernels of images: what is convolved or pooled.

cdef extern from "conv.h" nogil:
    ctypedef struct Geometry:
        long H, W, C, OH, OW, O, kh, kw, sh, sw, dh, dw, top, left, groups


cdef Geometry read(tuple given) except *:
    """H, W, C of x; OH, OW, O of y; the kernel's rows and columns, its strides, its dilation, the padding
    above and to the left, groups."""
    cdef Geometry g
    g.H, g.W, g.C, g.OH, g.OW, g.O, g.kh, g.kw, g.sh, g.sw, g.dh, g.dw, g.top, g.left, g.groups = given
    need(min(given[:12]) > 0 and g.groups > 0 and g.C % g.groups == 0 and g.O % g.groups == 0
         and g.kh * g.kw <= 1 << 16 and max(given) < 1 << 31 and min(given) > -(1 << 31),
         f"there is no such geometry: {given}")
    return g


cdef bint fits(const Geometry &g, const real[:, ::1] x, const real[:, ::1] y) noexcept:
    return (x.shape[0] == g.H * g.W * g.C and y.shape[0] == g.OH * g.OW * g.O and x.shape[1] == y.shape[1]
            and padded(x))
