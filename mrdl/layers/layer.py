"""The base class of layers: an immutable description of weights and shapes."""
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mrdl import seeds
from mrdl.config import ConfigError, Configured, lookup, need, shown
from mrdl.constraints import CONSTRAINTS
from mrdl.initializers import INITIALIZERS
from mrdl.layers.operation import Operation, Shape
from mrdl.regularizers import REGULARIZERS

LARGEST = 1 << 48               # the largest number of values that a layer may output for an example
# the suffixes of fields that describe a weight: kernel_initializer, bias_constraint and so on
OF_WEIGHTS = {"initializer": INITIALIZERS, "regularizer": REGULARIZERS, "constraint": CONSTRAINTS}


@dataclass(frozen=True)
class Weight:
    """One tensor of a layer. The weights of a model stand one after the other in a vector, the flat vector.
    There the tensor has the shape `shape`; the user sees it in the shape `keras`."""
    name: str
    shape: Shape
    keras: Shape
    initializer: Callable
    regularizer: object = None
    constraint: object = None
    transposed: bool = False            # the flat vector holds the transpose of Keras's tensor
    trainable: bool = True              # False: the updater does not change it, but the layer itself may
    frozen: bool = False                # True: nothing changes it, as its layer is not trainable

    def __post_init__(self):
        if self.constraint is not None:
            self.constraint.check(self.name, self.keras)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def view(self, flat: np.ndarray) -> np.ndarray:
        """A view of the flat vector with Keras's shape."""
        array = flat.reshape(self.shape)
        return (array.T if self.transposed else array).reshape(self.keras)

    def to_keras(self, flat: np.ndarray) -> np.ndarray:
        return np.array(self.view(flat), order="C")         # np.ascontiguousarray would turn a single number into a row

    def from_keras(self, array: np.ndarray, out: np.ndarray) -> None:
        out.reshape(self.shape)[...] = array.reshape(self.shape[::-1]).T if self.transposed else array

    def draw(self, out: np.ndarray, seed: int, number: int) -> None:
        """Fills `out` with initial values, with random numbers keyed by a seed and the layer's number, or by the initializer's own seed."""
        own = getattr(self.initializer, "seed", None)
        rng = seeds.generator("weights", seed, number, self.name) if own is None else seeds.generator("initializer", own)
        self.from_keras(self.initializer(self.keras, rng), out)


def rested(weights: list[Weight]) -> list[Weight]:
    """The weights of a frozen layer."""
    return [replace(weight, trainable=False, frozen=True) for weight in weights]


def sized(layer: "Layer", shape: Shape) -> Shape:
    """The shape of a layer's output; ConfigError if no machine could hold it, as when it doubles at each of many layers."""
    if math.prod(shape) > LARGEST:
        raise ConfigError(f"{type(layer).__name__}: its output would have the shape {shown(shape)}, "
                          "more values than any machine can hold")
    return shape


class Held(NamedTuple):
    """Where a layer's weights are as they are now: in this part of a model's flat vector."""
    weights: list[Weight]
    part: np.ndarray

    @property
    def address(self) -> int:
        """Where in memory the part begins."""
        return self.part.ctypes.data

    def views(self) -> list[np.ndarray]:
        """Each weight's part of the vector, flat."""
        ends = itertools.accumulate(weight.size for weight in self.weights)
        return [self.part[end - weight.size:end] for weight, end in zip(self.weights, ends)]

    def arrays(self) -> list[np.ndarray]:
        """Copies of the weights, in Keras's order and shapes."""
        return [weight.to_keras(view) for weight, view in zip(self.weights, self.views())]


class Symbol:
    """The output of one call of a layer, with which other layers can be called. `shape` is that of an example.

    If a call has several outputs, the first is `main`, and the others have the `part` 1, 2... `masked`: whether its steps may
    have a mask. Numbers and other symbols are added to it and so on by + - * / **, and x[:, 1:] takes a part of it (mrdl.ops)."""

    def __init__(self, layer: "Layer", inputs: "tuple[Symbol, ...]", shape: Shape, main: "Symbol | None" = None, part: int = 0):
        self.layer, self.inputs, self.shape, self.main, self.part = layer, inputs, sized(layer, shape), main or self, part
        makes = layer.makes_mask if isinstance(layer, Layer) else any(one.makes_mask for _, one in layer.leaves())
        passes = not isinstance(layer, Layer) or layer.supports_masking
        self.masked: bool = makes or passes and any(x.masked for x in inputs)

    def __repr__(self):
        return f"<{type(self.layer).__name__} of shape {self.shape}>"


@dataclass(frozen=True)
class Layer(Configured):
    """A description without arrays; `operation` makes the Operation that does its work.

    A subclass says in `shape_of_output` what shape comes out and in `weights` what tensors it has. It checks its fields
    in __post_init__ after that of Layer, which looks up initializers, regularizers and constraints.

    Args:
        name: the layer's name: unique in the model, and without a "/". None: made of its kind and
            the first free number.
        trainable: whether training changes its weights. It may be set later too, which holds from the
            next `fit` or run on. If False, BatchNormalization uses its moving mean and variance."""
    keras_module: ClassVar[str] = "keras.layers"
    merges: ClassVar[bool] = False      # it takes several inputs
    supports_masking: ClassVar[bool] = False    # it hands x's mask on to y, as in Keras
    # called with (layer, Binding); None: y is x under another shape
    operation: ClassVar[type[Operation] | None] = None
    first_shape: ClassVar[Shape | None] = None      # what the user gave as `input_shape`, for the first layer of a Sequential
    takes_sparse: ClassVar[bool] = False        # its operation takes a SparseTensor
    # of a layer that a model has: where its weights are (mrdl.models.sharing), and what its first two calls gave
    held: ClassVar[Held | None] = None
    gave: ClassVar[tuple] = ()
    trainable: bool = field(default=True, kw_only=True, compare=False, repr=False)

    def __post_init__(self):
        super().__post_init__()
        name = getattr(self, "name", None)
        need(name is None or (name != "" and "/" not in name),
             f"{type(self).__name__}: name={shown(name)} must not be empty or hold a '/'")
        for key in (f.name for f in fields(self)):
            kind = key.rpartition("_")[2]
            if kind in OF_WEIGHTS:
                object.__setattr__(self, key, lookup(getattr(self, key), OF_WEIGHTS[kind], kind))
                need(kind != "initializer" or getattr(self, key) is not None,
                     f"{type(self).__name__}: {key} is missing")

    def took(self, rest):
        shape = rest.get("input_shape")
        if shape is None and rest.get("input_dim") is not None:
            shape = (rest["input_dim"],)
        if shape is not None:
            object.__setattr__(self, "first_shape", shape)      # no field: the layer is the same without it

    def weight(self, part: str, shape: Shape, keras: Shape | None = None, **more) -> Weight:
        """A weight with the initializer, regularizer and constraint in the fields {part}_initializer and so on."""
        said = {kind: getattr(self, f"{part}_{kind}", None) for kind in OF_WEIGHTS}
        return Weight(**{"name": part, "shape": shape, "keras": keras or shape, **said, **more})

    def __call__(self, inputs: "Layer | Symbol | list") -> Symbol:
        """Applies the layer to an Input, or to the output of another layer.

        Args:
            inputs: an Input, or what the call of a layer returned; for a layer that merges, a list
                of at least two of these.

        Returns:
            A symbol of the layer's output, with which other layers can be called.

        Raises:
            ConfigError: the layer does not take such inputs."""
        several = isinstance(inputs, (list, tuple))
        given = tuple(getattr(x, "symbol", x) for x in (inputs if several else [inputs]))
        kind = type(self).__name__
        need(all(isinstance(x, Symbol) for x in given) and several == self.merges,
             f"{kind} is called with {shown(inputs)}, not {'a list of ' * self.merges}what "
             "Input or the call of a layer returned")
        need(not self.merges or len(given) > 1, f"{kind} needs at least two inputs")
        shapes = [x.shape for x in given]
        return self.called(Symbol(self, given, self.shape_of_output(shapes if self.merges else shapes[0])))

    def called(self, gave: "Symbol | list[Symbol]") -> Any:
        """Remembers what a call gave, and returns it.

        Args:
            gave: a symbol, or a list of them."""
        object.__setattr__(self, "gave", (*self.gave, gave)[:2])
        return gave

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Calls inside do not count as calls by the user."""
        gave = self.gave
        yield
        object.__setattr__(self, "gave", gave)

    def hold(self, held: Held | None) -> None:
        """Says where the layer's weights are.

        Args:
            held: in a model's vector, or one of its own. None: nowhere yet."""
        object.__setattr__(self, "held", held)

    def build(self, input_shape: Shape) -> None:
        """Draws the layer's weights, where it has none; a model does so by itself.

        Args:
            input_shape: the shape of x with the batch before it, as in Keras: (None, 4)."""
        weights = self.weights(tuple(input_shape)[1:]) if self.held is None else []
        if weights:
            self.hold(Held(weights, np.zeros(sum(weight.size for weight in weights), "f4")))
            for weight, part in zip(weights, self.held.views()):
                weight.draw(part, 0, 0)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the layer's weights, in Keras's order and shapes; none before a model, or `build`, has drawn them."""
        return self.held.arrays() if self.held else []

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Sets the layer's weights, in all models that have it.

        Args:
            weights: tensors in the order and of the shapes that `get_weights` gives.

        Raises:
            ValueError: there are more or fewer, or one has another shape."""
        wanted, given = [w.keras for w in self.held.weights] if self.held else [], [np.shape(array) for array in weights]
        if wanted != given:
            raise ValueError(f"{type(self).__name__} has weights of the shapes {shown(wanted)}, not {shown(given)}"
                             + "; call build(input_shape), or the model's build(), first" * (not self.held))
        for weight, part, array in zip(self.held.weights, self.held.views(), weights):
            weight.from_keras(np.asarray(array, part.dtype), part)

    def count_params(self) -> int:
        """How many numbers the layer's weights are."""
        return self.held.part.size if self.held else 0

    def _once(self) -> "Symbol | list[Symbol]":
        """What the layer's only call gave."""
        kind = type(self).__name__
        need(len(self.gave) > 0, f"{kind}: this layer was not called yet, so it has no input and output")
        need(len(self.gave) < 2, f"{kind}: this layer was called several times: keep what the call gave that you mean")
        return self.gave[0]

    @property
    def output(self) -> "Symbol | list[Symbol]":
        """What the layer's call gave, for `mrdl.Model(model.inputs, layer.output)`."""
        return self._once()

    @property
    def input(self) -> "Symbol | list[Symbol]":
        """What the layer was called with."""
        gave = self._once()
        found = (gave[0] if isinstance(gave, list) else gave).inputs
        return found[0] if len(found) == 1 else list(found)

    def shape_of_output(self, shape: Shape) -> Shape:
        """The shape of y without the batch; ConfigError if x does not fit.

        Args:
            shape: the shape of x without the batch; for a layer that merges, a list of shapes."""
        return shape

    def weights(self, shape: Shape) -> list[Weight]:
        """The tensors in Keras's order, each made by `weight`, where x has that shape without the batch."""
        return []

    def weights_behind(self, shape: Shape, sparse: bool) -> list[Weight]:
        """The tensors of `weights`, as they lie in the flat vector; ConfigError if x is sparse, and the layer takes no such x.

        Args:
            shape: of x without the batch.
            sparse: whether x is a sparse Input. A feature's weights then lie together, as in Keras's kernel."""
        found = self.weights(shape)
        if not sparse:
            return found
        need(self.takes_sparse, f"{type(self).__name__}: only Dense takes an Input with sparse=True")
        return [replace(weight, shape=weight.keras, transposed=False) if weight.transposed else weight for weight in found]

    def __getstate__(self):
        return {key: value for key, value in vars(self).items() if key not in ("held", "gave")}

    @property
    def frozen(self) -> bool:
        """Does training leave its weights as they are?"""
        return not self.trainable or any(one.frozen for one in self.inner)

    @property
    def makes_mask(self) -> bool:
        """Does it make a mask of the steps of x?"""
        return getattr(self, "mask_zero", False)

    @property
    def inner(self) -> "list[Layer]":
        """The layers that a wrapper contains."""
        return [one for name, one in vars(self).items() if isinstance(one, Layer)]

    def get_config(self):
        config = super().get_config()
        if self.trainable:                      # as ever
            config.pop("trainable")
        return config

    @classmethod
    def from_config(cls, config):
        return super().from_config({k: v for k, v in config.items() if k != "trainable" or v is not None})

    @property
    def last_activation(self) -> str:
        """The activation that comes last. A loss that contains it, as a crossentropy does softmax, computes both
        at once; then Binding.linear tells the operation to leave it out."""
        return getattr(self, "activation", "linear")

    def scratch(self, shape: Shape) -> int:
        """How many values an example its operation keeps beside y, where that is much (mrdl.limits estimates a
        model's memory by it). Their gradients are not counted: the estimate adds them as it does for y.

        Args:
            shape: of x without the batch."""
        return 0


def freezable(layer: type[Layer]) -> None:
    """Lets `trainable` of a layer of this class be set, the only one of its fields that may be."""
    refused = layer.__setattr__

    def set_one(self, name: str, value) -> None:
        if name != "trainable":
            refused(self, name, value)
        need(isinstance(value, (bool, np.bool_)), f"{layer.__name__}: trainable={shown(value)} must be true or false")
        object.__setattr__(self, name, bool(value))
        for one in self.inner:
            one.trainable = value
    layer.__setattr__ = set_one
