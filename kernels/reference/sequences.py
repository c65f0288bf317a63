"""The twins of the kernels for recurrent layers, ids and embeddings."""
import numpy as np
from mrdl.kernels.reference.dense import activation_backward, activation_forward


def _slope(name, y):
    """The activation's slope, computed from its output y."""
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
    """Returns U, the gates as [T, G, U, N], the mask and the dropout factors (1 if there are none)."""
    U, N = r.shape[1], z.shape[1]
    z = z.reshape(-1, gates, U, N)
    return (U, z, np.ones((len(z), N), bool) if mask is None else mask != 0,
            np.ones((U, N), z.dtype) if drop is None else drop)


def _see(h, drop, seen, U, t):
    """The vector that the recurrent kernel multiplies in step t."""
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
        (i, f, g, o), (di, df, dg, do) = z[t].copy(), out[t]     # copied, because dz and z may share memory
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
