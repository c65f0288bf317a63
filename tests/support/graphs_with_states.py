"""Models whose recurrent layers hand their states on, and rows for them."""
import numpy as np

import mrdl
from mrdl.layers import (
    GRU,
    LSTM,
    Add,
    Concatenate,
    Dense,
    GravesLSTM,
    Input,
    Masking,
    SimpleRNN,
)
from mrdl.optimizers import SGD

T, F = 4, 3
KINDS = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN, "GravesLSTM": GravesLSTM,
         "GRU, reset before": lambda units, **more: GRU(units, reset_after=False, **more)}


def translator(make, masked=False, **more):
    """An encoder whose output nobody takes, and a decoder that begins with its states."""
    source, target = Input((T, F), name="source"), Input((5, 2), name="target")
    _, *states = make(4, return_state=True, **more)(Masking()(source) if masked else source)
    y = make(4, return_sequences=True, **more)(target, initial_state=states)
    return [source, target], Dense(3, "softmax")(y)


def mixed(make):
    """States that several take, and outputs beside them."""
    x = Input((T, F), name="x")
    y, *states = make(4, return_sequences=True, return_state=True)(Dense(3, "tanh")(x))
    z, *more = make(4, return_state=True, go_backwards=True)(y, initial_state=states)
    return [x], Dense(3, "softmax")(Concatenate()([z, Add()([states[-1], more[-1]]), states[0]]))


def initial(make):
    """States that are inputs, and an output that is one."""
    x, h = Input((T, F), name="x"), [Input((4,), name=f"state{i}") for i, _ in enumerate(make(4).state_names)]
    y, *states = make(4, return_state=True, recurrent_dropout=0.0)(x, initial_state=h)
    return [x, *h], [Dense(3, "softmax")(y), states[-1]]


GRAPHS = {**{f"translator, {kind}": lambda make=make: translator(make) for kind, make in KINDS.items()},
          **{f"translator, masked, {kind}": lambda make=make: translator(make, True) for kind, make in KINDS.items()},
          "translator, dropped": lambda: translator(LSTM, recurrent_dropout=0.3, dropout=0.2),
          **{f"mixed, {kind}": lambda make=make: mixed(make) for kind, make in KINDS.items()},
          **{f"initial, {kind}": lambda make=make: initial(make) for kind, make in KINDS.items()}}


def compiled(name, **more):
    inputs, outputs = GRAPHS[name]()
    model = mrdl.Model(inputs, outputs, **more)
    several = isinstance(outputs, list)
    model.compile(SGD(1.0), ["sparse_categorical_crossentropy", "mse"] if several else "sparse_categorical_crossentropy",
                  loss_weights=[1.0, 0.7] if several else None)
    return model


def examples(model, n=64, seed=0):
    """Rows of all inputs; with masks the first steps of some count for nothing."""
    x = np.random.default_rng(seed).standard_normal((n, sum(int(np.prod(s)) for s in model.input_shapes())))
    x[::3, :2 * F] = 0
    x[1::4, T * F - F:T * F] = 0
    return x
