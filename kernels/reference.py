"""The NumPy twin of every kernel: same name, same arguments, plain formulas; the oracle of the tests."""
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


def dense_gradient(dy, rows, batch, dw, steps=1, first=0):
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


def used_gradient(dy, packed, batch, used, dw):
    some = _bits(used, dw.shape[1])
    dw[:] = 0
    dw[:, some] = dy[:, :batch] @ packed[:batch, :some.sum()]


def bias_gradient(dy, db):
    db[:] = dy.sum(1)


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


# name -> y(x, *parameters), slope(s, *parameters), whether s is x or y, the parameters
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
    """Philox 4x32-10: four arrays of 32-bit words for a counter of four arrays and a 64-bit key."""
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


def _crossentropy(z, t, weight, scale, y, dz):
    softmax_forward(z, y)
    B = len(weight)
    dz[:] = 0
    dz[:, :B] = scale * weight * (y * t.sum(0) - t)[:, :B]
    logs = z - z.max(0) - np.log(np.exp(z - z.max(0)).sum(0))
    return -float((weight.astype("f8") * (t * logs)[:, :B].sum(0)).sum())


def sparse_categorical_crossentropy(z, t, weight, scale, y, dz):
    one_hot = np.zeros_like(z)
    one_hot[t, np.arange(len(t))] = 1
    return _crossentropy(z, one_hot, weight, scale, y, dz)


def categorical_crossentropy(z, t, weight, scale, smoothing, y, dz):
    return _crossentropy(z, (1 - smoothing) * t + smoothing / len(z), weight, scale, y, dz)


def binary_crossentropy(z, t, weight, scale, smoothing, y, dz):
    activation_forward("sigmoid", z, y)
    B, t = len(weight), (1 - smoothing) * t + smoothing / 2
    dz[:] = 0
    dz[:, :B] = scale * weight * (y - t)[:, :B] / len(z)
    each = np.maximum(z, 0) - z * t + np.log1p(np.exp(-abs(z)))
    return float((weight * each[:, :B].mean(0)).sum())


# name -> (f(y, t, p), df/dy), as Keras writes them
_MEAN_LOSSES = {
    "mean_squared_error": (lambda y, t, p: (y - t) ** 2, lambda y, t, p: 2 * (y - t)),
    "mean_absolute_error": (lambda y, t, p: abs(y - t), lambda y, t, p: np.sign(y - t)),
    "mean_absolute_percentage_error": (
        lambda y, t, p: 100 * abs((y - t) / np.maximum(abs(t), 1e-7)),
        lambda y, t, p: 100 * np.sign(y - t) / np.maximum(abs(t), 1e-7)),
    "mean_squared_logarithmic_error": (
        lambda y, t, p: (np.log1p(np.maximum(y, 1e-7)) - np.log1p(np.maximum(t, 1e-7))) ** 2,
        lambda y, t, p: np.where(y < 1e-7, 0, 2 * (np.log1p(np.maximum(y, 1e-7)) - np.log1p(
            np.maximum(t, 1e-7))) / (1 + np.maximum(y, 1e-7)))),
    "huber": (lambda y, t, p: np.where(abs(y - t) <= p, (y - t) ** 2 / 2, p * abs(y - t) - p ** 2 / 2),
              lambda y, t, p: np.clip(y - t, -p, p)),
    "log_cosh": (lambda y, t, p: np.log(np.cosh(y - t)), lambda y, t, p: np.tanh(y - t)),
    "hinge": (lambda y, t, p: np.maximum(1 - _sides(t) * y, 0),
              lambda y, t, p: np.where(_sides(t) * y < 1, -_sides(t), 0)),
    "squared_hinge": (lambda y, t, p: np.maximum(1 - _sides(t) * y, 0) ** 2,
                      lambda y, t, p: -2 * _sides(t) * np.maximum(1 - _sides(t) * y, 0)),
    "kl_divergence": (
        lambda y, t, p: np.clip(t, 1e-7, 1) * np.log(np.clip(t, 1e-7, 1) / np.clip(y, 1e-7, 1)),
        lambda y, t, p: np.where(y == np.clip(y, 1e-7, 1), -np.clip(t, 1e-7, 1) / np.clip(y, 1e-7, 1), 0)),
    "poisson": (lambda y, t, p: y - t * np.log(y + 1e-7), lambda y, t, p: 1 - t / (y + 1e-7)),
}


def _sides(t):
    return np.where(t == 0, -1, t)


def mean_loss(name, y, t, weight, scale, parameter, count, dy):
    B, (value, slope) = len(weight), _MEAN_LOSSES[name]
    given = y[:, :B].astype("f8"), t[:, :B].astype("f8"), parameter
    dy[:] = 0
    dy[:, :B] = scale * weight * slope(*given) / count
    return float((weight * value(*given).sum(0) / count).sum())


def _categorical_hinge(y, t):
    own, other = (t * y).sum(1), (1 - t) * y
    gap = np.maximum(other.max(1) - own + 1, 0)
    first = np.arange(y.shape[1])[:, None] == other.argmax(1)[:, None]
    return gap, np.where(gap[:, None] > 0, first * (1 - t) - t, 0)


def _cosine_similarity(y, t):
    length, other = (np.maximum(np.sqrt((a * a).sum(1, keepdims=True)), 1e-7) for a in (y, t))
    cosine = (y * t).sum(1, keepdims=True) / length / other
    turn = np.where(length > 1e-7, cosine * y / length, 0)
    return -cosine[:, 0], (turn - t / other) / length


_ROW_LOSSES = {"categorical_hinge": _categorical_hinge, "cosine_similarity": _cosine_similarity}


def row_loss(name, y, t, weight, scale, units, dy):
    B, rows = len(weight), len(y) // units
    value, slope = _ROW_LOSSES[name](*(a[:, :B].astype("f8").reshape(rows, units, B) for a in (y, t)))
    dy[:] = 0
    dy[:, :B] = scale * weight * slope.reshape(len(y), B) / rows
    return float((weight * value.mean(0)).sum())


def _sgd(w, g, s, rate):
    w -= rate * g


def _momentum(w, g, s, rate, momentum):
    s[0] = momentum * s[0] - rate * g
    w += s[0]


def _nesterov(w, g, s, rate, momentum):
    s[0] = momentum * s[0] - rate * g
    w += momentum * s[0] - rate * g


def _rmsprop(w, g, s, rate, rho, epsilon):
    s[0] = rho * s[0] + (1 - rho) * g ** 2
    w -= rate * g / np.sqrt(s[0] + epsilon)


def _adagrad(w, g, s, rate, epsilon):
    s[0] += g ** 2
    w -= rate * g / np.sqrt(s[0] + epsilon)


def _adadelta(w, g, s, rate, rho, epsilon):
    s[0] = rho * s[0] + (1 - rho) * g ** 2
    step = np.sqrt(s[1] + epsilon) / np.sqrt(s[0] + epsilon) * g
    s[1] = rho * s[1] + (1 - rho) * step ** 2
    w -= rate * step


def _lion(w, g, s, rate, beta1, beta2):
    w -= rate * np.sign(beta1 * s[0] + (1 - beta1) * g)
    s[0] = beta2 * s[0] + (1 - beta2) * g


def _moments(g, s, beta1, beta2):
    s[0] += (g - s[0]) * (1 - beta1)
    s[1] += (g ** 2 - s[1]) * (1 - beta2)


def _adam(w, g, s, rate, beta1, beta2, epsilon):
    _moments(g, s, beta1, beta2)
    w -= rate * s[0] / (np.sqrt(s[1]) + epsilon)


def _amsgrad(w, g, s, rate, beta1, beta2, epsilon):
    _moments(g, s, beta1, beta2)
    s[2] = np.maximum(s[2], s[1])
    w -= rate * s[0] / (np.sqrt(s[2]) + epsilon)


def _nadam(w, g, s, of_m, of_g, beta1, beta2, epsilon, correction):
    _moments(g, s, beta1, beta2)
    w -= (of_m * s[0] + of_g * g) / (np.sqrt(correction * s[1]) + epsilon)


def _adamax(w, g, s, rate, beta1, beta2, epsilon):
    s[0] += (g - s[0]) * (1 - beta1)
    s[1] = np.maximum(beta2 * s[1], abs(g))
    w -= rate * s[0] / (s[1] + epsilon)


RULES = {rule.__name__[1:]: rule for rule in (
    _sgd, _momentum, _nesterov, _rmsprop, _adagrad, _adadelta, _lion, _adam, _amsgrad, _nadam, _adamax)}


def update(rule, w, g, slots, numbers, decay, scale, clip):
    w -= decay * w
    RULES[rule](w, np.clip(scale * g, -clip, clip), slots, *numbers)
    return sum_squares(g)


def sum_squares(g):
    return float((g.astype("f8") ** 2).sum())


def regularize(w, g, l1, l2):
    g += l1 * np.sign(w) + 2 * l2 * w
    return float((l1 * abs(w.astype("f8")) + l2 * w.astype("f8") ** 2).sum())


def accumulate(total, values, n):
    total += n * values.astype("f8")


def mean(total, n, out):
    out[:] = total / n


def _taps(geometry):
    """For each place of the kernel: its number, output pixels (h, w) that it meets, and the input pixels there."""
    H, W, _, OH, OW, _, kh, kw, sh, sw, dh, dw, top, left, _ = geometry
    h, w = (a.ravel() for a in np.meshgrid(np.arange(OH), np.arange(OW), indexing="ij"))
    for k in range(kh * kw):
        r, c = h * sh - top + k // kw * dh, w * sw - left + k % kw * dw
        ok = (r >= 0) & (r < H) & (c >= 0) & (c < W)
        yield k, (h * OW + w)[ok], (r * W + c)[ok]


def _images(a, pixels, groups):
    """[pixels, groups, channels of a group, N]"""
    return a.reshape(pixels, groups, -1, a.shape[1])


def _shapes(geometry):
    H, W, _, OH, OW, _, kh, kw, *_, groups = geometry
    return H * W, OH * OW, kh * kw, groups


def conv_forward(w, bias, x, y, geometry, relu):
    inputs, outputs, taps, groups = _shapes(geometry)
    x, out = _images(x, inputs, groups), _images(y, outputs, groups)
    w = w.reshape(groups, -1, taps, w.shape[1] // taps)
    out[:] = bias.reshape(groups, -1, 1)
    for k, to, come in _taps(geometry):
        out[to] += np.einsum("goc,pgcn->pgon", w[:, :, k], x[come])
    if relu:
        np.maximum(y, 0, out=y)


def conv_backward(turned, dy, below, dx, geometry):
    inputs, outputs, taps, groups = _shapes(geometry)
    dy, out = _images(dy, outputs, groups), _images(dx, inputs, groups)
    w = turned.reshape(taps, -1, groups, turned.shape[1] // groups)
    out[:] = 0
    for k, come, to in _taps(geometry):
        out[to] += np.einsum("cgo,pgon->pgcn", w[k], dy[come])
    if below is not None:
        dx[below <= 0] = 0


def conv_transpose_forward(turned, bias, x, y, geometry, relu):
    conv_backward(turned, x, None, y, geometry)
    images = y.reshape(-1, len(bias), y.shape[1])
    images += bias[:, None]
    if relu:
        np.maximum(y, 0, out=y)


def conv_gradient(dy, x, first, dw, geometry):
    inputs, outputs, _, groups = _shapes(geometry)
    dy, x = _images(dy, outputs, groups), _images(x, inputs, groups)
    whole = np.stack([np.einsum("pgon,pgcn->goc", dy[to], x[come]).reshape(-1, x.shape[2])
                      for _, to, come in _taps(geometry)], 1)
    dw[:] = whole[first:first + len(dw)].reshape(dw.shape)


def _of_tiles(tiling, J):
    """Each tile's pixels that lie inside the image: h, w, t, j, and where its points begin."""
    H, W, T, F, step, left, sh, st, _ = tiling
    for h, t, j in np.ndindex(H, T, J):
        if 0 <= t * step - left + j < W:
            yield slice((h * W + t * step - left + j) * F, (h * W + t * step - left + j + 1) * F), j, h * sh + t * st


def to_tiles(x, matrix, tiles, tiling):
    H, _, T, F, _, _, sh, st, sp = tiling
    for h, t, p in np.ndindex(H, T, 6):
        at = h * sh + t * st + p * sp
        tiles[at:at + F] = 0
    for pixel, j, at in _of_tiles(tiling, matrix.shape[1]):
        for p in range(6):
            tiles[at + p * sp:at + p * sp + F] += matrix[p, j] * x[pixel]


def from_tiles(tiles, matrix, y, tiling, bias, relu, below):
    F, sp = tiling[3], tiling[8]
    y[:] = 0
    for pixel, j, at in _of_tiles(tiling, len(matrix)):
        for p in range(6):
            y[pixel] += matrix[j, p] * tiles[at + p * sp:at + p * sp + F]
    if bias is not None:
        y += np.resize(bias, len(y))[:, None]
        y[:] = np.maximum(y, 0) if relu else y
    if below is not None:
        y[below <= 0] = 0


def channel_sums(x, sums):
    sums[:] = x.reshape(-1, len(sums), x.shape[1]).sum((0, 2))


def _windows(x, geometry, empty):
    """The values of each window, [places, output pixels, C, N], `empty` where a place is padding."""
    H, W, C, OH, OW, *_ = geometry
    images = x.reshape(H * W, C, -1)
    found = np.full((geometry[6] * geometry[7], OH * OW, *images.shape[1:]), empty, x.dtype)
    for k, to, come in _taps(geometry):
        found[k, to] = images[come]
    return found


def max_pool_forward(x, y, geometry):
    y[:] = _windows(x, geometry, -np.inf).max(0).reshape(y.shape)


def max_pool_backward(x, y, dy, dx, geometry, relu):
    values = _windows(x, geometry, -np.inf)
    place, images = values.argmax(0), dx.reshape(geometry[0] * geometry[1], geometry[2], -1)
    images[:] = 0
    dy = (np.where(y > 0, dy, 0) if relu else dy).reshape(place.shape)
    for k, come, to in _taps(geometry):
        images[to] += np.where(place[come] == k, dy[come], 0)


def average_pool_forward(x, y, geometry):
    y[:] = np.nanmean(_windows(x, geometry, np.nan), 0).reshape(y.shape)


def average_pool_backward(dy, dx, geometry):
    count = (~np.isnan(_windows(np.ones_like(dx), geometry, np.nan))).sum(0)
    dy, images = dy.reshape(count.shape), dx.reshape(geometry[0] * geometry[1], geometry[2], -1)
    images[:] = 0
    for _, come, to in _taps(geometry):
        images[to] += dy[come] / count[come]


def take_rows(x, source, y):
    y[:] = np.where(source[:, None] >= 0, x[source], 0)


def add_rows(dy, source, dx):
    dx[:] = 0
    np.add.at(dx, source[source >= 0], dy[source >= 0])


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


def _slope(name, y):
    """The activation's slope where it gave y."""
    out = np.empty_like(y)
    activation_backward(name, y, np.ones_like(y), out)
    return out


def _act(name, x):
    out = np.empty_like(x)
    activation_forward(name, x, out)
    return out


def _steps(a, U):
    """[T rows, N] as [T, rows of U, N], or [T, U, N]."""
    return a.reshape(-1, U, a.shape[1])


def _sequence(gates, r, z, mask, drop):
    """-> U, the gates as [T, G, U, N], mask and drop, all 1 where there are none."""
    U, N = r.shape[1], z.shape[1]
    z = z.reshape(-1, gates, U, N)
    return (U, z, np.ones((len(z), N), bool) if mask is None else mask != 0,
            np.ones((U, N), z.dtype) if drop is None else drop)


def _see(h, drop, seen, U, t):
    """What the recurrent kernel multiplies in step t."""
    if drop is None:
        return _steps(h, U)[t]
    _steps(seen, U)[t] = _steps(h, U)[t] * drop
    return _steps(seen, U)[t]


def simple_rnn_forward(r, mask, drop, seen, z, h, acts):
    U, z, counts, _ = _sequence(1, r, z, mask, drop)
    for t in range(len(z)):
        z[t] = _act(acts[0], z[t] + r @ _see(h, drop, seen, U, t))
        _steps(h, U)[t + 1] = np.where(counts[t], z[t, 0], _steps(h, U)[t])


def simple_rnn_backward(r, mask, drop, z, h, dy, dz, work, acts):
    U, z, counts, drop = _sequence(1, r, z, mask, drop)
    dh = work[:U].copy()
    for t in reversed(range(len(z))):
        dh = dh + _steps(dy, U)[t]
        d = _steps(dz, U)[t] = np.where(counts[t], dh, 0) * _slope(acts[0], z[t, 0])
        dh = np.where(counts[t], 0, dh) + r.T @ d * drop
    work[:U], work[U:] = dh, 0


def _peepholes(peephole, U, z):
    return np.zeros((3, U, 1), z.dtype) if peephole is None else peephole.reshape(3, U, 1)


def lstm_forward(r, peephole, mask, drop, seen, z, c, made, h, acts):
    U, z, counts, _ = _sequence(4, r, z, mask, drop)
    p, c, made, states = _peepholes(peephole, U, z), _steps(c, U), _steps(made, U), _steps(h, U)
    for t in range(len(z)):
        i, f, g, o = z[t]
        z[t] += (r @ _see(h, drop, seen, U, t)).reshape(z[t].shape)
        i[:], f[:], g[:] = _act(acts[1], i + p[0] * c[t]), _act(acts[1], f + p[1] * c[t]), _act(acts[0], g)
        now = f * c[t] + i * g
        o[:] = _act(acts[1], o + p[2] * now)
        made[t] = _act(acts[0], now)
        c[t + 1] = np.where(counts[t], now, c[t])
        states[t + 1] = np.where(counts[t], o * made[t], states[t])


def lstm_backward(r, peephole, mask, drop, z, c, made, dy, dz, work, acts):
    U, z, counts, drop = _sequence(4, r, z, mask, drop)
    p, c, made, out = _peepholes(peephole, U, z), _steps(c, U), _steps(made, U), dz.reshape(z.shape)
    dh, dc = work[:U].copy(), work[U:2 * U].copy()
    for t in reversed(range(len(z))):
        (i, f, g, o), (di, df, dg, do) = z[t], out[t]
        dh = dh + _steps(dy, U)[t]
        d, e = np.where(counts[t], dh, 0), np.where(counts[t], dc, 0)
        do[:] = d * made[t] * _slope(acts[1], o)
        e = e + d * o * _slope(acts[0], made[t]) + p[2] * do
        di[:], df[:], dg[:] = e * g * _slope(acts[1], i), e * c[t] * _slope(acts[1], f), e * i * _slope(acts[0], g)
        dc = np.where(counts[t], e * f + p[0] * di + p[1] * df, dc)
        dh = np.where(counts[t], 0, dh) + r.T @ out[t].reshape(4 * U, -1) * drop
    work[:U], work[U:2 * U], work[2 * U:] = dh, dc, 0


def peephole_gradient(dz, c, dp):
    U = len(dp) // 3
    d, c = dz.reshape(-1, 4, U, dz.shape[1]), _steps(c, U)
    dp.reshape(3, U)[:] = [(d[:, k] * c[first:first + len(d)]).sum((0, 2)) for k, first in ((0, 0), (1, 0), (3, 1))]


def gru_forward(r, bias, mask, drop, seen, z, q, h, acts):
    U, z, counts, _ = _sequence(3, r, z, mask, drop)
    q, states = q.reshape(z.shape), _steps(h, U)
    for t in range(len(z)):
        update, reset, candidate = z[t]
        x = _see(h, drop, seen, U, t)
        if bias is None:
            z[t, :2] += (r[:2 * U] @ x).reshape(2, U, -1)
        else:
            q[t] = (r @ x + bias[:, None]).reshape(z[t].shape)
            z[t, :2] += q[t, :2]
        z[t, :2] = _act(acts[1], z[t, :2])
        if bias is None:
            q[t, 0] = reset * x
        candidate[:] = _act(acts[0], candidate + (r[2 * U:] @ q[t, 0] if bias is None else reset * q[t, 2]))
        states[t + 1] = np.where(counts[t], update * states[t] + (1 - update) * candidate, states[t])


def gru_backward(r, early, mask, drop, z, q, h, seen, dy, dz, dq, work, acts):
    U, z, counts, by = _sequence(3, r, z, mask, drop)
    q, out, back, states = q.reshape(z.shape), dz.reshape(z.shape), dq.reshape(z.shape), _steps(h, U)
    dh = work[:U].copy()
    for t in reversed(range(len(z))):
        (update, reset, candidate), (du, dr, dn) = z[t], out[t]
        x = states[t] if drop is None else _steps(seen, U)[t]
        dh = dh + _steps(dy, U)[t]
        d = np.where(counts[t], dh, 0)
        du[:] = d * (states[t] - candidate) * _slope(acts[1], update)
        dn[:] = d * (1 - update) * _slope(acts[0], candidate)
        drh = r[2 * U:].T @ dn
        dr[:] = (drh * x if early else dn * q[t, 2]) * _slope(acts[1], reset)
        if not early:
            back[t] = du, dr, dn * reset
        dh = np.where(counts[t], 0, dh) + d * update + (
            drh * reset + r[:2 * U].T @ out[t, :2].reshape(2 * U, -1) if early else r.T @ back[t].reshape(3 * U, -1)) * by
    work[:U], work[U:] = dh, 0


def ids_forward(w, bias, ids, z):
    z.reshape(len(ids), len(w), -1)[:] = (w[:, ids] + bias[:, None, None]).transpose(1, 0, 2)


def ids_gradient(dz, ids, batch, first, dw):
    d = dz.reshape(len(ids), -1, dz.shape[1])[:, first:first + len(dw), :batch].transpose(1, 0, 2).reshape(len(dw), -1)
    for f in range(dw.shape[1]):
        dw[:, f] = d[:, ids[:, :batch].reshape(-1) == f].sum(1)


def embedding_forward(table, ids, y):
    y.reshape(*ids.shape[:1], -1, ids.shape[1])[:] = table[ids].transpose(0, 2, 1)


def embedding_gradient(dy, ids, batch, dtable):
    np.add.at(dtable, ids[:, :batch], dy.reshape(len(ids), -1, dy.shape[1])[:, :, :batch].transpose(0, 2, 1))
