"""Activations on [feature][N]; every function fills its outputs and returns None."""
include "common.pxi"

cdef extern from "activations.h" nogil:
    cdef cppclass Row "Activation<double>":
        const char *name
        const char *slope_of
        double parameters[3]
    const Row &activation_row(int)
    void c_forward "activation_forward"[T](int, const T *, T *, long, const double *)
    void c_backward "activation_backward"[T](int, const T *, const T *, T *, long, const double *)
    void c_prelu_forward "prelu_forward"[T](const T *, const T *, const long long *, T *, long, long)
    void c_prelu_backward "prelu_backward"[T](const T *, const T *, const T *, const long long *, T *, long, long)
    void c_prelu_gradient "prelu_gradient"[T](const T *, const T *, const long long *, T *, long, long, long)
    void forward_softmax "softmax_forward"[T](const T *, T *, long, long)
    void backward_softmax "softmax_backward"[T](const T *, const T *, T *, long, long)


def _slopes():
    cdef int i = 0
    while activation_row(i).name:
        yield activation_row(i).name.decode(), activation_row(i).slope_of.decode()
        i += 1


#: name -> "x" or "y": what activation_backward takes the slope from
ACTIVATIONS = dict(_slopes())
cdef dict _rows = {name: i for i, name in enumerate(ACTIVATIONS)}


cdef int alike(const real[:, ::1] a, const real[:, ::1] b, str name) except -1:
    return need(a.shape[0] == b.shape[0] and a.shape[1] == b.shape[1] and padded(a),
                name + ": the arrays must have one shape [F, N], N a multiple of 16")


cdef int row(str name, parameters, double *p) except -1:
    """The activation's row in the table; p becomes its parameters."""
    need(name in _rows and (parameters is None or len(parameters) <= 3),
         f"there is no activation {name!r} of these parameters")
    cdef int i, found = _rows[name]
    for i in range(3):
        p[i] = (activation_row(found).parameters[i] if parameters is None
                else parameters[i] if i < len(parameters) else 0)
    return found


def activation_forward(str name, const real[:, ::1] x, real[:, ::1] y, parameters=None):
    """y[F, N] = the activation of x; without parameters, with those that Keras gives its name."""
    alike[real](x, y, "activation_forward")
    cdef double p[3]
    cdef int i = row(name, parameters, p)
    with nogil:
        c_forward(i, &x[0, 0], &y[0, 0], x.shape[0] * x.shape[1], p)


def activation_backward(str name, const real[:, ::1] s, const real[:, ::1] dy, real[:, ::1] dx,
                        parameters=None):
    """dx[F, N] = dy times the activation's slope, taken from s: its x or y, as ACTIVATIONS says."""
    alike[real](s, dy, "activation_backward")
    alike[real](s, dx, "activation_backward")
    cdef double p[3]
    cdef int i = row(name, parameters, p)
    with nogil:
        c_backward(i, &s[0, 0], &dy[0, 0], &dx[0, 0], s.shape[0] * s.shape[1], p)


cdef int within(const long long[::1] of, Py_ssize_t rows, const real[::1] alpha, str name) except -1:
    cdef Py_ssize_t f
    cdef bint ok = of.shape[0] == rows
    for f in range(of.shape[0]):
        ok = ok and 0 <= of[f] < alpha.shape[0]
    return need(ok, name + ": of[F] must hold places in alpha")


def prelu_forward(const real[:, ::1] x, const real[::1] alpha, const long long[::1] of, real[:, ::1] y):
    """y[F, N] = x where x > 0, else alpha[of[F]] x."""
    alike[real](x, y, "prelu_forward")
    within[real](of, x.shape[0], alpha, "prelu_forward")
    with nogil:
        c_prelu_forward(&x[0, 0], &alpha[0], &of[0], &y[0, 0], x.shape[0], x.shape[1])


def prelu_backward(const real[:, ::1] x, const real[:, ::1] dy, const real[::1] alpha,
                   const long long[::1] of, real[:, ::1] dx):
    """dx[F, N] = dy where x > 0, else alpha[of[F]] dy."""
    alike[real](x, dy, "prelu_backward")
    alike[real](x, dx, "prelu_backward")
    within[real](of, x.shape[0], alpha, "prelu_backward")
    with nogil:
        c_prelu_backward(&x[0, 0], &dy[0, 0], &alpha[0], &of[0], &dx[0, 0], x.shape[0], x.shape[1])


def prelu_gradient(const real[:, ::1] x, const real[:, ::1] dy, const long long[::1] of,
                   real[::1] dalpha):
    """dalpha[A] = the sum of x dy where x <= 0, over N and the rows f whose of[f] it is."""
    alike[real](x, dy, "prelu_gradient")
    within[real](of, x.shape[0], dalpha, "prelu_gradient")
    with nogil:
        c_prelu_gradient(&x[0, 0], &dy[0, 0], &of[0], &dalpha[0], dalpha.shape[0], x.shape[0], x.shape[1])


def softmax_forward(const real[:, ::1] x, real[:, ::1] y):
    """y[F, N] = e^x / sum of e^x over F."""
    alike[real](x, y, "softmax_forward")
    with nogil:
        forward_softmax(&x[0, 0], &y[0, 0], x.shape[0], x.shape[1])


def softmax_backward(const real[:, ::1] y, const real[:, ::1] dy, real[:, ::1] dx):
    """dx[F, N] = y (dy - sum of y dy over F)."""
    alike[real](y, dy, "softmax_backward")
    alike[real](y, dx, "softmax_backward")
    with nogil:
        backward_softmax(&y[0, 0], &dy[0, 0], &dx[0, 0], y.shape[0], y.shape[1])
