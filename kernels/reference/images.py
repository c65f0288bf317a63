"""The twins of the kernels for convolution, for its tiles (Winograd), and for pooling."""
import numpy as np


def _taps(geometry):
    """For each position in the kernel: its number, the output pixels (h, w) that it contributes to, and the input pixels
    that it reads for them."""
    H, W, _, OH, OW, _, kh, kw, sh, sw, dh, dw, top, left, _ = geometry
    h, w = (a.ravel() for a in np.meshgrid(np.arange(OH), np.arange(OW), indexing="ij"))
    for k in range(kh * kw):
        r, c = h * sh - top + k // kw * dh, w * sw - left + k % kw * dw
        ok = (r >= 0) & (r < H) & (c >= 0) & (c < W)
        yield k, (h * OW + w)[ok], (r * W + c)[ok]


def _images(a, pixels, groups):
    """The array as [pixels, groups, channels of a group, N]."""
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
    """The pixels of each tile that lie inside the image: h, w, t, j, and where the tile's points begin."""
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
    """The values in each window, [positions, output pixels, C, N]; `empty` for padding."""
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
