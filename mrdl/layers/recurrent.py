"""Recurrent layers over sequences (steps, features), as in Keras, and DL4J's GravesLSTM."""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.activations import activation, of_output
from mrdl.layers.layer import Layer, Symbol, Weight
from mrdl.layers.operation import Operation
from mrdl.layers.recurrent_operations import GRUOperation, LSTMOperation, SimpleRNNOperation


@dataclass(frozen=True)
class Recurrent(Layer):
    """The common part of all recurrent layers; kernels have `gates` rows for each unit.

    A masked step changes nothing. Dropout uses one mask for all gates and all steps of a minibatch
    (Gal & Ghahramani 2016).

    `name`: see Layer.

    Args:
        units: the size of the state, 1 or more.
        activation: the activation of the state; its slope must be computable from its output, as
            for "tanh".
        use_bias: whether there is a bias.
        kernel_initializer: initial values of the kernel for x.
        recurrent_initializer: initial values of the kernel for the state. "orthogonal", as in
            Keras.
        bias_initializer: initial values of the bias.
        kernel_regularizer: the penalty on the kernel for x. None: no penalty.
        recurrent_regularizer: the penalty on the kernel for the state. None: no penalty.
        bias_regularizer: the penalty on the bias. None: no penalty.
        kernel_constraint: the constraint on the kernel for x. None: no constraint.
        recurrent_constraint: the constraint on the kernel for the state. None: no constraint.
        bias_constraint: the constraint on the bias. None: no constraint.
        dropout: the share of x that is dropped in training, at least 0 and below 1.
        recurrent_dropout: the share of the state that is dropped in training before the recurrent
            kernel multiplies it, at least 0 and below 1.
        seed: mixed into the random numbers besides the run's seed. None: only the run's seed and
            the layer's number decide.
        return_sequences: whether y has all steps, [steps, units]. False: only the last, [units].
        go_backwards: whether x is read from its end; y then has the steps in the order of reading.
        zero_output_for_mask: whether y is 0 at masked steps. False: y repeats the step before.
        stateful: whether row i of a minibatch continues with the state of row i of the minibatch
            before it.
        return_state: whether a call returns a list: y, and the states after the last step."""
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    gates: ClassVar[int] = 1
    units: int
    activation: str | None = "tanh"
    use_bias: bool = field(default=True, kw_only=True)
    kernel_initializer: object = field(default="glorot_uniform", kw_only=True)
    recurrent_initializer: object = field(default="orthogonal", kw_only=True)
    bias_initializer: object = field(default="zeros", kw_only=True)
    kernel_regularizer: object = field(default=None, kw_only=True)
    recurrent_regularizer: object = field(default=None, kw_only=True)
    bias_regularizer: object = field(default=None, kw_only=True)
    kernel_constraint: object = field(default=None, kw_only=True)
    recurrent_constraint: object = field(default=None, kw_only=True)
    bias_constraint: object = field(default=None, kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)
    recurrent_dropout: float = field(default=0.0, kw_only=True)
    seed: int | None = field(default=None, kw_only=True)
    return_sequences: bool = field(default=False, kw_only=True)
    go_backwards: bool = field(default=False, kw_only=True)
    zero_output_for_mask: bool = field(default=False, kw_only=True)
    stateful: bool = field(default=False, kw_only=True)
    return_state: bool = field(default=False, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self):
        kind = type(self).__name__
        for key in ("activation", "recurrent_activation"):
            if hasattr(self, key):
                object.__setattr__(self, key, activation(getattr(self, key)))
        super().__post_init__()
        need(self.units > 0, f"{kind}: units={shown(self.units)} must be above 0")
        of_output(self, *self.acts())
        for key in ("dropout", "recurrent_dropout"):
            need(0 <= getattr(self, key) < 1, f"{kind}: {key}={getattr(self, key)} must be at least 0 and below 1")

    @property
    def supports_masking(self) -> bool:
        return self.return_sequences

    @property
    def last_activation(self) -> str:
        return "linear"                 # the next step needs the activated value, so a loss cannot compute the activation

    def __call__(self, inputs, initial_state=None):
        """Applies the layer to an Input, or to the output of another layer.

        Args:
            inputs: an Input of the shape (steps, features), or what the call of a layer returned.
            initial_state: the states to begin with, h and for an LSTM also c: outputs of other
                layers, each of the shape (units,). None: 0.

        Returns:
            A symbol of y; with `return_state`, a list of the symbols of y and of the states.

        Raises:
            ConfigError: the layer does not take such inputs or states."""
        states = [] if initial_state is None else initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
        given = [getattr(state, "symbol", state) for state in states]
        need(len(given) in (0, len(self.state_names)) and all(
            isinstance(state, Symbol) and state.shape == (self.units,) for state in given),
            f"{type(self).__name__}: initial_state={shown(initial_state)} must be {len(self.state_names)} of shape "
            f"({self.units},)")
        with self.aside():
            y = super().__call__(inputs)
        y.inputs += tuple(given)
        if not self.return_state:
            return self.called(y)
        return self.called([y, *(Symbol(self, (), (self.units,), y, part) for part, _ in enumerate(self.state_names, 1))])

    def reset_states(self) -> None:
        """Does nothing: each epoch, and each call of `evaluate` and `predict`, begins at state 0."""

    reset_state = reset_states

    def scratch(self, shape):
        return shape[0] * self.units * (2 * self.gates + 4)         # gates, states, and the input of the next step

    def acts(self) -> tuple[str, str]:
        """The activation of the state, and that of the gates."""
        return self.activation, getattr(self, "recurrent_activation", self.activation)

    def shape_of_output(self, shape):
        need(len(shape) == 2, f"{type(self).__name__}: its input has the shape {shown(shape)}, not (steps, features)"
             + "; for ids, put Embedding or CategoryEncoding before it" * (len(shape) == 1))
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def weights(self, shape):
        self.shape_of_output(shape)
        rows = self.gates * self.units
        made = [replace(self.weight(part, (rows, n), (n, rows), transposed=True), name=name) for part, name, n in (
            ("kernel", "kernel", shape[1]), ("recurrent", "recurrent_kernel", self.units))]
        return [*made, self.bias(rows)] if self.use_bias else made

    def bias(self, rows: int) -> Weight:
        return self.weight("bias", (rows,))


@dataclass(frozen=True)
class SimpleRNN(Recurrent):
    """h_t = activation(x_t . kernel + h_(t-1) . recurrent_kernel + bias) (Elman 1990).

    The arguments: see mrdl.layers.recurrent.Recurrent."""
    operation: ClassVar[type[Operation]] = SimpleRNNOperation


@dataclass(frozen=True)
class ForgetBias:
    """1 for the forget gate; values of `initializer` for the other gates (Jozefowicz et al. 2015)."""
    initializer: Callable
    units: int

    @property
    def seed(self) -> int | None:
        return getattr(self.initializer, "seed", None)

    def __call__(self, shape, rng):
        bias = np.array(self.initializer(shape, rng))
        bias[self.units:2 * self.units] = 1
        return bias


@dataclass(frozen=True)
class Memory(Recurrent):
    """The common part of both kinds of LSTM.

    The other arguments: see mrdl.layers.recurrent.Recurrent.

    Args:
        recurrent_activation: the activation of the gates; its slope must be computable from its
            output, as for "sigmoid".
        unit_forget_bias: whether the forget gate's bias starts at 1, so that at the beginning of
            training the memory is kept (Jozefowicz et al. 2015)."""
    operation: ClassVar[type[Operation]] = LSTMOperation
    gates: ClassVar[int] = 4
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")
    recurrent_activation: str = "sigmoid"
    unit_forget_bias: bool = field(default=True, kw_only=True)

    def bias(self, rows):
        made = super().bias(rows)
        return replace(made, initializer=ForgetBias(made.initializer, self.units)) if self.unit_forget_bias else made


@dataclass(frozen=True)
class LSTM(Memory):
    """Long short-term memory.

    Gates i f g o of x_t . kernel + h_(t-1) . recurrent_kernel + bias; c_t = f c_(t-1) + i g,
    h_t = o activation(c_t) (Hochreiter & Schmidhuber 1997, Gers et al. 2000).

    The arguments: see Recurrent and Memory in mrdl.layers.recurrent."""


@dataclass(frozen=True)
class GravesLSTM(Memory):
    """LSTM whose gates see the memory: i and f add peephole * c_(t-1), o adds peephole * c_t (Graves 2013; DL4J).

    The other arguments: see Recurrent and Memory in mrdl.layers.recurrent.

    Args:
        peephole_initializer: initial values of the peepholes.
        peephole_regularizer: the penalty on the peepholes. None: no penalty.
        peephole_constraint: the constraint on the peepholes. None: no constraint."""
    keras_module: ClassVar[str] = "mrdl.layers"
    peephole_initializer: object = field(default="glorot_uniform", kw_only=True)
    peephole_regularizer: object = field(default=None, kw_only=True)
    peephole_constraint: object = field(default=None, kw_only=True)

    def weights(self, shape):
        return [*super().weights(shape), self.weight("peephole", (3 * self.units,))]


@dataclass(frozen=True)
class GRU(Recurrent):
    """A gated recurrent unit (Cho et al. 2014).

    Gates z r; h_t = z h_(t-1) + (1 - z) candidate.

    The other arguments: see mrdl.layers.recurrent.Recurrent.

    Args:
        recurrent_activation: the activation of the gates; its slope must be computable from its
            output, as for "sigmoid".
        reset_after: whether the reset gate is applied after the product with recurrent_kernel.
            False: before it, as in the paper."""
    operation: ClassVar[type[Operation]] = GRUOperation
    gates: ClassVar[int] = 3
    recurrent_activation: str = "sigmoid"
    reset_after: bool = field(default=True, kw_only=True)

    def bias(self, rows):
        return self.weight("bias", (2, rows) if self.reset_after else (rows,))


RECURRENT = [SimpleRNN, LSTM, GRU, GravesLSTM]
