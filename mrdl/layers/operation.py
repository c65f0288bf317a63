"""What a layer becomes when it is bound to buffers: tensors, and operations on them.

All arrays of a minibatch are [features, N]: a column is an example, N the size of the minibatch rounded up
to a multiple of 16 (mrdl.kernels.pad). An example with more axes is flattened in their order, so that one of
steps and features is [steps features, N]. The columns past the minibatch are padding: in values anything, in
gradients 0."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from mrdl.kernels import pad, zeros

Shape = tuple[int, ...]
# a range of the flat vector, start to stop, and fill(batch), which writes its gradient to where Place said
Piece = tuple[int, int, Callable[[int], None]]


class Tensor:
    """Activations of one minibatch: value[F, N], grad[F, N] (None where nothing is trained), and by `rows` the
    value batch-major.

    Of a sequence also: mask[T, N], 0 where a step does not count, and ids[T, N] where value is their one-hot
    code. With `ids_only` all who take the tensor read its ids, and value is not filled in."""
    mask: np.ndarray | None = None
    ids: np.ndarray | None = None
    ids_only = False

    def __init__(self, k: SimpleNamespace, features: int, N: int, dtype: np.dtype, training: bool):
        self.k = k
        self.value = zeros((features, N), dtype)
        self.grad = zeros((features, N), dtype) if training else None
        self._rows: dict[int, np.ndarray] = {}          # by steps
        self.fresh: set[int] = set()    # whose rows are those of this minibatch
        self.relu = False               # value is max(0, z) of the layer that makes it
        self.masked = False             # who fills grad has multiplied it by relu's slope: its layer need not

    def storage(self, steps: int = 1) -> np.ndarray:
        """The array that `rows` fills."""
        if steps not in self._rows:
            features, N = self.value.shape
            self._rows[steps] = zeros((steps * N, pad(features // steps)), self.value.dtype)
        return self._rows[steps]

    def give_storage(self, steps: int, rows: np.ndarray) -> None:
        """Sets the array that `rows` fills."""
        self._rows[steps] = rows

    def rows(self, steps: int = 1) -> np.ndarray:
        """value in batch-major order, step by step: [steps N, F padded]. It is transposed once per minibatch."""
        rows = self.storage(steps)
        if steps not in self.fresh:
            self.k.transpose_steps(self.value, steps, rows)
            self.fresh.add(steps)
        return rows


class SparseTensor(Tensor):
    """A sparse minibatch: of column n the features ids[bounds[n]:bounds[n + 1]] are `values`, all others are 0; `value` is empty."""

    def __init__(self, k: SimpleNamespace, features: int, N: int, dtype: np.dtype):
        super().__init__(k, 0, N, dtype, False)
        self.buffers: dict[str, np.ndarray] = {}
        self.where = np.zeros(features, np.int32)       # of `distinct`

    def buffer(self, name: str, size: int, dtype) -> np.ndarray:
        """The first places of an array, which grows."""
        if name not in self.buffers or len(self.buffers[name]) < size:
            self.buffers[name] = np.empty(size * 5 // 4 + 1, dtype)
        return self.buffers[name][:size]

    def read(self, x, index: np.ndarray) -> None:
        """Loads the rows `index` of a Csr (mrdl.data.sparse)."""
        size = int((x.starts[index + 1] - x.starts[index]).sum())
        self.bounds = self.buffer("bounds", len(index) + 1, np.int64)
        self.ids, self.values = self.buffer("ids", size, np.int32), self.buffer("values", size, self.value.dtype)
        self.k.csr_gather(x.starts, x.ids, x.values, index, self.bounds, self.ids, self.values)
        self.found = None

    def distinct(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, slots): the features that are there, each once, and for each of the ids its place among them. They are looked up
        once per minibatch. w: a table with a row for each feature."""
        if self.found is None:
            n = len(self.ids)
            rows, slots = self.buffer("rows", n + 1, np.int32), self.buffer("slots", n, np.int32)
            self.found = rows[:self.k.csr_distinct(w, self.ids, self.where, rows, slots)], slots
        return self.found


class Part(Tensor):
    """A range of another tensor's features: one of a model's inputs. It has no gradient."""

    def __init__(self, whole: Tensor, start: int, stop: int):
        super().__init__(whole.k, 0, whole.value.shape[1], whole.value.dtype, False)
        self.value = whole.value[start:stop]


class Branch(Tensor):
    """A tensor as seen by one of its several users: it has a gradient of its own; everything else is shared."""

    def __init__(self, source: Tensor):
        self.source, self.value, self.mask, self.ids = source, source.value, source.mask, source.ids
        self.grad = None if source.grad is None else np.zeros_like(source.grad)
        self.relu = self.masked = False         # the ReLU's slope must be applied to the sum of all branches

    def storage(self, steps: int = 1) -> np.ndarray:
        return self.source.storage(steps)

    def rows(self, steps: int = 1) -> np.ndarray:
        return self.source.rows(steps)


class View(Branch):
    """A tensor with another shape: it has no mask and ids, because its steps are different ones."""

    def __init__(self, source: Tensor):
        super().__init__(source)
        self.grad, self.mask, self.ids = source.grad, None, None


class Draws:
    """Identifies the minibatch, for random numbers: the key of (seed, epoch, shard), and the minibatch's number."""
    key = 0
    minibatch = 0
    batch = 0                           # the number of its examples


@dataclass
class Binding:
    """What a layer is bound to: kernels, its weights' views, and the tensors before and after it.

    A layer that is made of others binds them to `replace(b, ...)` of its own, as SeparableOperation in
    mrdl/layers/convolution.py does with a Tensor between the two."""
    k: SimpleNamespace                  # all kernels by name, for the model's float type
    x: Tensor
    y: Tensor
    w: dict[str, np.ndarray]            # by the name of the Weight, in its shape in the flat vector
    offsets: dict[str, int]             # where each begins there
    index: int                          # number of the layer: its random stream
    shape: Shape                        # of one example of x
    training: bool
    linear: bool = False                # leave the output activation to the loss
    first: bool = False                 # nobody needs the gradient of x: `backward` may leave it out
    frozen: bool = False                # training leaves the layer's weights as they are
    draws: "Draws | None" = None        # what random numbers are keyed by
    xs: "list[Tensor]" = field(default_factory=list)        # all that the layer was called with; x is the first
    parts: "list[Tensor]" = field(default_factory=list)     # what it gives beside y: a recurrent layer's states


def mask_of(tensor: Tensor, shape: Shape) -> np.ndarray | None:
    """The tensor's mask, if it has a row for each step of this shape; else None."""
    mask = tensor.mask
    return mask if mask is not None and len(shape) > 1 and len(mask) == shape[0] else None


class Place:
    """What `Operation.gradients` is given, to ask where the gradient of a range of the flat vector goes, and what the
    range's update will read."""

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """The array [stop - start] for the range's gradient."""
        raise NotImplementedError           # subclasses define it

    def ahead(self, start: int, stop: int) -> np.ndarray | None:
        """Addresses of the range's weights and slots, where its update follows at once: kernels that take them
        have the CPU fetch what is there. None: the update comes later."""
        return None


class Operation:
    """A layer at work on fixed buffers, which it takes from `b` and makes in __init__ alone. `layer`: its description.

    For each minibatch come `forward`, then, in training, `backward`, then the fills of `gradients`."""

    def __init__(self, layer, b: Binding):
        self.layer, self.b = layer, b

    @property
    def x_mask(self) -> np.ndarray | None:
        """The mask of x, if x still has the steps that the mask belongs to."""
        return mask_of(self.b.x, self.b.shape)

    def forward(self) -> None:
        """Fills b.y.value from b.x.value and b.w."""
        raise NotImplementedError           # each layer's operation has its own

    def backward(self, batch: int) -> None:
        """Fills b.x.grad from b.y.grad, which it may overwrite. `batch`: how many columns are examples."""
        raise NotImplementedError           # each layer's operation has its own

    def gradients(self, place: Place) -> Iterator[Piece]:
        """The pieces of this layer's gradient. It is asked when buffers are made; the fills are called for each
        minibatch, after `backward`.

        The piece of a small weight: start is b.offsets[name], stop = start + b.w[name].size, and fill(batch)
        writes to the array that place(start, stop) gave, as in PReLUOperation. A matrix is cut into pieces that
        stay in the cache by `by_rows` in mrdl/layers/core.py."""
        return iter(())
