"""The twins of the kernels for losses, updaters and the reducer's loop."""
import numpy as np
from mrdl.kernels.reference.dense import activation_forward, softmax_forward


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


# name -> (f(y, t, p), df/dy), with Keras's formulas
MEAN_LOSSES = {
    "mean_squared_error": (lambda y, t, p: (y - t) ** 2, lambda y, t, p: 2 * (y - t)),
    "mean_absolute_error": (lambda y, t, p: abs(y - t), lambda y, t, p: np.sign(y - t)),
    "mean_absolute_percentage_error": (
        lambda y, t, p: 100 * abs((y - t) / np.maximum(abs(t), 1e-7)),
        lambda y, t, p: 100 * np.sign(y - t) / np.maximum(abs(t), 1e-7)),
    "mean_squared_logarithmic_error": (
        lambda y, t, p: (np.log1p(np.maximum(y, 1e-7)) - np.log1p(np.maximum(t, 1e-7))) ** 2,
        lambda y, t, p: np.where(y < 1e-7, 0, 2 * (np.log1p(np.maximum(y, 1e-7)) - np.log1p(
            np.maximum(t, 1e-7))) / (1 + np.maximum(y, 1e-7)))),
    "huber": (lambda y, t, p: np.where(abs(y - t) <= p[0], (y - t) ** 2 / 2, p[0] * abs(y - t) - p[0] ** 2 / 2),
              lambda y, t, p: np.clip(y - t, -p[0], p[0])),
    "log_cosh": (lambda y, t, p: np.log(np.cosh(y - t)), lambda y, t, p: np.tanh(y - t)),
    "hinge": (lambda y, t, p: np.maximum(1 - _sides(t) * y, 0),
              lambda y, t, p: np.where(_sides(t) * y < 1, -_sides(t), 0)),
    "squared_hinge": (lambda y, t, p: np.maximum(1 - _sides(t) * y, 0) ** 2,
                      lambda y, t, p: -2 * _sides(t) * np.maximum(1 - _sides(t) * y, 0)),
    "kl_divergence": (
        lambda y, t, p: np.clip(t, 1e-7, 1) * np.log(np.clip(t, 1e-7, 1) / np.clip(y, 1e-7, 1)),
        lambda y, t, p: np.where(y == np.clip(y, 1e-7, 1), -np.clip(t, 1e-7, 1) / np.clip(y, 1e-7, 1), 0)),
    "poisson": (lambda y, t, p: y - t * np.log(y + 1e-7), lambda y, t, p: 1 - t / (y + 1e-7)),
    "binary_focal_crossentropy": (lambda *given: _binary_focal(*given)[0], lambda *given: _binary_focal(*given)[1]),
}


def _binary_focal(z, t, p):
    gamma, one, zero, logits, smoothing = p
    y = 1 / (1 + np.exp(-z)) if logits else z
    t = t * (1 - smoothing) + 0.5 * smoothing
    inside, weight, q = np.clip(y, 1e-7, 1 - 1e-7), t * one + (1 - t) * zero, np.maximum(t + y - 2 * t * y, 0)
    loss = -t * np.log(inside) - (1 - t) * np.log(1 - inside)
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.where(q > 0, gamma * q ** (gamma - 1), gamma == 1)
        slope = turn * (1 - 2 * t) * loss + np.where(inside == y, q ** gamma * (y - t) / (y * (1 - y)), 0)
    return weight * q ** gamma * loss, weight * slope * (y * (1 - y) if logits else 1)


def _sides(t):
    return np.where(t == 0, -1, t)


def mean_loss(name, y, t, weight, scale, parameters, count, dy):
    B, (value, slope) = len(weight), MEAN_LOSSES[name]
    given = y[:, :B].astype("f8"), t[:, :B].astype("f8"), parameters
    dy[:] = 0
    dy[:, :B] = scale * weight * slope(*given) / count
    return float((weight * value(*given).sum(0) / count).sum())


def _categorical_hinge(y, t, p):
    own, other = (t * y).sum(1), (1 - t) * y
    gap = np.maximum(other.max(1) - own + 1, 0)
    first = np.arange(y.shape[1])[:, None] == other.argmax(1)[:, None]
    return gap, np.where(gap[:, None] > 0, first * (1 - t) - t, 0)


def _cosine_similarity(y, t, p):
    length, other = (np.maximum(np.sqrt((a * a).sum(1, keepdims=True)), 1e-7) for a in (y, t))
    cosine = (y * t).sum(1, keepdims=True) / length / other
    turn = np.where(length > 1e-7, cosine * y / length, 0)
    return -cosine[:, 0], (turn - t / other) / length


def _categorical_focal(y, t, p):
    (gamma, alpha, smoothing), K, whole = p, y.shape[1], y.sum(1, keepdims=True)
    y, t = y / whole, t * (1 - smoothing) + smoothing / K
    inside = np.clip(y, 1e-7, 1 - 1e-7)
    loss, factor = -t * np.log(inside), (1 - inside) ** gamma
    slope = np.where(inside == y, -alpha * (gamma * (1 - inside) ** (gamma - 1) * loss + factor * t / inside), 0)
    return (alpha * factor * loss).sum(1), (slope - (y * slope).sum(1, keepdims=True)) / whole


ROW_LOSSES = {"categorical_hinge": _categorical_hinge, "cosine_similarity": _cosine_similarity,
              "categorical_focal_crossentropy": _categorical_focal}


def row_loss(name, y, t, weight, scale, parameters, units, dy):
    B, rows = len(weight), len(y) // units
    value, slope = ROW_LOSSES[name](*(a[:, :B].astype("f8").reshape(rows, units, B) for a in (y, t)), parameters)
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


def _rmsprop_momentum(w, g, s, rate, rho, epsilon, momentum):
    s[0] = rho * s[0] + (1 - rho) * g ** 2
    s[1] = momentum * s[1] + rate * g / np.sqrt(s[0] + epsilon)
    w -= s[1]


def _rmsprop_centered(w, g, s, rate, rho, epsilon):
    s[0] = rho * s[0] + (1 - rho) * g ** 2
    s[1] = rho * s[1] + (1 - rho) * g
    w -= rate * g / np.sqrt(s[0] - s[1] ** 2 + epsilon)


def _rmsprop_centered_momentum(w, g, s, rate, rho, epsilon, momentum):
    s[0] = rho * s[0] + (1 - rho) * g ** 2
    s[2] = rho * s[2] + (1 - rho) * g
    s[1] = momentum * s[1] + rate * g / np.sqrt(s[0] - s[2] ** 2 + epsilon)
    w -= s[1]


def _ftrl(w, g, s, rate, l1, l2, shrink):
    total = s[0] + g ** 2
    s[1] += g + shrink * w - (np.sqrt(total) - np.sqrt(s[0])) / rate * w
    s[0] = total
    w[:] = (np.clip(s[1], -l1, l1) - s[1]) / (np.sqrt(total) / rate + l2)


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
    _sgd, _momentum, _nesterov, _rmsprop, _rmsprop_momentum, _rmsprop_centered, _rmsprop_centered_momentum, _ftrl, _adagrad, _adadelta, _lion, _adam, _amsgrad, _nadam, _adamax)}


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


def means(values, n, out):
    total = np.zeros(len(out))
    for own, weight in zip(values, n):
        accumulate(total, own, weight)
    mean(total, sum(n), out)


def flush(x):
    x *= abs(x) >= np.finfo(x.dtype).tiny
