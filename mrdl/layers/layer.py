"""What every layer is: a frozen description, and the operation it becomes when bound to buffers."""
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from mrdl.config import ConfigError, Configured, lookup, need, shown
from mrdl.constraints import CONSTRAINTS
from mrdl.initializers import INITIALIZERS
from mrdl.kernels import pad, zeros
from mrdl.regularizers import REGULARIZERS

Shape = tuple[int, ...]
LARGEST = 1 << 48               # values that a layer may give of an example
# what a layer's fields say of its weights: kernel_initializer, bias_constraint and so on
OF_WEIGHTS = {"initializer": INITIALIZERS, "regularizer": REGULARIZERS, "constraint": CONSTRAINTS}


@dataclass(frozen=True)
class Weight:
    """One trainable tensor: `shape` in the flat vector, `keras` as the user sees it."""
    name: str
    shape: Shape
    keras: Shape
    initializer: Callable
    regularizer: object = None
    constraint: object = None
    transposed: bool = False            # the flat vector holds the transpose of Keras's tensor
    trainable: bool = True              # else the layer itself changes it, not the updater

    def __post_init__(self):
        if self.constraint is not None:
            self.constraint.check(self.name, self.keras)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def view(self, flat: np.ndarray) -> np.ndarray:
        """The tensor in Keras's shape, in the memory of the flat vector."""
        array = flat.reshape(self.shape)
        return (array.T if self.transposed else array).reshape(self.keras)

    def to_keras(self, flat: np.ndarray) -> np.ndarray:
        return np.array(self.view(flat), order="C")         # ascontiguousarray makes a row of one number

    def from_keras(self, array: np.ndarray, out: np.ndarray) -> None:
        out.reshape(self.shape)[...] = array.reshape(self.shape[::-1]).T if self.transposed else array


class Tensor:
    """Activations of one minibatch: value[F, N], grad[F, N], and value batch-major where asked.

    Of a sequence also: mask[T, N], 0 where a step does not count, and ids[T, N] where value is their one-hot code,
    which is not filled in for those who say ids_only."""
    mask: np.ndarray | None = None
    ids: np.ndarray | None = None
    ids_only = False

    def __init__(self, k: SimpleNamespace, features: int, N: int, dtype: np.dtype, training: bool):
        self.k = k
        self.value = zeros((features, N), dtype)
        self.grad = zeros((features, N), dtype) if training else None
        self._rows: dict[int, np.ndarray] = {}          # by steps
        self.fresh: set[int] = set()    # whose rows are those of this minibatch
        self.relu = False               # value is some layer's max(0, .)
        self.masked = False             # whoever fills grad has put its zeros in already

    def storage(self, steps: int = 1) -> np.ndarray:
        """What `rows` fills."""
        if steps not in self._rows:
            features, N = self.value.shape
            self._rows[steps] = zeros((steps * N, pad(features // steps)), self.value.dtype)
        return self._rows[steps]

    def give_storage(self, steps: int, rows: np.ndarray) -> None:
        """What `rows` is to fill."""
        self._rows[steps] = rows

    def rows(self, steps: int = 1) -> np.ndarray:
        """value batch-major step by step, [steps N, F padded]; turned once a minibatch."""
        rows = self.storage(steps)
        if steps not in self.fresh:
            self.k.transpose_steps(self.value, steps, rows)
            self.fresh.add(steps)
        return rows


class Part(Tensor):
    """Some features of another tensor: one of a model's inputs. Nobody needs its gradient."""

    def __init__(self, whole: Tensor, start: int, stop: int):
        super().__init__(whole.k, 0, whole.value.shape[1], whole.value.dtype, False)
        self.value = whole.value[start:stop]


class Branch(Tensor):
    """A tensor for one of several that take it: its gradient is its own, the rest is shared."""

    def __init__(self, source: Tensor):
        self.source, self.value, self.mask, self.ids = source, source.value, source.mask, source.ids
        self.grad = None if source.grad is None else np.zeros_like(source.grad)
        self.relu = self.masked = False         # each would leave out what the others add

    def storage(self, steps: int = 1) -> np.ndarray:
        return self.source.storage(steps)

    def rows(self, steps: int = 1) -> np.ndarray:
        return self.source.rows(steps)


class View(Branch):
    """A tensor under another shape: its steps are not those that a mask and ids are of."""

    def __init__(self, source: Tensor):
        super().__init__(source)
        self.grad, self.mask, self.ids = source.grad, None, None


class Draws:
    """Which minibatch this is: the key of its (seed, epoch, shard), which chooses random numbers, and its number."""
    key = 0
    minibatch = 0
    batch = 0                           # its examples


@dataclass
class Binding:
    """What a layer is bound to: kernels, its weights' views, and the tensors before and after it."""
    k: SimpleNamespace
    x: Tensor
    y: Tensor
    w: dict[str, np.ndarray]
    offsets: dict[str, int]
    index: int                          # number of the layer: its random stream
    shape: Shape                        # of one example of x
    training: bool
    linear: bool = False                # leave the output activation to the loss
    first: bool = False                 # nobody needs the gradient of x
    draws: "Draws | None" = None
    xs: "list[Tensor]" = field(default_factory=list)        # all that the layer was called with; x is the first
    parts: "list[Tensor]" = field(default_factory=list)     # what it gives beside y: a recurrent layer's states


def mask_of(tensor: Tensor, shape: Shape) -> np.ndarray | None:
    """The tensor's mask where it has a row for each step of that shape; as a view of another shape it has none."""
    mask = tensor.mask
    return mask if mask is not None and len(shape) > 1 and len(mask) == shape[0] else None


class Place:
    """What an operation is told of a range of the flat vector: where its gradient goes, and what its update reads."""

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """The array [stop - start] that the range's gradient goes to."""
        raise NotImplementedError           # each use has its own

    def ahead(self, start: int, stop: int) -> np.ndarray | None:
        """Addresses of the range's weights and slots, read when its gradient is whole; None: not at once."""
        return None


# start, stop, fill(batch): writes that range's gradient to its place
Piece = tuple[int, int, Callable[[int], None]]


class Operation:
    """A layer at work: forward and backward on fixed buffers. The defaults suit a view of x. `layer`: its description."""

    def __init__(self, layer, b: Binding):
        self.layer, self.b = layer, b

    @property
    def x_mask(self) -> np.ndarray | None:
        """That of x, where its steps are those of x still."""
        return mask_of(self.b.x, self.b.shape)

    def forward(self) -> None:
        raise NotImplementedError           # each layer's operation has its own

    def backward(self, batch: int) -> None:
        raise NotImplementedError           # each layer's operation has its own

    def gradients(self, place: Place) -> Iterator[Piece]:
        """The pieces of this layer's gradient, each to be filled after `backward`."""
        return iter(())


def sized(layer: "Layer", shape: Shape) -> Shape:
    """The shape of what a layer gives; ConfigError where that is beyond any memory, as what doubles at each layer soon is."""
    if math.prod(shape) > LARGEST:
        raise ConfigError(f"{type(layer).__name__}: it would give {shown(shape)}, more values than any machine holds")
    return shape


class Symbol:
    """What one call of a layer gives: an input of other calls. `shape` is that of an example.

    A call may give more than one: `part` 1, 2... of the call whose first is `main`."""

    def __init__(self, layer: "Layer", inputs: "tuple[Symbol, ...]", shape: Shape, main: "Symbol | None" = None, part: int = 0):
        self.layer, self.inputs, self.shape, self.main, self.part = layer, inputs, sized(layer, shape), main or self, part

    def __repr__(self):
        return f"<{type(self.layer).__name__} of shape {self.shape}>"


@dataclass(frozen=True)
class Layer(Configured):
    """A description without arrays; `operation` is the class that does its work."""
    keras_module: ClassVar[str] = "keras.layers"
    merges: ClassVar[bool] = False      # it takes several inputs
    supports_masking: ClassVar[bool] = False    # it hands x's mask on to y, as in Keras
    operation: ClassVar[type[Operation] | None] = None      # None: y is x under another shape

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

    def weight(self, part: str, shape: Shape, keras: Shape | None = None, **more) -> Weight:
        """A tensor with what the fields {part}_initializer, _regularizer and _constraint say of it."""
        said = {kind: getattr(self, f"{part}_{kind}", None) for kind in OF_WEIGHTS}
        return Weight(**{"name": part, "shape": shape, "keras": keras or shape, **said, **more})

    def __call__(self, inputs: "Layer | Symbol | list") -> Symbol:
        """The layer at work on what Input or another call gave, or on a list of them where it merges."""
        several = isinstance(inputs, (list, tuple))
        given = tuple(getattr(x, "symbol", x) for x in (inputs if several else [inputs]))
        kind = type(self).__name__
        need(all(isinstance(x, Symbol) for x in given) and several == self.merges,
             f"{kind} is called with {shown(inputs)}, not {'a list of ' * self.merges}what Input or a layer gave")
        need(not self.merges or len(given) > 1, f"{kind} takes two inputs or more")
        shapes = [x.shape for x in given]
        return Symbol(self, given, self.output(shapes if self.merges else shapes[0]))

    def output(self, shape: Shape) -> Shape:
        """The shape of y without the batch; ConfigError where x does not fit. `shape` is a list where it merges."""
        return shape

    def weights(self, shape: Shape) -> list[Weight]:
        return []

    @property
    def last_activation(self) -> str:
        """What comes last, and may be left to a loss that contains it."""
        return getattr(self, "activation", "linear")

    def scratch(self, shape: Shape) -> int:
        """How many values an example its operation keeps beside y, where that is much."""
        return 0
