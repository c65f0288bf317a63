"""Denormal numbers, which cost some CPUs 150 cycles each: kernels take them as 0 and make none, and training keeps
none. Found by counting, as this CPU may not mind them; the NumPy twins, which do not flush, show that there were some."""
from types import SimpleNamespace

import numpy as np
import pytest
from kernel_cases import KERNELS, MIDDLE, arguments, called, kernel
from mrdl.kernels import reference

from mrdl import Model, Sequential, kernels
from mrdl.constraints import MaxNorm
from mrdl.layers import (
    GRU,
    LSTM,
    Add,
    Average,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GravesLSTM,
    Input,
    LayerNormalization,
    Masking,
    Multiply,
    Rescaling,
    SimpleRNN,
)
from mrdl.optimizers import SGD, Adam, Adamax, Lion, RMSprop
from mrdl.regularizers import L2
from mrdl.rounds.partial import Partial, merge
from mrdl.rounds.variances import Variances
from mrdl.training.learner import Learner

# these move some of the values that they are given
MOVES = {"transpose", "transpose_steps", "transpose_columns", "pack_used", "take_rows", "csr_take", "csr_put", "embedding_forward",
         "simple_rnn_forward", "lstm_forward", "gru_forward", "prelu_backward", "activation_forward linear",
         *(f"activation_backward {name}" for name in ("linear", "relu", "leaky_relu", "relu6"))}
# and these do nothing else, or nothing near 0
NEVER = {"transpose", "transpose_steps", "transpose_columns", "pack_used", "take_rows", "csr_take", "csr_put", "csr_gather", "csr_distinct", "embedding_forward", "dropout_mask",
         "flush", "activation_forward linear", "activation_backward linear", "activation_forward sigmoid",
         "activation_forward hard_sigmoid"}


def denormal(a):
    if a.dtype.kind != "f":
        return np.zeros(a.shape, bool)
    return (a != 0) & (abs(a) < np.finfo(a.dtype).tiny)


def flushed(a):
    """The array with 0 where it has denormal numbers; what else is given as it is."""
    return np.where(denormal(a), np.copysign(a.dtype.type(0), a), a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a


def feeds(name, dtype):
    """What a kernel is called with: all denormal, with denormal products, from denormal to large, with e^x denormal."""
    tiny, rng = float(np.finfo(dtype).tiny), np.random.default_rng(3)
    for factor in (tiny / 20, tiny ** 0.5 / 1000, [tiny / 20, 1, tiny ** -0.5], -np.log(tiny) * 1.03):
        def scaled(given, factor=factor):
            if isinstance(given, np.ndarray) and given.dtype.kind == "f":
                return (given * rng.choice(factor, given.shape)).astype(given.dtype) if isinstance(factor, list) \
                    else (given * factor).astype(given.dtype)
            numbers = isinstance(given, float) and not isinstance(factor, list) and factor < 1
            return given * factor if numbers and name != "dropout_mask" else given
        yield {key: scaled(given) for key, given in arguments(name, rng, dtype, MIDDLE).items()}


def caught(home, name, given):
    """Does it make denormals, or take them for more than 0?"""
    function = kernel(home, name)
    with np.errstate(all="ignore"):
        after, zeros = called(function, given), called(function, {key: flushed(g) for key, g in given.items()})
    assert (np.full(3, 1e-40, "f4") * np.float32(0.5) != 0).all()       # nobody else sees the flags
    before = [np.zeros(()), *(g for g in given.values() if isinstance(g, np.ndarray))]
    known = np.concatenate([b[denormal(b)].astype("f8") for b in before]) if name in MOVES else ()
    made = any((denormal(a) & (a != b) & ~np.isin(a, known)).any() for a, b in zip(after, before, strict=True))
    return made or any(flushed(a).tobytes() != flushed(b).tobytes() for a, b in zip(after, zeros, strict=True))


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_takes_denormals_as_0_and_makes_none(name):
    shown = False
    for dtype in ("float32", "float64"):
        for given in feeds(name, dtype):
            shown |= caught(reference, name, given)
            for level in kernels.built():
                assert not caught(kernels.typed(dtype, level), name, given), (dtype, level)
    assert shown == (name not in NEVER), "a kernel that does not flush would not be seen"


def test_a_kernel_that_refuses_leaves_denormals_as_they_are():
    with pytest.raises(ValueError, match="one length"):
        kernels.typed("f4").mean(np.ones(3), 1.0, np.ones(4, "f4"))
    assert (np.full(3, 1e-40, "f4") * np.float32(0.5) != 0).all()


# -- training: what vanishes, decays or is no longer fed

def arrays(found, seen):
    """Every array that an object of ours holds, by its id."""
    if id(found) not in seen:
        seen[id(found)] = found if isinstance(found, np.ndarray) else np.zeros(0)
        inside = found.values() if isinstance(found, dict) else found if isinstance(found, (list, tuple)) else \
            vars(found).values() if type(found).__module__.startswith("mrdl") and hasattr(found, "__dict__") else ()
        for part in inside:
            arrays(part, seen)
    return seen.values()


def most_denormals(monkeypatch, home, make, x, y, optimizer, steps):
    """How many there are at most after a step: in weights, slots, gradients, activations and states."""
    monkeypatch.setattr(kernels, "typed", lambda dtype: home)
    model, x = make(), x.copy()
    model.compile(optimizer, "mse")
    weights = model.build(seed=1).weights
    slots = optimizer.start(weights)
    learner = Learner(model, weights, slots, batch_size=len(x))
    most = 0
    for i in range(steps):
        if i == 10 and x.dtype.kind == "f" and x.ndim == 2:
            x[:, 1] = 0                         # a column that is used no more
        with np.errstate(all="ignore"):
            learner.step({"x": x, "y": y}, np.arange(len(x)), 1, i)
        if i % 4 == 0:
            most = max(most, sum(int(denormal(a).sum()) for a in arrays([learner, slots], {})))
    assert np.isfinite(weights).all()
    return most


T, RNG = 150, np.random.default_rng(0)
STEPS, ROWS, IDS = (RNG.standard_normal((16, T, 3)).astype("f4"), RNG.standard_normal((16, 5)).astype("f4"),
                    RNG.integers(0, 8, (16, 6)).astype("i4"))
STEPS[:3, 120:] = 0
small = {"recurrent_initializer": "random_normal"}


def recurrent(layer, *after):
    return lambda: Sequential([Input((T, 3)), Masking(), layer, *after, Dense(2)])


def deep(activation):
    return lambda: Sequential([Input(5), *(Dense(4, activation, kernel_initializer="random_normal") for _ in range(40)),
                               Dense(2)])


def decaying(regularizer=None):
    return lambda: Sequential([
        Input(5), Dense(6, "relu", kernel_regularizer=regularizer, bias_initializer="ones"), BatchNormalization(momentum=0.5),
        Dropout(0.2), LayerNormalization(), Dense(2, kernel_constraint=MaxNorm(1.0))])


def merging():
    x = Input((5,))
    b = a = Dense(4, kernel_initializer="random_normal")(x)
    for _ in range(6):
        b = Multiply()([b, a])
    c = Average()([b, a])
    return Model(x, Dense(2)(Concatenate()([Dot(1)([b, c]), Add()([b, c]), Rescaling(1e-30)(b)])))


TRAININGS = {
    "simple": (recurrent(SimpleRNN(4, **small)), STEPS, SGD(0.1, 0.9), 2),
    "lstm": (recurrent(LSTM(4, unit_forget_bias=False, **small)), STEPS, SGD(0.1, 0.9), 2),
    "graves": (recurrent(GravesLSTM(4, unit_forget_bias=False, **small)), STEPS, RMSprop(), 2),
    "gru": (recurrent(GRU(4, dropout=0.2, recurrent_dropout=0.2, **small)), STEPS, Adam(), 2),
    "early gru": (recurrent(GRU(4, reset_after=False, **small)), STEPS, SGD(0.1), 2),
    **{f"both ways, {mode}": (recurrent(Bidirectional(GRU(3, return_sequences=True, **small), merge_mode=mode),
                                        SimpleRNN(3, **small)), STEPS, SGD(0.1), 2) for mode in ("mul", "ave", "sum")},
    **{f"deep {name}": (deep(name), ROWS, Adam(), 2) for name in ("sigmoid", "tanh", "selu")},
    "decay": (decaying(), ROWS, SGD(0.5, weight_decay=1.0), 150),
    "L2": (decaying(L2(0.25)), ROWS, SGD(1.0), 150),
    "momentum": (decaying(), ROWS, SGD(0.1, 0.5, weight_decay=5.0), 150),
    "moments": (decaying(), ROWS, Adam(0.1, 0.5, 0.5, weight_decay=5.0), 150),
    "amsgrad": (decaying(), ROWS, Adam(0.1, 0.5, 0.5, amsgrad=True, weight_decay=5.0), 150),
    "adamax": (decaying(), ROWS, Adamax(0.1, 0.5, 0.5, weight_decay=5.0), 150),
    "lion": (decaying(), ROWS, Lion(0.1, 0.5, 0.5, weight_decay=5.0), 150),
    "rmsprop": (decaying(), ROWS, RMSprop(0.1, 0.5, weight_decay=5.0), 150),
    "clipped": (decaying(), ROWS, SGD(0.1, 0.5, global_clipnorm=1e-30, weight_decay=5.0), 150),
    "embedding": (lambda: Sequential([Input((6,)), Embedding(9, 3, embeddings_regularizer=L2(0.25)), Flatten(), Dense(2)]),
                  IDS, SGD(1.0), 150),
    "merging": (merging, ROWS * np.float32(1e-5), SGD(0.1), 2),
    "pooling": (lambda: Sequential([Input((T, 3)), Masking(), Rescaling(1e-38), GlobalAveragePooling1D(), Dense(2)]),
                STEPS, SGD(0.1), 2),
}
PLAIN = SimpleNamespace(**vars(reference) | {"flush": lambda x: None})


@pytest.mark.parametrize("name", TRAININGS)
def test_training_leaves_no_denormals(name, monkeypatch):
    make, x, optimizer, steps = TRAININGS[name]
    y, here = np.random.default_rng(1).standard_normal((16, 2)).astype("f4"), kernels.typed("f4")
    assert most_denormals(monkeypatch, PLAIN, make, x, y, optimizer, steps) > 0
    assert most_denormals(monkeypatch, here, make, x, y, optimizer, steps) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_averaging_leaves_no_denormals(dtype):
    tiny = np.finfo(dtype).tiny
    low, high = np.full((2, 40), [[1.0], [1.5]], dtype) * tiny
    (_, merged), = merge("000000", [Partial(0, 30, high), Partial(1, 10, -low), Partial(2, 100, low * 0)])
    assert denormal(np.array([0.25], dtype) * tiny).all() and (merged.values == 0).all()
    values = np.array([tiny ** 0.5 / 2, 0], dtype)          # a moving mean, and its variance
    Variances(np.zeros(2, dtype), [(0, 1, 1)]).widen(values)
    assert values[1] == 0
