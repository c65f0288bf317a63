"""Every kernel, and arguments to call it and its twin with: `arguments` has a line for each kernel, with the shape of each array.

Most arrays are [rows, columns]: a column is an example; columns after the last example fill it up to a multiple of 16."""
import importlib
import inspect
from typing import NamedTuple

import numpy as np
from mrdl.kernels import reference

from mrdl import kernels

optimizers = importlib.import_module(f"mrdl.kernels.{kernels.LEVEL}.optimizers")


class Geometry(NamedTuple):
    """Of a convolution, or of pooling: what its kernels take as a tuple."""
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    filters: int
    kernel_height: int
    kernel_width: int
    stride_down: int = 1
    stride_right: int = 1
    dilation_down: int = 1
    dilation_right: int = 1
    padding_top: int = 0
    padding_left: int = 0
    groups: int = 1

    @property
    def inputs(self):
        return self.height * self.width * self.channels

    @property
    def outputs(self):
        return self.out_height * self.out_width * self.filters

    @property
    def taps(self):
        """What a filter multiplies: numbers of an image."""
        return self.kernel_height * self.kernel_width * self.channels // self.groups


class Tiling(NamedTuple):
    """How an image is cut into overlapping tiles of 6 points: what its kernels take as a tuple."""
    height: int
    width: int
    tiles: int              # of a row
    features: int           # of a pixel
    step: int               # pixels from tile to tile
    left: int               # pixels before the first
    row_stride: int         # rows of the array of tiles from one of the image to the next
    tile_stride: int
    point_stride: int


class Sizes(NamedTuple):
    """How large the arrays of one call are."""
    units: int              # of a layer: rows of its weights. Whether they are even or odd decides options
    features: int           # of an example, or of a step of it
    columns: int
    batch: int              # of the columns: examples; the others are padding
    convolution: Geometry
    pooling: Geometry
    tiling: Tiling
    pixels: int             # of a tile


SIZES = [
    Sizes(1, 1, 16, 1, Geometry(1, 1, 1, 1, 1, 1, 1, 1), Geometry(1, 1, 1, 1, 1, 1, 1, 1),
          Tiling(1, 1, 1, 1, 1, 0, 6, 6, 1), 1),
    Sizes(3, 5, 16, 7, Geometry(6, 7, 3, 4, 6, 5, 3, 2), Geometry(6, 7, 3, 3, 3, 3, 2, 2, 2, 2),
          Tiling(3, 7, 4, 5, 2, 2, 120, 30, 5), 6),
    Sizes(10, 33, 64, 64, Geometry(9, 8, 4, 5, 4, 6, 3, 3, 2, 2, 1, 2, 1, 2, 2), Geometry(7, 5, 4, 4, 3, 4, 3, 3, 2, 2, 1, 1, 1, 1),
          Tiling(4, 8, 2, 3, 4, 0, 36, 18, 3), 4),
    Sizes(17, 50, 80, 77, Geometry(5, 5, 4, 5, 5, 8, 3, 3, 1, 1, 1, 1, 1, 1, 4), Geometry(5, 5, 2, 5, 5, 2, 3, 2, 1, 1, 1, 1, 1),
          Tiling(15, 5, 1, 1, 1, 0, 1, 0, 15), 5),
    Sizes(64, 100, 128, 128, Geometry(1, 20, 7, 1, 20, 11, 1, 5, 1, 1, 1, 2, 0, 8), Geometry(1, 20, 7, 1, 7, 7, 1, 2, 1, 3),
          Tiling(2, 9, 3, 7, 3, 1, 126, 42, 7), 3),
    Sizes(2, 784, 32, 20, Geometry(30, 40, 2, 30, 40, 7, 5, 4, 1, 1, 1, 1, 2, 1), Geometry(8, 9, 2, 1, 1, 2, 8, 9),
          Tiling(2, 4, 2, 6, 4, 0, 72, 36, 6), 2)]
MIDDLE = SIZES[2]
UNEVEN = SIZES[3]

# the updaters' rules and numbers for them; the other kernels go by their own names
RULES = {"sgd": (0.1,), "momentum": (0.1, 0.9), "nesterov": (0.1, 0.9), "rmsprop": (0.1, 0.9, 1e-7),
         "rmsprop_momentum": (0.1, 0.9, 1e-7, 0.5), "rmsprop_centered": (0.1, 0.9, 1e2),
         "rmsprop_centered_momentum": (0.1, 0.9, 1e2, 0.5), "ftrl": (0.1, 0.01, 0.2, 0.02),
         "adagrad": (0.1, 1e-7), "adadelta": (0.1, 0.95, 1e-2), "lion": (0.1, 0.9, 0.99),
         "adam": (0.1, 0.9, 0.999, 1e-7), "amsgrad": (0.1, 0.9, 0.5, 1e-7),
         "nadam": (0.2, 0.3, 0.9, 0.999, 1e-7, 1.5), "adamax": (0.1, 0.9, 0.999, 1e-7)}
# the kernels that are called in several ways: by the name of a loss, rule or activation, or with more arguments
CASES = {"mean_loss": reference.MEAN_LOSSES, "row_loss": reference.ROW_LOSSES, "update": RULES,
         "activation_forward": kernels.ACTIVATIONS, "activation_backward": kernels.ACTIVATIONS,
         "dense_gradient": ["", "of steps", "with what is read next"], "used_gradient": ["", "with what is read next"]}
KERNELS = [f"{name} {case}".strip() for names in kernels.TABLE.values() for name in names
           for case in CASES.get(name, [""])]


def named(**arguments):
    return arguments


def arguments(name, rng, dtype, sizes):
    """The arguments of a kernel of KERNELS, by their names: random numbers of these sizes."""
    units, features, columns, batch, convolution, pooling, tiling, pixels = sizes
    odd, kind, *words = units % 2 == 1, *name.split()

    def a(*shape):
        return rng.standard_normal(shape).astype(dtype)

    def padded(rows):
        """An array whose columns after the examples are 0."""
        x = a(rows, columns)
        x[:, batch:] = 0
        return x

    def between_0_and_1(rows):
        return rng.random((rows, columns)).astype(dtype)

    # targets and weights of examples
    one_hot = np.zeros((units, columns), dtype)
    one_hot[rng.integers(0, units, columns), np.arange(columns)] = 1
    weight, scale = abs(a(batch)), 1 / batch
    # which features are used: a bit for each, in words of 16
    lanes = -(-features // 16) * 16
    some = np.resize([True, False, True, True, False], features)
    used = np.packbits(np.pad(some, (0, lanes - features)), bitorder="little").view("u2")
    next_rows = np.array([0, 1 << 50], "u8")        # addresses of what is read next: asked for, never read
    # sparse rows: 40 of them, of which a minibatch takes some
    there = rng.random((40, features)) < 0.3
    there[0] = False
    starts, entries = np.append(0, there.sum(1).cumsum()), np.nonzero(there)[1].astype("i4")
    amounts, index = rng.integers(1, 256, len(entries)).astype("u1"), rng.integers(0, 40, batch)
    bounds = np.append(0, there[index].sum(1).cumsum())
    taken = np.nonzero(there[index])[1].astype("i4")
    some_rows = rng.permutation(features)[:features // 2 + 1].astype("i4")
    # images
    image, filters = convolution.inputs, convolution.filters
    w, turned = (filters, convolution.taps), (convolution.taps, filters)
    below = a(image, columns) if odd else None
    ties = np.round(a(pooling.inputs, columns))     # a window has several maxima
    tiles = 6 * tiling.height * tiling.tiles * tiling.features
    tile_columns = columns if tiling.features > 1 else batch        # the rows of weights are of any length
    tiled = tiling.height * tiling.width * tiling.features
    # sequences: gates and states of `steps` steps, each [units, columns]
    steps = 3
    counts = (rng.random((steps, columns)) < 0.7).astype(dtype) if units % 3 else None
    drop = abs(a(units, columns)).round() * 2 if features % 2 else None
    masks = named(mask=counts, drop=drop)
    acts = ("relu", "hard_sigmoid") if odd else ("tanh", "sigmoid")
    r = a(4 * units, units) * 0.3
    peephole = a(3 * units) if odd else None
    ids = rng.integers(0, features, (steps, columns)).astype("i4")
    # PReLU: which alpha each row takes
    alphas = -(-units // 2)
    of = np.arange(units) % alphas
    flat = units * features                         # weights in a vector

    def of_steps(times, more=0):
        """Gates or states of each step, `times` units of them, and of steps before the first."""
        return a((steps + more) * times * units, columns)

    table = {
        # dense
        "dense_forward": lambda: named(w=a(units, features), bias=a(units), x=a(features, columns), y=a(units, columns), relu=odd),
        "dense_backward": lambda: named(w=a(units, features), dy=a(units, columns), below=None if odd else a(features, columns),
                                        dx=a(features, columns)),
        "dense_gradient": lambda: named(dy=a(units, columns), rows=a(columns, lanes), batch=batch, dw=a(units, features)),
        "dense_gradient of steps": lambda: named(dy=a(20 * (units + 3), columns), rows=a(20 * columns, lanes), batch=batch,
                                                 dw=a(units, features), steps=20, first=2),
        "dense_gradient with what is read next": lambda: named(dy=a(units, columns), rows=a(columns, lanes), batch=batch,
                                                               dw=a(units, features), steps=1, first=0, ahead=next_rows),
        "transpose": lambda: named(x=a(features, columns), out=a(columns, lanes)),
        "transpose_steps": lambda: named(x=a(steps * features, columns), steps=steps, rows=a(steps * columns, lanes)),
        "transpose_columns": lambda: named(rows=a(columns, lanes), out=a(features, columns)),
        "gather": lambda: named(x=rng.integers(0, 256, (40, features)).astype("u1"), index=rng.integers(0, 40, batch),
                                scale=1 / 255, offset=-0.5, rows=a(columns, lanes)),
        # sparse
        "used_features": lambda: named(x=a(features, columns) * some[:, None], used=used[::-1].copy()),
        "used_forward": lambda: named(w=a(units, features), bias=a(units), x=a(features, columns), used=used, y=a(units, columns),
                                      relu=odd),
        "pack_used": lambda: named(rows=a(columns, lanes), used=used, features=features, packed=a(columns, lanes)),
        "used_gradient": lambda: named(dy=a(units, columns), packed=a(columns, lanes), batch=batch, used=used, dw=a(units, features)),
        "used_gradient with what is read next": lambda: named(dy=a(units, columns), packed=a(columns, lanes), batch=batch, used=used,
                                                              dw=a(units, features), ahead=next_rows),
        # csr
        "csr_gather": lambda: named(starts=starts, ids=entries, values=amounts, index=index, bounds=np.zeros(batch + 1, "i8"),
                                    to_ids=np.zeros(bounds[-1], "i4"), to=a(bounds[-1])),
        "csr_distinct": lambda: named(w=a(features, units), ids=taken, where=rng.integers(0, 1 << 30, features).astype("i4"),
                                      rows=np.full(len(taken) + 1, -1, "i4"), slots=np.zeros(len(taken), "i4")),
        "csr_take": lambda: named(w=a(features, units), rows=some_rows, own=a(len(some_rows), units)),
        "csr_put": lambda: named(own=a(len(some_rows), units), rows=some_rows, w=a(features, units)),
        "csr_forward": lambda: named(w=a(features, units), bias=a(units), bounds=bounds, ids=taken, values=a(len(taken)),
                                     y=a(units, columns), relu=odd),
        "csr_gradient": lambda: named(dy=a(units, columns), bounds=bounds, ids=taken, values=a(len(taken)), g=a(features, units)),
        "csr_descend": lambda: named(dy=a(units, columns), bounds=bounds, ids=taken, values=a(len(taken)), rate=0.1, w=a(features, units)),
        # activations
        "activation_forward": lambda: named(name=words[0], x=a(units, columns) * 5, y=a(units, columns)),
        "activation_backward": lambda: named(name=words[0], s=a(units, columns), dy=a(units, columns), dx=a(units, columns)),
        "softmax_forward": lambda: named(x=a(units, columns) * 5, y=a(units, columns)),
        "softmax_backward": lambda: named(y=a(units, columns), dy=a(units, columns), dx=a(units, columns)),
        "prelu_forward": lambda: named(x=a(units, columns), alpha=a(alphas), of=of, y=a(units, columns)),
        "prelu_backward": lambda: named(x=a(units, columns), dy=a(units, columns), alpha=a(alphas), of=of, dx=a(units, columns)),
        "prelu_gradient": lambda: named(x=a(units, columns), dy=padded(units), of=of, dalpha=a(alphas)),
        # noise
        "multiply": lambda: named(x=a(2 * units, columns), mask=a(units, columns), y=a(2 * units, columns)),
        "dropout_mask": lambda: named(mask=a(units, columns), key=0x123456789abcdef0 + features, stream=3, step=7, rate=0.3),
        "normal_noise": lambda: named(noise=a(units, columns), key=0x123456789abcdef0 + features, stream=3, step=7, mean=1.0, stddev=0.3),
        # losses
        "sparse_categorical_crossentropy": lambda: named(z=a(units, columns) * 3, t=rng.integers(0, units, batch).astype("i4"),
                                                         weight=weight, scale=scale, y=a(units, columns), dz=a(units, columns)),
        **{f"{name}_crossentropy": lambda: named(z=a(units, columns) * 3, t=one_hot, weight=weight, scale=scale, smoothing=0.1 * odd,
                                                 y=a(units, columns), dz=a(units, columns)) for name in ("categorical", "binary")},
        "mean_loss": lambda: named(name=words[0], y=a(units, columns), t=a(units, columns).round(1), weight=weight, scale=scale,
                                   parameters=(0.8,), count=float(units), dy=a(units, columns)),
        "mean_loss binary_focal_crossentropy": lambda: named(
            name=words[0], y=rng.random((units, columns)).astype(dtype), t=one_hot, weight=weight, scale=scale,
            parameters=(2.0, 0.3, 0.7, 0.0, 0.1), count=1.0, dy=a(units, columns)),
        "row_loss categorical_focal_crossentropy": lambda: named(
            name=words[0], y=rng.random((units, columns)).astype(dtype) + np.array(0.1, dtype), t=one_hot, weight=weight, scale=scale,
            parameters=(1.5, 0.3, 0.1), units=units, dy=a(units, columns)),
        "mean_loss poisson": lambda: named(name="poisson", y=abs(a(units, columns)), t=abs(a(units, columns)), weight=weight,
                                           scale=scale, parameters=(), count=1.0, dy=a(units, columns)),
        "mean_loss kl_divergence": lambda: named(name="kl_divergence", y=a(units, columns), t=a(units, columns), weight=weight,
                                                 scale=scale, parameters=(), count=1.0, dy=a(units, columns)),
        "row_loss categorical_hinge": lambda: named(name=words[0], y=a(units, columns), t=one_hot, weight=weight, scale=scale,
                                                    parameters=(), units=units, dy=a(units, columns)),
        "row_loss cosine_similarity": lambda: named(name=words[0], y=a(units, columns), t=a(units, columns), weight=weight, scale=scale,
                                                    parameters=(), units=units if odd else units // 2, dy=a(units, columns)),
        # optimizers
        "update": lambda: named(rule=words[0], w=a(flat), g=a(flat), slots=abs(a(optimizers.rules()[words[0]][0], flat)),
                                numbers=RULES[words[0]], decay=0.01, scale=0.5, clip=0.4),
        "sum_squares": lambda: named(g=a(flat * 50)),
        "regularize": lambda: named(w=a(flat), g=a(flat), l1=0.01, l2=0.02),
        # conv
        "conv_forward": lambda: named(w=a(*w), bias=a(filters), x=a(image, columns), y=a(convolution.outputs, columns),
                                      geometry=tuple(convolution), relu=odd),
        "conv_backward": lambda: named(turned=a(*turned), dy=a(convolution.outputs, columns), below=below, dx=a(image, columns),
                                       geometry=tuple(convolution)),
        "conv_transpose_forward": lambda: named(turned=a(*turned), bias=a(convolution.channels), x=a(convolution.outputs, columns),
                                                y=a(image, columns), geometry=tuple(convolution), relu=odd),
        "conv_gradient": lambda: named(dy=padded(convolution.outputs), x=a(image, columns), first=filters // 3,
                                       dw=a(filters - filters // 3, convolution.taps), geometry=tuple(convolution)),
        "channel_sums": lambda: named(x=a(convolution.outputs, columns), sums=a(filters)),
        # winograd
        "to_tiles": lambda: named(x=a(tiled, tile_columns), matrix=a(6, pixels), tiles=a(tiles, tile_columns), tiling=tuple(tiling)),
        "from_tiles": lambda: named(tiles=a(tiles, tile_columns), matrix=a(pixels, 6), y=a(tiled, tile_columns), tiling=tuple(tiling),
                                    bias=a(tiling.features) if odd and tiling.features > 1 else None, relu=units % 3 > 0,
                                    below=None if odd else a(tiled, tile_columns)),
        # pooling
        "max_pool_forward": lambda: named(x=ties, y=a(pooling.outputs, columns), geometry=tuple(pooling)),
        "max_pool_backward": lambda: named(
            x=ties, y=called(reference.max_pool_forward, table["max_pool_forward"]())[2], dy=a(pooling.outputs, columns),
            dx=a(pooling.inputs, columns), geometry=tuple(pooling), relu=odd),
        "average_pool_forward": lambda: named(x=a(pooling.inputs, columns), y=a(pooling.outputs, columns), geometry=tuple(pooling)),
        "average_pool_backward": lambda: named(dy=a(pooling.outputs, columns), dx=a(pooling.inputs, columns), geometry=tuple(pooling)),
        "take_rows": lambda: named(x=a(features, columns), source=rng.integers(-1, features, units + 3), y=a(units + 3, columns)),
        "add_rows": lambda: named(dy=a(units + 3, columns), source=rng.integers(-1, features, units + 3), dx=a(features, columns)),
        # normalization: of 3 pixels, each with `units` channels
        "channel_moments": lambda: named(x=a(3 * units, columns) + 2, batch=batch, mean=a(units), variance=a(units)),
        "channel_affine": lambda: named(x=a(3 * units, columns), mean=a(units), factor=a(units), offset=a(units), y=a(3 * units, columns)),
        "batch_norm_gradient": lambda: named(x=a(3 * units, columns), dy=a(3 * units, columns), batch=batch, mean=a(units),
                                             inverse=abs(a(units)), dgamma=a(units), dbeta=a(units)),
        "batch_norm_backward": lambda: named(x=a(3 * units, columns), dy=a(3 * units, columns), batch=batch, mean=a(units),
                                             inverse=abs(a(units)), factor=a(units), dgamma=a(units), dbeta=a(units),
                                             dx=a(3 * units, columns)),
        "layer_norm_forward": lambda: named(x=a(3 * units, columns), gamma=a(units), beta=a(units), epsilon=1e-3,
                                            xhat=a(3 * units, columns), inverse=a(3, columns), y=a(3 * units, columns)),
        "layer_norm_backward": lambda: named(xhat=a(3 * units, columns), inverse=abs(a(3, columns)), gamma=a(units),
                                             dy=a(3 * units, columns), dx=a(3 * units, columns)),
        # recurrent
        "simple_rnn_forward": lambda: named(r=r[:units], **masks, seen=of_steps(1), z=of_steps(1), h=of_steps(1, 1), acts=acts),
        "simple_rnn_backward": lambda: named(r=r[:units], **masks, z=between_0_and_1(steps * units), h=of_steps(1, 1), dy=of_steps(1),
                                             dz=of_steps(1), work=a(2 * units, columns), acts=acts),
        "lstm_forward": lambda: named(r=r, peephole=peephole, **masks, seen=of_steps(1), z=of_steps(4), c=of_steps(1, 1), made=of_steps(1),
                                      h=of_steps(1, 1), acts=acts),
        "lstm_backward": lambda: named(
            r=r, peephole=peephole, **masks, z=between_0_and_1(steps * 4 * units), c=of_steps(1, 1), made=between_0_and_1(steps * units),
            dy=of_steps(1), dz=of_steps(4), work=np.vstack([a(2 * units, columns), np.zeros((2 * units, columns), dtype)]), acts=acts),
        "peephole_gradient": lambda: named(dz=padded(steps * 4 * units), c=of_steps(1, 1), dp=a(3 * units)),
        "gru_forward": lambda: named(r=r[:3 * units], bias=a(3 * units) if columns > 64 else None, **masks, seen=of_steps(1), z=of_steps(3),
                                     q=of_steps(3), h=of_steps(1, 1), acts=acts),
        "gru_backward": lambda: named(r=r[:3 * units], early=columns <= 64, **masks, z=between_0_and_1(steps * 3 * units), q=of_steps(3),
                                      h=of_steps(1, 1), seen=of_steps(1), dy=of_steps(1), dz=of_steps(3), dq=of_steps(3),
                                      work=a(3 * units, columns), acts=acts),
        "ids_forward": lambda: named(w=a(units, features), bias=a(units), ids=ids, z=of_steps(1)),
        "ids_gradient": lambda: named(dz=padded(steps * units), ids=ids, batch=batch, first=units // 3,
                                      dw=a(units - units // 3, features)),
        # embedding
        "embedding_forward": lambda: named(table=a(features, units), ids=ids, y=of_steps(1)),
        "embedding_gradient": lambda: named(dy=padded(steps * units), ids=ids, batch=batch, dtable=a(features, units)),
        # merge
        "accumulate": lambda: named(total=rng.standard_normal(flat), values=a(flat), n=17.0),
        "mean": lambda: named(total=rng.standard_normal(flat), n=17.0, out=a(flat)),
        "means": lambda: named(values=a(3, flat), n=(17.0, 3.0, 12.0), out=a(flat)),
        # flush
        "flush": lambda: named(x=a(units, features) * np.finfo(dtype).tiny),
    }
    given = (table.get(name) or table[kind])()
    assert list(given) == list(inspect.signature(kernel(reference, name)).parameters)[:len(given)], "the twin's names and order"
    return given


def kernel(home, name):
    return getattr(home, name.split()[0])


def called(function, given):
    """The function's result and all its array arguments afterwards, as one list."""
    given = [g.copy() if isinstance(g, np.ndarray) else g for g in given.values()]
    result = function(*given)
    return [np.asarray(0.0 if result is None else result)] + [g for g in given
                                                               if isinstance(g, np.ndarray)]
