"""The NumPy twin of every kernel: same name, same arguments, plain formulas; the oracle of the tests."""
import numpy as np


def dense_forward(w, bias, x, y, relu):
    y[:] = w @ x + bias[:, None]
    if relu:
        relu_forward(y, y)


def dense_backward(w, dy, below, dx):
    dx[:] = w.T @ dy
    if below is not None:
        dx[below <= 0] = 0


def dense_gradient(dy, rows, batch, dw):
    dw[:] = dy[:, :batch] @ rows[:batch, :dw.shape[1]]


def bias_gradient(dy, db):
    db[:] = dy.sum(1)


def transpose(x, out):
    out[:x.shape[1], :x.shape[0]] = x.T


def transpose_columns(rows, out):
    out[:] = rows[:, :len(out)].T


def gather(x, index, scale, offset, rows):
    rows[:] = 0
    rows[:len(index), :x.shape[1]] = x[index].astype(rows.dtype) * rows.dtype.type(scale) \
        + rows.dtype.type(offset)


def relu_forward(x, y):
    np.maximum(x, 0, out=y)


def relu_backward(y, dy, dx):
    dx[:] = np.where(y > 0, dy, 0)


def sigmoid_forward(x, y):
    y[:] = 1 / (1 + np.exp(-x))


def sigmoid_backward(y, dy, dx):
    dx[:] = dy * y * (1 - y)


def tanh_forward(x, y):
    np.tanh(x, out=y)


def tanh_backward(y, dy, dx):
    dx[:] = dy * (1 - y * y)


def softmax_forward(x, y):
    e = np.exp(x - x.max(0))
    y[:] = e / e.sum(0)


def softmax_backward(y, dy, dx):
    dx[:] = y * (dy - (y * dy).sum(0))


def multiply(x, mask, y):
    np.multiply(x, mask, out=y)


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


def dropout_mask(mask, key, stream, step, rate):
    f, n = np.meshgrid(np.arange(mask.shape[0]), np.arange(mask.shape[1] // 4), indexing="ij")
    words = np.stack(philox((n, f, np.full_like(n, stream), np.full_like(n, step)), key), -1)
    mask[:] = np.where(words.reshape(mask.shape) >= int(rate * 2.0 ** 32), 1 / (1 - rate), 0)


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


def categorical_crossentropy(z, t, weight, scale, y, dz):
    return _crossentropy(z, t, weight, scale, y, dz)


def binary_crossentropy(z, t, weight, scale, y, dz):
    sigmoid_forward(z, y)
    B = len(weight)
    dz[:] = 0
    dz[:, :B] = scale * weight * (y - t)[:, :B] / len(z)
    each = np.maximum(z, 0) - z * t + np.log1p(np.exp(-abs(z)))
    return float((weight * each[:, :B].mean(0)).sum())


def mean_squared_error(y, t, weight, scale, dy):
    B = len(weight)
    dy[:] = 0
    dy[:, :B] = scale * weight * 2 * (y - t)[:, :B] / len(y)
    return float((weight * ((y - t)[:, :B] ** 2).mean(0)).sum())


def sgd(w, g, rate, scale):
    w -= rate * scale * g
    return sum_squares(g)


def momentum(w, g, m, rate, momentum, scale):
    m[:] = momentum * m - rate * scale * g
    w += m
    return sum_squares(g)


def nesterov(w, g, m, rate, momentum, scale):
    m[:] = momentum * m - rate * scale * g
    w += momentum * m - rate * scale * g
    return sum_squares(g)


def rmsprop(w, g, v, rate, rho, epsilon, scale):
    v[:] = rho * v + (1 - rho) * (scale * g) ** 2
    w -= rate * scale * g / np.sqrt(v + epsilon)
    return sum_squares(g)


def adam(w, g, m, v, rate, beta1, beta2, epsilon, scale):
    m += (scale * g - m) * (1 - beta1)
    v += ((scale * g) ** 2 - v) * (1 - beta2)
    w -= rate * m / (np.sqrt(v) + epsilon)
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
