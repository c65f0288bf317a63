"""The twins of the kernels for dense layers, activations, noise and normalization."""
from math import erf, inf
from statistics import NormalDist

import numpy as np


def dense_forward(w, bias, x, y, relu):
    y[:] = w @ x + bias[:, None]
    if relu:
        activation_forward("relu", y, y)


def dense_backward(w, dy, below, dx):
    dx[:] = w.T @ dy
    if below is not None:
        dx[below <= 0] = 0


def dense_gradient(dy, rows, batch, dw, steps=1, first=0, ahead=None):
    (O, I), N = dw.shape, dy.shape[1]
    dw[:] = sum(d[first:first + O, :batch] @ rows[s * N:s * N + batch, :I] for s, d in enumerate(dy.reshape(steps, -1, N)))


def _bits(used, features):
    return np.unpackbits(used.view("u1"), bitorder="little")[:features].astype(bool)


def used_features(x, used):
    bits = np.zeros(len(used) * 16, bool)
    bits[:len(x)] = x.any(1)
    used[:] = np.packbits(bits, bitorder="little").view(used.dtype)
    return int(bits.sum())


def used_forward(w, bias, x, used, y, relu):
    some = _bits(used, len(x))
    dense_forward(w[:, some], bias, x[some], y, relu)


def pack_used(rows, used, features, packed):
    some = _bits(used, features)
    count = int(some.sum())
    packed[:, :count] = rows[:, :features][:, some]
    packed[:, count:count + -count % 16] = 0


def used_gradient(dy, packed, batch, used, dw, ahead=None):
    some = _bits(used, dw.shape[1])
    dw[:] = 0
    dw[:, some] = dy[:, :batch] @ packed[:batch, :some.sum()]


def transpose(x, out):
    out[:x.shape[1], :x.shape[0]] = x.T


def transpose_steps(x, steps, rows):
    for part, out in zip(np.split(x, steps), np.split(rows, steps)):
        out[:, :len(part)] = part.T


def transpose_columns(rows, out):
    out[:] = rows[:, :len(out)].T


def gather(x, index, scale, offset, rows):
    rows[:] = 0
    rows[:len(index), :x.shape[1]] = x[index].astype(rows.dtype) * rows.dtype.type(scale) \
        + rows.dtype.type(offset)


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def _normal(x):
    return 0.5 * (1 + np.vectorize(erf)(x / 2 ** 0.5))


def _rectifier(x, below, most, threshold=0):
    return np.where(x > threshold, np.minimum(x, most), below * (x - threshold))


def _rectifier_slope(y, below, most, threshold=0):
    return np.where(y > 0, (y < most) | (most == inf), below)


def _elu(x, below, above):
    return np.where(x > 0, above * x, below * np.expm1(np.minimum(x, 0)))


def _elu_slope(y, below, above):
    return np.where(y > 0, above, y + below)


# name -> y(x, *parameters), slope(s, *parameters), whether s is "x" or "y", the default parameters
_SCALE = 1.0507009873554804934193349852946
ACTIVATIONS = {
    "linear": (lambda x: x, lambda y: 1, "y", ()),
    "relu": (lambda x: np.maximum(x, 0), lambda y: y > 0, "y", ()),
    "sigmoid": (_sigmoid, lambda y: y * (1 - y), "y", ()),
    "tanh": (np.tanh, lambda y: 1 - y * y, "y", ()),
    "leaky_relu": (_rectifier, _rectifier_slope, "y", (0.2, inf)),
    "relu6": (_rectifier, _rectifier_slope, "y", (0, 6)),
    "elu": (_elu, _elu_slope, "y", (1, 1)),
    "selu": (_elu, _elu_slope, "y", (1.6732632423543772848170429916717 * _SCALE, _SCALE)),
    "hard_sigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda y: ((y > 0) & (y < 1)) / 6, "y", ()),
    "softplus": (_softplus, lambda y: -np.expm1(-np.maximum(y, 0)), "y", ()),
    "softsign": (lambda x: x / (1 + abs(x)), lambda y: (1 - abs(y)) ** 2, "y", ()),
    "exponential": (np.exp, lambda y: y, "y", ()),
    "silu": (lambda x: x * _sigmoid(x),
             lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))), "x", ()),
    "mish": (lambda x: x * np.tanh(_softplus(x)),
             lambda x: np.tanh(_softplus(x)) + x * _sigmoid(x) / np.cosh(_softplus(x)) ** 2, "x", ()),
    "gelu": (lambda x: x * _normal(x),
             lambda x: _normal(x) + x * np.exp(-x * x / 2) / (2 * np.pi) ** 0.5, "x", ()),
}


def activation_forward(name, x, y, parameters=None):
    function, _, _, defaults = ACTIVATIONS[name]
    y[:] = function(x, *(defaults if parameters is None else parameters))


def activation_backward(name, s, dy, dx, parameters=None):
    _, slope, _, defaults = ACTIVATIONS[name]
    dx[:] = dy * slope(s, *(defaults if parameters is None else parameters))


def prelu_forward(x, alpha, of, y):
    y[:] = np.where(x > 0, x, alpha[of][:, None] * x)


def prelu_backward(x, dy, alpha, of, dx):
    dx[:] = np.where(x > 0, 1, alpha[of][:, None]) * dy


def prelu_gradient(x, dy, of, dalpha):
    dalpha[:] = np.bincount(of, (np.minimum(x, 0) * dy).sum(1), len(dalpha))


def softmax_forward(x, y):
    e = np.exp(x - x.max(0))
    y[:] = e / e.sum(0)


def softmax_backward(y, dy, dx):
    dx[:] = y * (dy - (y * dy).sum(0))


def multiply(x, mask, y):
    np.multiply(x, np.resize(mask, x.shape), out=y)


def philox(counter, key):
    """Philox 4x32-10: returns four arrays of 32-bit words, for a counter of four arrays and a 64-bit key."""
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1, low = key & 0xffffffff, key >> 32, np.uint64(0xffffffff)
    for _ in range(10):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((b >> np.uint64(32)) ^ c1 ^ np.uint64(k0), b & low,
                          (a >> np.uint64(32)) ^ c3 ^ np.uint64(k1), a & low)
        k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
    return c0, c1, c2, c3


def _words(shape, key, stream, step):
    f, n = np.meshgrid(np.arange(shape[0]), np.arange(shape[1] // 4), indexing="ij")
    return np.stack(philox((n, f, np.full_like(n, stream), np.full_like(n, step)), key),
                    -1).reshape(shape)


def dropout_mask(mask, key, stream, step, rate):
    words = _words(mask.shape, key, stream, step)
    mask[:] = np.where(words >= int(rate * 2.0 ** 32), 1 / (1 - rate), 0)


def normal_noise(noise, key, stream, step, mean, stddev):
    words = _words(noise.shape, key, stream, step)
    noise[:] = mean + stddev * np.vectorize(NormalDist().inv_cdf)((words + 0.5) / 2.0 ** 32)


def channel_moments(x, batch, mean, variance):
    values = x[:, :batch].reshape(-1, len(mean), batch).astype("f8")
    mean[:], variance[:] = values.mean((0, 2)), values.var((0, 2))


def _by_channel(x, C):
    return x.reshape(-1, C, x.shape[1])


def channel_affine(x, mean, factor, offset, y):
    y[:] = ((_by_channel(x, len(mean)) - mean[:, None]) * factor[:, None] + offset[:, None]).reshape(y.shape)


def batch_norm_gradient(x, dy, batch, mean, inverse, dgamma, dbeta):
    x, dy = (_by_channel(a, len(mean))[..., :batch] for a in (x, dy))
    dgamma[:] = (dy * ((x - mean[:, None]) * inverse[:, None])).sum((0, 2))
    dbeta[:] = dy.sum((0, 2))


def batch_norm_backward(x, dy, batch, mean, inverse, factor, dgamma, dbeta, dx):
    C = len(mean)
    xhat = (_by_channel(x, C) - mean[:, None]) * inverse[:, None]
    count = len(xhat) * batch
    dx[:] = (factor[:, None] * (_by_channel(dy, C) - dbeta[:, None] / count
                                - xhat * dgamma[:, None] / count)).reshape(dx.shape)
    dx[:, batch:] = 0


def layer_norm_forward(x, gamma, beta, epsilon, xhat, inverse, y):
    values = _by_channel(x, len(gamma))
    inverse[:] = 1 / np.sqrt(values.var(1) + epsilon)
    hat = (values - values.mean(1, keepdims=True)) * inverse[:, None]
    xhat[:] = hat.reshape(x.shape)
    y[:] = (hat * gamma[:, None] + beta[:, None]).reshape(y.shape)


def layer_norm_backward(xhat, inverse, gamma, dy, dx):
    hat, d = (_by_channel(a, len(gamma)) for a in (xhat, dy))
    d = d * gamma[:, None]
    dx[:] = (inverse[:, None] * (d - d.mean(1, keepdims=True)
                                 - hat * (d * hat).mean(1, keepdims=True))).reshape(dx.shape)
