"""The twins of the kernels for sparse rows."""
import numpy as np


def _columns(bounds):
    """The column of each entry."""
    return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


def csr_gather(starts, ids, values, index, bounds, to_ids, to):
    places = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in index])
    bounds[0], bounds[1:] = 0, np.cumsum(starts[index + 1] - starts[index])
    to_ids[:], to[:] = ids[places], values[places]


def csr_distinct(w, ids, where, rows, slots):
    known = list(dict.fromkeys(ids.tolist()))
    rows[:len(known)] = known
    where[known] = np.arange(len(known))
    slots[:] = where[ids]
    return len(known)


def csr_take(w, rows, own):
    own[:] = w[rows]


def csr_put(own, rows, w):
    w[rows] = own


def csr_forward(w, bias, bounds, ids, values, y, relu):
    y[:] = bias[:, None]
    np.add.at(y.T, _columns(bounds), values[:, None] * w[ids])
    if relu:
        np.maximum(y, 0, out=y)


def csr_gradient(dy, bounds, ids, values, g):
    g[:] = 0
    np.add.at(g, ids, values[:, None] * dy.T[_columns(bounds)])


def csr_descend(dy, bounds, ids, values, rate, w):
    np.add.at(w, ids, -rate * values[:, None] * dy.T[_columns(bounds)])
