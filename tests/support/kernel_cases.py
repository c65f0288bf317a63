"""Every kernel, with arguments to call it and its twin by."""
import importlib

import numpy as np
from mrdl.kernels import reference

from mrdl import kernels

optimizers = importlib.import_module(f"mrdl.kernels.{kernels.LEVEL}.optimizers")
SIZES = [(1, 1, 16, 1), (3, 5, 16, 7), (10, 33, 64, 64), (17, 50, 80, 77), (64, 100, 128, 128),
         (2, 784, 32, 20)]                                      # O, I, N, B
# of those sizes: H, W, C, OH, OW, O, kernel, strides, dilation, padding, groups
GEOMETRIES = [(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1), (6, 7, 3, 4, 6, 5, 3, 2, 1, 1, 1, 1, 0, 0, 1),
              (9, 8, 4, 5, 4, 6, 3, 3, 2, 2, 1, 2, 1, 2, 2), (5, 5, 4, 5, 5, 8, 3, 3, 1, 1, 1, 1, 1, 1, 4),
              (1, 20, 7, 1, 20, 11, 1, 5, 1, 1, 1, 2, 0, 8, 1), (30, 40, 2, 30, 40, 7, 5, 4, 1, 1, 1, 1, 2, 1, 1)]
POOLS = [(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1), (6, 7, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 0, 0, 1),
         (7, 5, 4, 4, 3, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1), (5, 5, 2, 5, 5, 2, 3, 2, 1, 1, 1, 1, 1, 0, 1),
         (1, 20, 7, 1, 7, 7, 1, 2, 1, 3, 1, 1, 0, 0, 1), (8, 9, 2, 1, 1, 2, 8, 9, 1, 1, 1, 1, 0, 0, 1)]
# of those sizes too: H, W, T, F, step, left, strides of rows, tiles and points; and the pixels of a tile
TILINGS = [((1, 1, 1, 1, 1, 0, 6, 6, 1), 1), ((3, 7, 4, 5, 2, 2, 120, 30, 5), 6), ((4, 8, 2, 3, 4, 0, 36, 18, 3), 4),
           ((15, 5, 1, 1, 1, 0, 1, 0, 15), 5), ((2, 9, 3, 7, 3, 1, 126, 42, 7), 3), ((2, 4, 2, 6, 4, 0, 72, 36, 6), 2)]


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def padded(rng, dtype, F, N, B):
    """An [F, N] array whose padding is 0."""
    x = normal(rng, dtype, F, N)
    x[:, B:] = 0
    return x


def arguments(name, rng, dtype, O, I, N, B):
    """What each kernel is called with, by the name of its family."""
    def a(*shape):
        return normal(rng, dtype, *shape)

    ld = -(-I // 16) * 16
    weight = abs(a(B))
    one_hot = np.zeros((O, N), dtype)
    one_hot[rng.integers(0, O, N), np.arange(N)] = 1
    P = O * I
    g, pool = (table[SIZES.index((O, I, N, B))] for table in (GEOMETRIES, POOLS))
    images, kernel = [(f[0] * f[1] * f[2], f[3] * f[4] * f[5]) for f in (g, pool)], (g[5], g[6] * g[7] * g[2] // g[-1])
    (X, Y), (PX, PY) = images
    ties = np.round(a(PX, N))           # a window has several maxima
    below = a(X, N) if O % 2 else None
    kind, *words = name.split()
    tiling, J = TILINGS[SIZES.index((O, I, N, B))]
    H, W, T, F = tiling[:4]
    N_ = N if F > 1 else B          # the rows of weights are of any length
    A = -(-O // 2)
    of = np.arange(O) % A
    some = np.resize([True, False, True, True, False], I)
    used = np.packbits(np.pad(some, (0, ld - I)), bitorder="little").view("u2")
    steps, U, acts = 3, O, (("tanh", "sigmoid"), ("relu", "hard_sigmoid"))[O % 2]
    counts = (rng.random((steps, N)) < 0.7).astype(dtype) if O % 3 else None
    drop, r = (abs(a(U, N)).round() * 2 if I % 2 else None), a(4 * U, U) * 0.3
    ids = rng.integers(0, I, (steps, N)).astype("i4")

    def states(gates, *more):
        """mask, drop, what is seen, the gates, more, h."""
        return (counts, drop, a(steps * U, N), a(steps * gates * U, N), *more, a((steps + 1) * U, N), acts)

    def back(gates, *more):
        """mask, drop, gates between 0 and 1, more, dy, dz, work: as the padding is 0."""
        return (counts, drop, rng.random((steps * gates * U, N)).astype(dtype), *more, a(steps * U, N),
                a(steps * gates * U, N))

    made = {
        "simple_rnn_forward": lambda: (r[:U], *states(1)),
        "simple_rnn_backward": lambda: (r[:U], *back(1, a((steps + 1) * U, N)), a(2 * U, N), acts),
        "lstm_forward": lambda: (r, a(3 * U) if O % 2 else None, *states(4, a((steps + 1) * U, N), a(steps * U, N))),
        "lstm_backward": lambda: (r, a(3 * U) if O % 2 else None, *back(4, a((steps + 1) * U, N), rng.random(
            (steps * U, N)).astype(dtype)), np.vstack([a(2 * U, N), np.zeros((2 * U, N), dtype)]), acts),
        "peephole_gradient": lambda: (padded(rng, dtype, steps * 4 * U, N, B), a((steps + 1) * U, N), a(3 * U)),
        "gru_forward": lambda: (r[:3 * U], a(3 * U) if N > 64 else None, *states(3, a(steps * 3 * U, N))),
        "gru_backward": lambda: (r[:3 * U], N <= 64, *back(3, a(steps * 3 * U, N), a((steps + 1) * U, N), a(steps * U, N)),
                                 a(steps * 3 * U, N), a(3 * U, N), acts),
        "ids_forward": lambda: (a(O, I), a(O), ids, a(steps * O, N)),
        "ids_gradient": lambda: (padded(rng, dtype, steps * O, N, B), ids, B, O // 3, a(O - O // 3, I)),
        "used_features": lambda: (a(I, N) * some[:, None], used[::-1].copy()),
        "used_forward": lambda: (a(O, I), a(O), a(I, N), used, a(O, N), bool(O % 2)),
        "pack_used": lambda: (a(N, ld), used, I, a(N, ld)),
        "used_gradient": lambda: (a(O, N), a(N, ld), B, used, a(O, I)),
        "dense_forward": lambda: (a(O, I), a(O), a(I, N), a(O, N), bool(O % 2)),
        "dense_backward": lambda: (a(O, I), a(O, N), None if O % 2 else a(I, N), a(I, N)),
        "dense_gradient": lambda: (a(O, N), a(N, ld), B, a(O, I)),
        # addresses are asked for, never read: these are of nothing
        "dense_gradient with what is read next": lambda: (a(O, N), a(N, ld), B, a(O, I), 1, 0, np.array([0, 1 << 50], "u8")),
        "used_gradient with what is read next": lambda: (a(O, N), a(N, ld), B, used, a(O, I), np.array([0, 1 << 50], "u8")),
        "dense_gradient of steps": lambda: (a(20 * (O + 3), N), a(20 * N, ld), B, a(O, I), 20, 2),
        "transpose_steps": lambda: (a(steps * I, N), steps, a(steps * N, ld)),
        "transpose": lambda: (a(I, N), a(N, ld)),
        "transpose_columns": lambda: (a(N, ld), a(I, N)),
        "gather": lambda: (rng.integers(0, 256, (40, I)).astype("u1"), rng.integers(0, 40, B),
                           1 / 255, -0.5, a(N, ld)),
        "multiply": lambda: (a(2 * O, N), a(O, N), a(2 * O, N)),
        "dropout_mask": lambda: (a(O, N), 0x123456789abcdef0 + I, 3, 7, 0.3),
        "sparse_categorical_crossentropy": lambda: (
            a(O, N) * 3, rng.integers(0, O, B).astype("i4"), weight, 1 / B, a(O, N), a(O, N)),
        **{f"{kind}_crossentropy": lambda: (a(O, N) * 3, one_hot, weight, 1 / B, 0.1 * (O % 2), a(O, N), a(O, N))
           for kind in ("categorical", "binary")},
        **{f"mean_loss {kind}": lambda kind=kind: (kind, a(O, N), a(O, N).round(1), weight, 1 / B, 0.8, float(O), a(O, N))
           for kind in reference.MEAN_LOSSES},
        "mean_loss poisson": lambda: ("poisson", abs(a(O, N)), abs(a(O, N)), weight, 1 / B, 0.0, 1.0, a(O, N)),
        "mean_loss kl_divergence": lambda: ("kl_divergence", a(O, N), a(O, N), weight, 1 / B, 0.0, 1.0, a(O, N)),
        "row_loss categorical_hinge": lambda: ("categorical_hinge", a(O, N), one_hot, weight, 1 / B, O, a(O, N)),
        "row_loss cosine_similarity": lambda: ("cosine_similarity", a(O, N), a(O, N), weight, 1 / B,
                                               O // (2 - O % 2), a(O, N)),
        "sum_squares": lambda: (a(P * 50),),
        "regularize": lambda: (a(P), a(P), 0.01, 0.02),
        "conv_forward": lambda: (a(*kernel), a(g[5]), a(X, N), a(Y, N), g, bool(O % 2)),
        "conv_backward": lambda: (a(*kernel[::-1]), a(Y, N), below, a(X, N), g),
        "conv_transpose_forward": lambda: (a(*kernel[::-1]), a(g[2]), a(Y, N), a(X, N), g, bool(O % 2)),
        "conv_gradient": lambda: (padded(rng, dtype, Y, N, B), a(X, N), g[5] // 3, a(g[5] - g[5] // 3, kernel[1]), g),
        "channel_sums": lambda: (a(Y, N), a(g[5])),
        "to_tiles": lambda: (a(H * W * F, N_), a(6, J), a(6 * H * T * F, N_), tiling),
        "from_tiles": lambda: (a(6 * H * T * F, N_), a(J, 6), a(H * W * F, N_), tiling,
                               a(F) if O % 2 and F > 1 else None, O % 3 > 0, None if O % 2 else a(H * W * F, N_)),
        "max_pool_forward": lambda: (ties, a(PY, N), pool),
        "max_pool_backward": lambda: (ties, called(reference.max_pool_forward, (ties, a(PY, N), pool))[2],
                                      a(PY, N), a(PX, N), pool, bool(O % 2)),
        "average_pool_forward": lambda: (a(PX, N), a(PY, N), pool),
        "average_pool_backward": lambda: (a(PY, N), a(PX, N), pool),
        "take_rows": lambda: (a(I, N), rng.integers(-1, I, O + 3), a(O + 3, N)),
        "add_rows": lambda: (a(O + 3, N), rng.integers(-1, I, O + 3), a(I, N)),
        "channel_moments": lambda: (a(3 * O, N) + 2, B, a(O), a(O)),
        "channel_affine": lambda: (a(3 * O, N), a(O), a(O), a(O), a(3 * O, N)),
        "batch_norm_gradient": lambda: (a(3 * O, N), a(3 * O, N), B, a(O), abs(a(O)), a(O), a(O)),
        "batch_norm_backward": lambda: (a(3 * O, N), a(3 * O, N), B, a(O), abs(a(O)), a(O), a(O), a(O), a(3 * O, N)),
        "layer_norm_forward": lambda: (a(3 * O, N), a(O), a(O), 1e-3, a(3 * O, N), a(3, N), a(3 * O, N)),
        "layer_norm_backward": lambda: (a(3 * O, N), abs(a(3, N)), a(O), a(3 * O, N), a(3 * O, N)),
        "embedding_forward": lambda: (a(I, O), ids, a(steps * O, N)),
        "embedding_gradient": lambda: (padded(rng, dtype, steps * O, N, B), ids, B, a(I, O)),
        "accumulate": lambda: (rng.standard_normal(P), a(P), 17.0),
        "flush": lambda: (a(O, I) * np.finfo(dtype).tiny,),
        "mean": lambda: (rng.standard_normal(P), 17.0, a(P)),
        "softmax_forward": lambda: (a(O, N) * 5, a(O, N)),
        "softmax_backward": lambda: (a(O, N), a(O, N), a(O, N)),
        "activation_forward": lambda: (*words, a(O, N) * 5, a(O, N)),
        "activation_backward": lambda: (*words, a(O, N), a(O, N), a(O, N)),
        "prelu_forward": lambda: (a(O, N), a(A), of, a(O, N)),
        "prelu_backward": lambda: (a(O, N), a(O, N), a(A), of, a(O, N)),
        "prelu_gradient": lambda: (a(O, N), padded(rng, dtype, O, N, B), of, a(A)),
        "normal_noise": lambda: (a(O, N), 0x123456789abcdef0 + I, 3, 7, 1.0, 0.3),
        **{f"update {rule}": lambda rule=rule: (
            rule, a(P), a(P), abs(a(optimizers.rules()[rule][0], P)), RULES[rule], 0.01, 0.5, 0.4)
           for rule in RULES},
    }
    return (made.get(name) or made[kind])()


# the updaters' rules and numbers for them; the other kernels go by their own names
RULES = {"sgd": (0.1,), "momentum": (0.1, 0.9), "nesterov": (0.1, 0.9), "rmsprop": (0.1, 0.9, 1e-7),
         "adagrad": (0.1, 1e-7), "adadelta": (0.1, 0.95, 1e-2), "lion": (0.1, 0.9, 0.99),
         "adam": (0.1, 0.9, 0.999, 1e-7), "amsgrad": (0.1, 0.9, 0.5, 1e-7),
         "nadam": (0.2, 0.3, 0.9, 0.999, 1e-7, 1.5), "adamax": (0.1, 0.9, 0.999, 1e-7)}
# a line for each loss, rule of `update` and activation
CASES = {"mean_loss": reference.MEAN_LOSSES, "row_loss": reference.ROW_LOSSES, "update": RULES, "activation_forward": kernels.ACTIVATIONS, "activation_backward": kernels.ACTIVATIONS}
KERNELS = [f"{name} {case}".strip() for names in kernels.TABLE.values() for name in names
           for case in CASES.get(name, [""])]


def kernel(home, case):
    return getattr(home, case.split()[0])


def called(function, given):
    """The function's result and all its array arguments afterwards, as one list."""
    given = [g.copy() if isinstance(g, np.ndarray) else g for g in given]
    result = function(*given)
    return [np.asarray(0.0 if result is None else result)] + [g for g in given
                                                              if isinstance(g, np.ndarray)]
