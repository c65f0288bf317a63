"""Every kernel against its NumPy twin, over dtypes and odd shapes, and bit for bit over CPU levels."""
import importlib
import inspect
from math import erfc

import numpy as np
import pytest
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
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_equals_its_numpy_twin(name, sizes, dtype):
    given = arguments(name, np.random.default_rng(0), dtype, *sizes)
    got = called(kernel(kernels.typed(dtype), name), given)
    wanted = called(kernel(reference, name), given)
    for a, b in zip(got, wanted, strict=True):
        scale = max(1.0, float(abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("home", [kernels, reference])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_gradients_of_an_lstm_may_go_where_its_gates_are(sizes, home):
    backward = kernel(kernels.typed("f8") if home is kernels else reference, "lstm_backward")
    given = arguments("lstm_backward", np.random.default_rng(0), "float64", *sizes)
    apart = called(backward, given)[1:]
    z, dz, work = 4, 8, 9
    backward(*given[:dz], given[z], *given[work:])
    arrays = [g for g in given if isinstance(g, np.ndarray)]
    assert arrays[-1].tobytes() == apart[-1].tobytes() and given[z].tobytes() == apart[-2].tobytes()


def test_the_table_holds_every_kernel_and_every_kernel_has_a_twin():
    twins = {n for n, f in vars(reference).items() if inspect.isfunction(f) and n[0] != "_"}
    assert twins - {"philox"} == {name.split()[0] for name in KERNELS}
    assert {name: line[2] for name, line in reference.ACTIVATIONS.items()} == kernels.ACTIVATIONS
    assert set(optimizers.rules()) == set(reference.RULES) == set(RULES)
    for file, names in kernels.TABLE.items():
        module = __import__(f"mrdl.kernels.{kernels.LEVEL}.{file}", fromlist=["x"])
        public = {n for n in dir(module) if hasattr(getattr(module, n), "__signatures__")}
        assert public == set(names), f"{file}.pyx and its line in the table differ"


@pytest.mark.skipif("v3" not in kernels.built()[1:], reason="one level with FMA: no AVX-512, or built for one level")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", KERNELS)
def test_all_levels_with_fused_multiply_add_give_the_same_bits(name, sizes, dtype):
    given = arguments(name, np.random.default_rng(1), dtype, *sizes)
    first, second = (called(kernel(kernels.typed(dtype, level), name), given)
                     for level in ("v3", "v4"))
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_the_level_without_fused_multiply_add_works_too(name, dtype):
    given = arguments(name, np.random.default_rng(2), dtype, 17, 50, 80, 77)
    got = called(kernel(kernels.typed(dtype, kernels.built()[-1]), name), given)
    for a, b in zip(got, called(kernel(reference, name), given), strict=True):
        scale = max(1.0, float(abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


# for x <= 0 and x > 0, in a wide type: what no rounding of the plain formula spoils
EXACT = {
    "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "exponential": np.exp,
    "softplus": lambda x: np.log1p(np.exp(-abs(x))) + np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)), "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(-abs(x))) + np.maximum(x, 0)),
    "gelu": lambda x: x * np.vectorize(lambda v: 0.5 * erfc(-v / 2 ** 0.5))(x.astype("f8")),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("level", kernels.built())
@pytest.mark.parametrize("name", EXACT)
def test_an_activation_is_exact_to_a_few_units_in_the_last_place(name, level, dtype):
    x = np.concatenate([np.linspace(-20, 20, 3200), np.geomspace(1e-6, 1, 800),
                        -np.geomspace(1e-6, 1, 800)]).astype(dtype).reshape(1, -1)
    if name == "gelu":                              # below, e^(-x^2 / 2) magnifies the error of x^2
        x = np.maximum(x, -3)
    y, wanted = np.empty_like(x), EXACT[name](x.astype(np.longdouble))
    kernels.typed(dtype, level).activation_forward(name, x, y)
    units = float(abs((y - wanted) / np.spacing(abs(wanted.astype(dtype)))).max())
    assert units < (20 if name == "gelu" else 6)


@pytest.mark.parametrize("dtype, low, high", [("float32", -85, 88.7), ("float64", -700, 709.7)])
def test_the_exponential_reaches_as_far_as_its_type(dtype, low, high):
    x = np.array([[low, high, high + 1, -2 * high] * 4], dtype)
    y = np.empty_like(x)
    kernels.typed(dtype).activation_forward("exponential", x, y)
    np.testing.assert_allclose(y[0, :2], np.exp(x[0, :2].astype("g")).astype(dtype), rtol=1e-6)
    assert y[0, 2] == np.inf and y[0, 3] == 0


# name -> y of -inf, -1e4, 1e4 and inf, and the slopes there
ENDS = {
    "linear": ([-np.inf, -1e4, 1e4, np.inf], [1, 1, 1, 1]),
    "relu": ([0, 0, 1e4, np.inf], [0, 0, 1, 1]), "relu6": ([0, 0, 6, 6], [0, 0, 0, 0]),
    "leaky_relu": ([-np.inf, -2e3, 1e4, np.inf], [0.2, 0.2, 1, 1]),
    "sigmoid": ([0, 0, 1, 1], [0, 0, 0, 0]), "hard_sigmoid": ([0, 0, 1, 1], [0, 0, 0, 0]),
    "tanh": ([-1, -1, 1, 1], [0, 0, 0, 0]), "softsign": ([-1, -1e4 / 10001, 1e4 / 10001, 1], [0, 0, 0, 0]),
    "elu": ([-1, -1, 1e4, np.inf], [0, 0, 1, 1]),
    "selu": ([-1.758099, -1.758099, 1.050701e4, np.inf], [0, 0, 1.050701, 1.050701]),
    "softplus": ([0, 0, 1e4, np.inf], [0, 0, 1, 1]), "exponential": ([0, 0, np.inf, np.inf], None),
    **{name: ([0, 0, 1e4, np.inf], [0, 0, 1, 1]) for name in ("silu", "mish", "gelu")},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", kernels.ACTIVATIONS)
def test_far_out_an_activation_has_its_limit_and_nan_stays_nan(name, dtype):
    x = np.zeros((2, 16), dtype)
    x[0, :5] = -np.inf, -1e4, 1e4, np.inf, np.nan
    k, y, dx = kernels.typed(dtype), np.empty_like(x), np.empty_like(x)
    k.activation_forward(name, x, y)
    wanted, slopes = ENDS[name]
    np.testing.assert_allclose(y[0, :4], wanted, rtol=1e-6, atol=1e-30)
    assert np.isnan(y[0, 4]) and np.isfinite(y[:, 5:]).all()
    k.activation_backward(name, x if kernels.ACTIVATIONS[name] == "x" else y, np.ones_like(x), dx)
    if slopes:
        np.testing.assert_allclose(dx[0, :4], slopes, rtol=1e-6, atol=2e-8)


def test_a_rectifier_has_a_slope_below_a_ceiling_and_a_threshold():
    x = np.resize(np.array([-np.inf, -3, 0.5, 1, 1.5, 4, 5, np.inf, np.nan]), (1, 16))
    y, k = np.empty_like(x), kernels.typed("f8")
    for below, wanted in ((0.5, [-np.inf, -2, -0.25, 0, 1.5, 4, 4, 4, np.nan]),
                          (0.0, [0, 0, 0, 0, 1.5, 4, 4, 4, np.nan])):
        k.activation_forward("leaky_relu", x, y, (below, 4, 1))
        np.testing.assert_array_equal(y[0, :9], wanted)


def test_prelu_does_not_multiply_0_by_infinity():
    x, y = np.full((1, 16), -np.inf), np.empty((1, 16))
    kernels.typed("f8").prelu_forward(x, np.zeros(1), np.zeros(1, "i8"), y)
    assert (y == 0).all()


def test_softmax_of_infinities_is_nan_in_their_columns_alone():
    x = np.zeros((2, 16), "f4")
    x[0, :3] = np.inf, -np.inf, np.nan
    y = np.empty_like(x)
    kernels.typed("f4").softmax_forward(x, y)
    assert np.isnan(y[0, 2]) and np.isfinite(y[:, 3:]).all()


def test_normal_noise_has_the_moments_of_a_normal_and_reaches_its_tails():
    z = np.empty((64, 4096))
    kernels.typed("f8").normal_noise(z, 5, 1, 2, 0.0, 1.0)
    n = z.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z ** power).mean() - moment) < 4 * (variance / n) ** 0.5
    assert 4 < abs(z).max() < 6.5
    assert abs(np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]) < 4 / n ** 0.5


@pytest.mark.parametrize("name, given, reason", [
    ("dense_forward", lambda: (np.ones((2, 3), "f4"), np.ones(2, "f4"), np.ones((4, 16), "f4"),
                               np.ones((2, 16), "f4"), False), "do not fit"),
    ("dense_forward", lambda: (np.ones((2, 3), "f4"), np.ones(2, "f4"), np.ones((3, 10), "f4"),
                               np.ones((2, 10), "f4"), False), "multiple of 16"),
    ("dense_gradient", lambda: (np.ones((2, 16), "f4"), np.ones((16, 16), "f4"), 17,
                                np.ones((2, 3), "f4")), "do not fit"),
    ("dense_gradient", lambda: (np.ones((6, 16), "f4"), np.ones((48, 16), "f4"), 16, np.ones((2, 3), "f4"), 3, 1), "do not fit"),
    ("dense_gradient", lambda: (np.ones((6, 16), "f4"), np.ones((47, 16), "f4"), 16, np.ones((2, 3), "f4"), 3), "do not fit"),
    ("transpose_steps", lambda: (np.ones((6, 16), "f4"), 4, np.ones((64, 16), "f4")), "do not fit"),
    ("gather", lambda: (np.ones((4, 3), "f4"), np.array([4]), 1.0, 0.0, np.ones((16, 16), "f4")),
     "outside"),
    ("sparse_categorical_crossentropy", lambda: (
        np.ones((3, 16), "f4"), np.array([3], "i4"), np.ones(1, "f4"), 1.0,
        np.ones((3, 16), "f4"), np.ones((3, 16), "f4")), "label 3 is outside 0..2"),
    ("update", lambda: ("sgd", np.ones(3, "f4"), np.ones(4, "f4"), np.ones((0, 3), "f4"), (0.1,), 0.0, 1.0,
                        1.0), "one length"),
    ("update", lambda: ("momentum", *np.ones((2, 3), "f4"), np.ones((1, 4), "f4"), (0.1, 0.9), 0.0, 1.0,
                        1.0), "one length"),
    ("update", lambda: ("momentum", *np.ones((2, 3), "f4"), np.ones((1, 6), "f4")[:, ::2], (0.1, 0.9), 0.0,
                        1.0, 1.0), "one length"),
    ("update", lambda: ("adam", *np.ones((2, 3), "f4"), np.ones((1, 3), "f4"), (0.1, 0.9), 0.0, 1.0, 1.0),
     "2 slots and 4 numbers"),
    ("update", lambda: ("lamb", *np.ones((2, 3), "f4"), np.ones((1, 3), "f4"), (0.1,), 0.0, 1.0, 1.0),
     "no rule lamb"),
    ("mean", lambda: (np.ones(3), 0.0, np.ones(3, "f4")), "above 0"),
    ("dropout_mask", lambda: (np.ones((1, 16), "f4"), 1, 0, 0, 1.0), "rate < 1"),
    ("normal_noise", lambda: (np.ones((1, 16), "f4"), 1, 0, 0, 0.0, -1.0), "stddev >= 0"),
    ("multiply", lambda: (np.ones((3, 16), "f4"), np.ones((2, 16), "f4"), np.ones((3, 16), "f4")),
     "do not fit"),
    ("activation_forward", lambda: ("celu", np.ones((1, 16), "f4"), np.ones((1, 16), "f4")),
     "no activation 'celu'"),
    ("prelu_forward", lambda: (np.ones((1, 16), "f4"), np.ones(2, "f4"), np.array([2]),
                               np.ones((1, 16), "f4")), "places in alpha"),
])
def test_wrong_shapes_and_values_are_refused_with_the_reason(name, given, reason):
    with pytest.raises(ValueError, match=reason):
        getattr(kernels.typed("f4"), name)(*given())


def test_philox_is_the_published_one():
    """Test vectors of Random123 (kat_vectors) for philox4x32-10."""
    words = [int(w) for w in reference.philox((0, 0, 0, 0), 0)]
    assert words == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    ones = 0xffffffff
    words = [int(w) for w in reference.philox((ones,) * 4, ones << 32 | ones)]
    assert words == [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="float32 and float64"):
        kernels.typed("int32")
