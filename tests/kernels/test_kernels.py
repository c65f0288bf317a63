"""Every kernel against its NumPy twin, over dtypes and odd shapes, and bit for bit over CPU levels."""
import inspect
from glob import glob
from math import erfc
from pathlib import Path

import numpy as np
import pytest
from kernel_cases import (
    KERNELS,
    MIDDLE,
    RULES,
    SIZES,
    UNEVEN,
    arguments,
    called,
    kernel,
    optimizers,
)
from mrdl.kernels import reference

from mrdl import kernels

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def differ(a, b, dtype):
    """More than by rounding."""
    scale = max(1.0, float(abs(b).max(initial=0)))
    return not np.allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, equal_nan=True)


def over_sizes(name, seed, compared):
    """Calls `compared(arguments, dtype)` with all sizes and types. It returns which of the kernel's results are wrong: of
    what it returns, and of each array that it was given. The message says where any is."""
    wrong = []
    for i, sizes in enumerate(SIZES):
        for dtype in ("float32", "float64"):
            given = arguments(name, np.random.default_rng(seed), dtype, sizes)
            results = ["what it returns", *(key for key, value in given.items() if isinstance(value, np.ndarray))]
            for result, different in zip(results, compared(given, dtype), strict=True):
                if different:
                    wrong.append(f"{result} ({dtype}, SIZES[{i}])")
    assert not wrong, f"{name}: " + ", ".join(wrong)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_equals_its_numpy_twin(name):
    over_sizes(name, 0, lambda given, dtype: [differ(a, b, dtype) for a, b in zip(
        called(kernel(kernels.typed(dtype), name), given), called(kernel(reference, name), given), strict=True)])


@pytest.mark.parametrize("home", [kernels, reference])
@pytest.mark.parametrize("sizes", SIZES, ids=range(len(SIZES)))
def test_the_gradients_of_an_lstm_may_go_where_its_gates_are(sizes, home):
    backward = kernel(kernels.typed("f8") if home is kernels else reference, "lstm_backward")
    given = arguments("lstm_backward", np.random.default_rng(0), "float64", sizes)
    *_, dz, work = called(backward, given)
    backward(*(given | {"dz": given["z"]}).values())
    assert given["z"].tobytes() == dz.tobytes() and given["work"].tobytes() == work.tobytes()


def test_the_table_holds_every_kernel_and_every_kernel_has_a_twin():
    home = kernels.__path__[0]
    once = {Path(path).name.partition(".")[0] for path in glob(f"{home}/*.so")}     # not for each level: no kernels of layers
    assert {Path(path).stem for path in glob(f"{home}/*.pyx")} - once == set(kernels.TABLE), "kernels/*.pyx differ from the lines of TABLE in kernels/__init__.py"
    twins = {n for n, f in vars(reference).items() if inspect.isfunction(f) and n[0] != "_"} - {"philox"}
    assert twins == {name.split()[0] for name in KERNELS}, "kernels/reference/ differs from TABLE in kernels/__init__.py"
    assert {name: line[2] for name, line in reference.ACTIVATIONS.items()} == kernels.ACTIVATIONS
    assert set(optimizers.rules()) == set(reference.RULES) == set(RULES)
    for file, names in kernels.TABLE.items():
        module = __import__(f"mrdl.kernels.{kernels.LEVEL}.{file}", fromlist=["x"])
        public = {n for n in dir(module) if hasattr(getattr(module, n), "__signatures__")}
        assert public == set(names), f"{file}.pyx and its line in the table differ"


@pytest.mark.skipif("v3" not in kernels.built()[1:], reason="one level with FMA: no AVX-512, or built for one level")
@pytest.mark.parametrize("name", KERNELS)
def test_all_levels_with_fused_multiply_add_give_the_same_bits(name):
    over_sizes(name, 1, lambda given, dtype: [a.tobytes() != b.tobytes() for a, b in zip(*(
        called(kernel(kernels.typed(dtype, level), name), given) for level in ("v3", "v4")), strict=True)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_the_level_without_fused_multiply_add_works_too(name, dtype):
    given = arguments(name, np.random.default_rng(2), dtype, UNEVEN)
    got = called(kernel(kernels.typed(dtype, kernels.built()[-1]), name), given)
    assert not any(differ(a, b, dtype) for a, b in zip(got, called(kernel(reference, name), given), strict=True))


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
    ("means", lambda: ([np.ones(3, "f4")], (0,), np.ones(3, "f4")), "above 0"),
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


# (kernel, argument, axis) where a shorter array is right, as it says itself how many there are or has more than is read
ANY_LENGTH = {
    ("dense_gradient", "dw", 0), ("dense_gradient", "dw", 1), ("transpose", "x", 0), ("transpose", "x", 1), ("transpose_columns", "out", 0),
    ("gather", "x", 1), ("gather", "index", 0), ("used_features", "x", 1), ("dropout_mask", "mask", 0), ("dropout_mask", "mask", 1),
    ("normal_noise", "noise", 0), ("normal_noise", "noise", 1), ("categorical_crossentropy", "weight", 0), ("binary_crossentropy", "weight", 0),
    ("mean_loss", "weight", 0), ("row_loss", "weight", 0), ("sum_squares", "g", 0), ("conv_gradient", "dw", 0), ("channel_sums", "x", 1),
    ("channel_sums", "sums", 0), ("from_tiles", "matrix", 0), ("take_rows", "x", 0), ("add_rows", "dx", 0), ("ids_gradient", "ids", 0),
    ("ids_gradient", "dw", 0), ("flush", "x", 0), ("flush", "x", 1)}


@pytest.mark.parametrize("name", {name.split()[0]: name for name in KERNELS if " of " not in name and " with " not in name}.values())
def test_an_array_that_is_too_short_is_refused(name):
    given, taken = arguments(name, np.random.default_rng(0), "float32", MIDDLE), set()
    for argument, whole in given.items():
        for axis in range(whole.ndim) if isinstance(whole, np.ndarray) else ():
            less = 16 if axis else 1                # of columns there are whole lanes
            if whole.shape[axis] > less:
                shape = np.subtract(whole.shape, np.eye(whole.ndim, dtype=int)[axis] * less)
                short = whole.reshape(-1)[:np.prod(shape)].reshape(shape)       # what is read after it is there
                try:
                    kernel(kernels.typed("float32"), name)(*(given | {argument: short}).values())
                    taken.add((name.split()[0], argument, axis))
                except ValueError:
                    pass
    assert taken == {line for line in ANY_LENGTH if line[0] == name.split()[0]}, (
        "its `need` does not look at the size of an argument that it reads or writes, or ANY_LENGTH lacks it")


def test_philox_is_the_published_one():
    """Test vectors of Random123 (kat_vectors) for philox4x32-10."""
    words = [int(w) for w in reference.philox((0, 0, 0, 0), 0)]
    assert words == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
    ones = 0xffffffff
    words = [int(w) for w in reference.philox((ones,) * 4, ones << 32 | ones)]
    assert words == [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]


def test_a_kernel_that_is_not_built_is_named_and_how_to_build_it(monkeypatch):
    typed = kernels.typed.__wrapped__
    with pytest.raises(ImportError, match="^kernels/dense.pyx is not built for v9: .make install. builds it"):
        typed("float32", "v9")
    monkeypatch.setitem(kernels.TABLE, "merge", ["accumulate", "median"])
    with pytest.raises(ImportError, match=f"^kernels/merge.pyx has no median as it is built for {kernels.LEVEL}: .make install."):
        typed("float32", kernels.LEVEL)


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="float32 and float64"):
        kernels.typed("int32")
