"""Reads images at places between pixels and beyond their edges, by another map for each example."""

import numpy as np

REFLECT, CONSTANT, WRAP, NEAREST = FILLS = "reflect", "constant", "wrap", "nearest"
# indices of pixels, and weights: arrays of one shape
Taps = list[tuple[np.ndarray, np.ndarray]]


def inside(index: np.ndarray, size: int, fill: str) -> np.ndarray:
    """The pixel that stands for one beyond the edge; with "constant", the nearest."""
    if fill == WRAP:
        return index % size
    if fill == REFLECT:
        again = index % (2 * size)
        return np.minimum(again, 2 * size - 1 - again)
    return np.clip(index, 0, size - 1)


def along(at: np.ndarray, size: int, interpolation: str, fill: str) -> Taps:
    """The pixels along an axis, of which those at the places `at` are made; with "constant", pixels beyond the edge weigh 0."""
    if interpolation == "nearest":
        near = np.copysign(np.floor(abs(at) + 0.5), at)
        pairs = [(near, np.ones_like(at))]
    else:
        low = np.floor(at)
        pairs = [(low, 1 - (at - low)), (low + 1, at - low)]
    found = []
    for index, weight in pairs:
        index = index.astype(np.int64)
        if fill == CONSTANT:
            weight = np.where((index >= 0) & (index < size), weight, 0)
        found.append((inside(index, size, fill), weight))
    return found


def taps(rows: np.ndarray, columns: np.ndarray, height: int, width: int, interpolation: str, fill: str) -> Taps:
    """(source[P, N], weight[P, N]): the pixels of x[height width, N] that make up the P pixels of y.

    Args:
        rows: where the pixels of y lie in x, [rows of y, columns of y, N], or 1 in place of the first two.
        columns: like `rows`.
        height: rows of x.
        width: columns of x.
        interpolation: "nearest" or "bilinear".
        fill: one of FILLS."""
    shape = np.broadcast_shapes(rows.shape, columns.shape)
    found = []
    for i, u in along(rows, height, interpolation, fill):
        for j, v in along(columns, width, interpolation, fill):
            found.append((np.broadcast_to(i * width + j, shape).reshape(-1, shape[-1]),
                          np.broadcast_to(u * v, shape).reshape(-1, shape[-1])))
    return found


def sampled(x: np.ndarray, found: Taps, value: float, y: np.ndarray) -> None:
    """y[P, C, N] = the sum of x[source, C, N] weight, and `value` times what the weights lack of 1."""
    y[:] = 0
    rest: np.ndarray | float = 1.0
    for source, weight in found:
        y += np.take_along_axis(x, source[:, None], 0) * weight[:, None].astype(x.dtype)
        rest = rest - weight
    if value:
        y += (value * rest)[:, None].astype(x.dtype)


def spread(dy: np.ndarray, found: Taps, dx: np.ndarray) -> None:
    """dx[Q, C, N] = the gradient of x, from that of y."""
    dx[:] = 0
    C, N = dx.shape[1:]
    places = np.arange(C)[:, None] * N + np.arange(N)
    for source, weight in found:
        np.add.at(dx.reshape(-1), (source[:, None] * (C * N) + places).ravel(), (dy * weight[:, None].astype(dy.dtype)).ravel())


def turn(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of at most two full turns, by their series: it needs sums, products and quotients alone, which are the same bits
    on every machine."""
    parts = [np.ones_like(angle), np.zeros_like(angle)]
    term = np.ones_like(angle)
    for k in range(1, 60):
        term = term * angle / k
        parts[k % 2] = parts[k % 2] + (-term if k % 4 > 1 else term)
    return parts[0], parts[1]


