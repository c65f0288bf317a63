"""Recurrent layers: gradients, masks, states that go on, and GravesLSTM by its published equations."""
import numpy as np
import pytest
from gradients import Probe, along, assert_close
from mrdl.kernels import typed

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Conv1D,
    Dense,
    Flatten,
    GravesLSTM,
    Input,
    Reshape,
    SimpleRNN,
    TimeDistributed,
)
from mrdl.layers.operation import Binding, Draws, Operation, Place, Tensor
from mrdl.losses import MeanSquaredError, SparseCategoricalCrossentropy
from mrdl.training.network import Network

STEPS = (4, 3)
KINDS = {
    "SimpleRNN": SimpleRNN, "LSTM": LSTM, "GRU": GRU, "GravesLSTM": GravesLSTM,
    "GRU, reset before": lambda units, *a, **more: GRU(units, *a, reset_after=False, **more),
}
STACKS = {
    **{kind: [make(3)] for kind, make in KINDS.items()},
    **{f"{kind}, sequences": [make(3, return_sequences=True), Conv1D(2, 2)] for kind, make in KINDS.items()},
    **{f"{kind}, backwards, dropout": [make(2, go_backwards=True, return_sequences=True, dropout=0.3, recurrent_dropout=0.4,
                                            seed=5), Conv1D(2, 2)] for kind, make in KINDS.items()},
    **{f"{kind}, on another": [make(3, return_sequences=True, recurrent_dropout=0.2), make(2)] for kind, make in KINDS.items()},
    **{f"{kind}, other activations": [make(3, "softsign", use_bias=False, recurrent_regularizer="l2")]
       for kind, make in KINDS.items()},
    "gates": [LSTM(3, "linear", "hard_sigmoid", unit_forget_bias=False, kernel_regularizer="l1")],
    **{f"Bidirectional, {mode}": [Bidirectional(GRU(3, return_sequences=True), mode), Bidirectional(LSTM(2), mode)]
       for mode in ("concat", "sum", "mul", "ave")},
    "Bidirectional of two": [Bidirectional(GravesLSTM(3, dropout=0.2), backward_layer=SimpleRNN(3, go_backwards=True))],
}


@pytest.mark.parametrize("name", STACKS)
def test_the_gradient_is_that_of_the_differences_as_first_layers_and_on_top_of_others(name):
    layers = STACKS[name]
    Probe([Input(STEPS), *layers, Flatten(), Dense(3, "softmax")], SparseCategoricalCrossentropy()).check()
    Probe([Input(6), Dense(12, "tanh"), Reshape(STEPS), *layers, Activation("tanh"), Flatten(), Dense(2)],
          MeanSquaredError()).check()


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("n", [1, 17])
def test_the_gradient_holds_for_every_batch_also_after_a_larger_one(name, n):
    probe = Probe([Input(STEPS), *STACKS[name], Flatten(), Dense(3, "softmax")], SparseCategoricalCrossentropy(), n, buffers=48)
    probe.step(np.arange(48), 0.0)
    probe.check()


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_in_pieces_are_the_whole_kernels(kind, monkeypatch):
    layers = [Input(STEPS), *STACKS[f"{kind}, sequences"], Flatten(), Dense(3, "softmax")]
    whole = Probe(layers, SparseCategoricalCrossentropy()).gradient()
    monkeypatch.setattr("mrdl.layers.core.BLOCK", 1)
    assert Probe(layers, SparseCategoricalCrossentropy()).gradient().tobytes() == whole.tobytes()


class Bound:
    """A layer at work on a batch of 5 by itself, in float64."""

    def __init__(self, layer, shape=STEPS, seed=0):
        rng = np.random.default_rng(seed)
        self.layer, self.shape, k = layer, shape, typed("f8")
        self.x, self.y = (Tensor(k, int(np.prod(s)), 16, np.dtype("f8"), True) for s in (shape, layer.shape_of_output(shape)))
        self.x.value[:, :5] = rng.standard_normal((len(self.x.value), 5))
        made = layer.weights(shape)
        self.w = {w.name: rng.standard_normal(w.shape) * 0.5 for w in made}
        self.offsets = {name: i << 20 for i, name in enumerate(self.w)}
        self.binding = Binding(k, self.x, self.y, self.w, self.offsets, 0, shape, True, draws=Draws())

    def operation(self):
        return self.layer.operation(self.layer, self.binding)

    def loss(self, operation, factors):
        operation.forward()
        return float((self.y.value[:, :5] * factors[:, :5]).sum())

    def check(self, places):
        """The gradients of sum(factors * y) with respect to weights and, where wanted, to x."""
        operation, factors = self.operation(), np.random.default_rng(1).standard_normal(self.y.value.shape)
        self.loss(operation, factors)
        self.y.grad[:] = 0
        self.y.grad[:, :5] = factors[:, :5]
        operation.backward(5)
        found = {name: np.zeros(w.size) for name, w in self.w.items()}
        names = {o: name for name, o in self.offsets.items()}

        class Found(Place):
            def __call__(self, start, stop):
                o = max(o for o in names if o <= start)
                return found[names[o]][start - o:stop - o]

        for *_, fill in list(operation.gradients(Found())):
            fill(5)
        got = {**found, "x": self.x.grad.reshape(-1).copy()}
        rng, derivatives, differences = np.random.default_rng(2), {}, {}
        for name in places:
            a = self.x.value if name == "x" else self.w[name]
            start, direction = a.copy(), rng.standard_normal(a.shape)
            if name == "x":
                direction[:, 5:] = 0

            def loss(at, a=a):
                a[:] = at
                return self.loss(operation, factors)
            derivatives[name] = got[name] @ direction.reshape(-1)
            differences[name] = along(loss, start, direction)
            a[:] = start
        assert_close(derivatives, differences)


@pytest.mark.parametrize("more", [{}, {"go_backwards": True}], ids=["forwards", "backwards"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_masked_steps_change_nothing_and_pass_their_gradient_on(kind, sequences, more):
    layer = KINDS[kind](3, return_sequences=sequences, **more)
    bound = Bound(layer)
    bound.x.mask = np.zeros((4, 16))
    bound.x.mask[:, :5] = [[1, 1, 0, 1, 0], [1, 0, 1, 1, 0], [1, 0, 0, 1, 0], [1, 1, 1, 0, 0]]
    bound.check(["x", *bound.w])
    operation = bound.operation()
    operation.forward()
    whole = operation.finals[0].copy()
    assert not whole[:, 4].any()                                    # no step counts
    one = Bound(layer)                                              # column 2 by its steps 1 and 3 alone
    one.shape = (2, 3)
    short = Bound(layer, (2, 3))
    short.x.value[:, 2] = bound.x.value.reshape(4, 3, 16)[[1, 3], :, 2].reshape(-1)
    short.w.update(bound.w)
    alone = short.operation()
    alone.forward()
    np.testing.assert_allclose(whole[:, 2], alone.finals[0][:, 2], rtol=1e-12)


def test_both_directions_give_0_where_x_is_masked_as_in_keras():
    layer = Bidirectional(LSTM(3, return_sequences=True))
    assert layer.layer.zero_output_for_mask
    bound = Bound(layer)
    bound.x.mask = np.zeros((4, 16))
    bound.x.mask[:, :5] = [[1, 1, 0, 1, 0], [1, 0, 1, 1, 0], [1, 0, 0, 1, 0], [1, 1, 1, 0, 0]]
    bound.check(["x", *bound.w])
    y = bound.y.value.reshape(4, 6, 16)
    assert not y[bound.x.mask[:, None].repeat(6, 1) == 0].any() and y[0, :, :2].all()


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_their_one_hot_code(kind, back):
    layer, (T, F) = KINDS[kind](3, return_sequences=True, go_backwards=back), STEPS
    ids = np.random.default_rng(2).integers(0, F, (T, 16)).astype("i4")
    given, coded = Bound(layer), Bound(layer)
    given.x.ids = ids
    coded.x.value[:] = (ids[:, None] == np.arange(F)[:, None]).reshape(T * F, 16)
    given.check(list(given.w))
    a, b = given.operation(), coded.operation()
    a.forward()
    given_y = given.y.value.copy()
    b.forward()
    np.testing.assert_allclose(given_y[:, :5], coded.y.value[:, :5], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_in_two_halves_with_carried_states_is_the_whole(kind):
    layer = KINDS[kind](3, return_sequences=True)
    whole, half = Bound(layer, (6, 3)), Bound(layer, (3, 3))
    half.w.update(whole.w)
    a, b = whole.operation(), half.operation()
    a.forward()
    steps, found = whole.x.value.reshape(2, 9, 16), []
    for part in steps:
        half.x.value[:] = part
        b.forward()
        found.append(half.y.value.copy())
        b.carry = True
        for state, final in zip(b.states, b.finals):
            state[:] = final
    assert np.concatenate(found).tobytes() == whole.y.value.tobytes()


def graves(w, x, n_out):
    """DL4J's LSTMHelpers with peepholes, one example x[T, F]: gates in its terms, i f o and the input g."""
    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    W, R, bias, p = w["kernel"], w["recurrent_kernel"], w["bias"], w["peephole"].reshape(3, n_out)
    h, c, out = np.zeros(n_out), np.zeros(n_out), []
    for x_t in x:
        i, f, g, o = (W @ x_t + R @ h + bias).reshape(4, n_out)
        i, f = sigmoid(i + p[0] * c), sigmoid(f + p[1] * c)
        c = f * c + i * np.tanh(g)
        h = sigmoid(o + p[2] * c) * np.tanh(c)
        out.append(h)
    return np.array(out)


def test_graves_lstm_is_that_of_the_published_equations():
    bound = Bound(GravesLSTM(4, return_sequences=True), (5, 3))
    bound.operation().forward()
    x, y = (a.reshape(5, -1, 16) for a in (bound.x.value, bound.y.value))
    for n in range(5):
        np.testing.assert_allclose(y[:, :, n], graves(bound.w, x[:, :, n], 4), rtol=1e-12)
    bound.check(["x", *bound.w])


def test_the_gradients_of_graves_lstm_are_those_of_the_published_equations():
    """By differences of the plain loop, which knows nothing of the kernels."""
    bound = Bound(GravesLSTM(3, return_sequences=True), (4, 2))
    operation, factors = bound.operation(), np.random.default_rng(1).standard_normal((4, 3, 5))
    operation.forward()
    bound.y.grad[:] = 0
    bound.y.grad[:, :5] = factors.reshape(12, 5)
    operation.backward(5)
    found = {}

    class Found(Place):
        def __call__(self, start, stop):
            return found.setdefault(start, np.zeros(stop - start))

    for start, stop, fill in list(operation.gradients(Found())):
        fill(5)
        assert stop > start
    x, rng = bound.x.value.reshape(4, 2, 16), np.random.default_rng(2)
    directions = {name: rng.standard_normal(w.shape) for name, w in bound.w.items()}

    def loss_of(name):
        return lambda w: sum((graves({**bound.w, name: w}, x[:, :, n], 3) * factors[:, :, n]).sum() for n in range(5))
    assert_close({name: found[bound.offsets[name]] @ d.reshape(-1) for name, d in directions.items()},
                 {name: along(loss_of(name), bound.w[name], d) for name, d in directions.items()})


def test_the_forget_gate_begins_open_and_recurrent_kernels_orthogonal():
    model = mrdl.Sequential([Input((4, 3)), LSTM(5)]).build(seed=3)
    _, recurrent, bias = model.get_weights()
    assert bias.tolist() == [0] * 5 + [1] * 5 + [0] * 10
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(5), atol=1e-6)
    tall = mrdl.Sequential([Input((4, 3)), SimpleRNN(4, kernel_initializer="orthogonal")]).build().get_weights()[0]
    np.testing.assert_allclose(tall @ tall.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("make, reason", [
    (lambda: LSTM(0), "units=0 must be above 0"), (lambda: LSTM(3, "gelu"), "its activation cannot be 'gelu'; linear, relu"),
    (lambda: LSTM(3, recurrent_activation="softmax"), "cannot be 'softmax'"),
    (lambda: GRU(3, dropout=1.0), "dropout=1.0 must be at least 0 and below 1"),
    (lambda: mrdl.Sequential([Input(4), LSTM(3)]), r"its input has the shape \(4,\), not \(steps, features\)"),
    (lambda: Bidirectional(LSTM(3), None), "merge_mode=None is none of concat, sum, mul, ave"),
    (lambda: Bidirectional(Dense(3)), "unknown recurrent layer"),
    (lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3)), "the opposite go_backwards"),
])
def test_what_cannot_be_is_refused_in_one_line(make, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_no_loss_takes_over_the_activation_of_a_recurrent_layer(kind):
    model = mrdl.Sequential([Input(STEPS), KINDS[kind](1, "sigmoid")])
    with pytest.raises(ConfigError, match="needs an output with activation 'sigmoid'"):
        model.compile("sgd", "binary_crossentropy")
    Probe([Input(STEPS), KINDS[kind](2, "sigmoid")], MeanSquaredError()).check()


@pytest.mark.parametrize("layer", [SimpleRNN(40, return_sequences=True), LSTM(40, return_sequences=True), GravesLSTM(40),
                                   GRU(40, return_sequences=True), GRU(40, reset_after=False), Bidirectional(LSTM(40)),
                                   TimeDistributed(Conv1D(40, 2))], ids=repr)
def test_inference_takes_no_more_memory_than_it_is_said_to(layer):
    """What an operation keeps beside its output, by an example: no more than twice off, and never less."""
    model = mrdl.Sequential([Input((30, 6, 5) if isinstance(layer, TimeDistributed) else (30, 5)), layer]).build()
    net = Network(model, 16, model.weights)
    seen, kept = set(), 0

    def count(thing):
        nonlocal kept
        for value in vars(thing).values():
            if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] % 16 == 0 and value.shape[1] >= 16:
                base = value if value.base is None else value.base
                if id(base) not in seen and value is not net.x.value and value is not net.operations[0].b.y.value:
                    kept += value.size / 16
                seen.add(id(base))
            elif isinstance(value, (Tensor, Operation)):
                count(value)
            elif isinstance(value, list):
                for one in value:
                    if isinstance(one, Operation):
                        count(one)
    count(net.operations[0])
    assert kept <= layer.scratch(model.input_shape) + 64 < 2.5 * kept


def test_graves_lstm_comes_back_from_its_json():
    model = mrdl.Sequential([Input(STEPS), GravesLSTM(3, "relu", peephole_regularizer="l2", name="own")])
    again = mrdl.model_from_json(model.to_json())
    assert again.to_json() == model.to_json() and again.layers[-1] == model.layers[-1]
