"""Layers for sequences and ids, as in Keras: Embedding, CategoryEncoding, Masking."""
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mrdl.config import need, shown
from mrdl.kernels import zeros
from mrdl.layers.layer import Layer
from mrdl.layers.operation import Binding, Operation


class IdsOperation(Operation):
    """An operation that takes x[T, N] as whole numbers, `ids`."""

    def __init__(self, layer: Layer, b: Binding):
        super().__init__(layer, b)
        need(b.first, f"{type(layer).__name__} takes ids: it must be the first layer of its input")
        need(b.x.value.dtype == "f8" or layer.count <= 1 << 24, f"{type(layer).__name__}: it has {layer.count} ids, but ids "
             "come as float32, "
             f"which is exact only up to {1 << 24}")
        self.ids = np.zeros(b.x.value.shape, np.int32)

    def read(self) -> None:
        """Converts x to ids; ValueError for a value that is not one of 0..count - 1."""
        x, count = self.b.x.value, self.layer.count
        low, high = float(x.min()), float(x.max())
        if not (0 <= low and high < count):             # this is true for NaN, too
            raise ValueError(f"{type(self.layer).__name__}: id {high if low >= 0 else low:g} is not one of 0..{count - 1}")
        self.ids[:] = x
        if not np.array_equal(self.ids, x):
            raise ValueError(f"{type(self.layer).__name__}: {x[self.ids != x][0]:g} is not an id: ids are whole numbers")


class EmbeddingOperation(IdsOperation):
    """Computes the gradient only for the rows that occur in the minibatch; only these are updated."""
    sparse = True

    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.table = b.w["embeddings"]
        if layer.mask_zero:
            b.y.mask = np.zeros(b.x.value.shape, b.x.value.dtype)

    def forward(self):
        b = self.b
        self.read()
        b.k.embedding_forward(self.table, self.ids, b.y.value)
        if b.y.mask is not None:
            np.not_equal(self.ids, 0, out=b.y.mask)

    def backward(self, batch):
        pass

    def gradients(self, place):
        start = self.b.offsets["embeddings"]
        g = place(start, start + self.table.size).reshape(self.table.shape)

        def fill(batch: int) -> np.ndarray:
            """Fills some rows of g, and returns their numbers; leaves the others unchanged."""
            rows = np.unique(self.ids[:, :batch])
            g[rows] = 0
            self.b.k.embedding_gradient(self.b.y.grad, self.ids, batch, g)
            return rows
        yield start, start + g.size, fill


@dataclass(frozen=True)
class Embedding(Layer):
    """y[..., D] = the rows of embeddings[V, D] for the ids x[...]; with mask_zero, steps whose id is 0 are masked.

    An update changes only the rows that occur in the minibatch, and their part of the updater's state (like PyTorch's
    SparseAdam). If the gradient is clipped by norm, or the embeddings have a penalty, it changes all rows.

    `name`: see Layer.

    Args:
        input_dim: V, the number of ids, which are 0..V-1.
        output_dim: D, the size of an embedding.
        embeddings_initializer: initial values. "uniform": from -0.05 to 0.05.
        embeddings_regularizer: the penalty on them. None: no penalty.
        embeddings_constraint: the constraint on them. None: no constraint.
        mask_zero: whether id 0 is padding, whose steps are masked."""
    operation: ClassVar[type[Operation]] = EmbeddingOperation
    supports_masking: ClassVar[bool] = True
    input_dim: int
    output_dim: int
    embeddings_initializer: object = "uniform"
    embeddings_regularizer: object = None
    embeddings_constraint: object = None
    mask_zero: bool = False
    name: str | None = None

    def __post_init__(self):
        super().__post_init__()
        need(self.input_dim > 0 and self.output_dim > 0,
             f"Embedding: input_dim={self.input_dim} and output_dim={self.output_dim} must be above 0")

    @property
    def count(self) -> int:
        """Of ids."""
        return self.input_dim

    def shape_of_output(self, shape):
        need(len(shape) == 1 or not self.mask_zero, f"Embedding: mask_zero=True is for ids of the shape (steps,), not {shown(shape)}")
        return (*shape, self.output_dim)

    def weights(self, shape):
        return [self.weight("embeddings", (self.input_dim, self.output_dim))]


class EncodingOperation(IdsOperation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        if layer.output_mode == "one_hot":
            b.y.ids = self.ids

    def forward(self):
        b, K = self.b, self.layer.num_tokens
        self.read()
        if b.y.ids_only:
            return
        y = b.y.value.reshape(-1, K, b.x.value.shape[1])
        y[:] = 0
        steps, columns = np.indices(self.ids.shape, sparse=True)
        if self.layer.output_mode == "count":
            np.add.at(y[0], (self.ids, columns), 1)
        else:
            y[steps if b.y.ids is not None else 0, self.ids, columns] = 1

    def backward(self, batch):
        pass


@dataclass(frozen=True)
class CategoryEncoding(Layer):
    """Encodes ids x[T] or x[T, 1] as vectors of 0 and 1, or of counts.

    A recurrent layer after "one_hot" uses the ids directly: it looks up rows of its kernel instead of multiplying.

    `name`: see Layer.

    Args:
        num_tokens: K, the number of ids, which are 0..K-1.
        output_mode: "one_hot": y[T, K], one vector per id; "multi_hot": y[K], 1 for each id that
            occurs; "count": y[K], how often each id occurs."""
    operation: ClassVar[type[Operation]] = EncodingOperation
    num_tokens: int
    output_mode: str = "multi_hot"
    name: str | None = None

    @property
    def count(self) -> int:
        """Of ids."""
        return self.num_tokens

    @property
    def supports_masking(self) -> bool:
        return self.output_mode == "one_hot"

    def __post_init__(self):
        super().__post_init__()
        need(self.num_tokens > 0, f"CategoryEncoding: num_tokens={self.num_tokens} must be above 0")
        need(self.output_mode in ("one_hot", "multi_hot", "count"),
             f"CategoryEncoding: output_mode={shown(self.output_mode)} is none of one_hot, multi_hot, count")

    def shape_of_output(self, shape):
        need(len(shape) == 1 or (len(shape) == 2 and shape[1] == 1),
             f"CategoryEncoding: its input has the shape {shown(shape)}, not (steps,)")
        steps = shape[:1] if self.output_mode == "one_hot" and shape != (1,) else ()
        return (*steps, self.num_tokens)


class MaskingOperation(Operation):
    def __init__(self, layer, b):
        super().__init__(layer, b)
        self.steps = b.x.value.reshape(b.shape[0], -1, b.x.value.shape[1])
        b.y.mask = zeros((b.shape[0], b.x.value.shape[1]), b.x.value.dtype)

    def forward(self):
        b = self.b
        np.any(self.steps != b.y.value.dtype.type(self.layer.mask_value), 1, out=b.y.mask)
        np.multiply(self.steps, b.y.mask[:, None], out=b.y.value.reshape(self.steps.shape))

    def backward(self, batch):
        if not self.b.first:
            np.multiply(self.b.y.grad.reshape(self.steps.shape), self.b.y.mask[:, None],
                        out=self.b.x.grad.reshape(self.steps.shape))


@dataclass(frozen=True)
class Masking(Layer):
    """Masks the steps of x[T, F] whose features are all equal to mask_value, and sets them to 0.

    `name`: see Layer.

    Args:
        mask_value: the value of all features at a masked step."""
    operation: ClassVar[type[Operation]] = MaskingOperation
    supports_masking: ClassVar[bool] = True
    makes_mask: ClassVar[bool] = True
    mask_value: float = 0.0
    name: str | None = None

    def shape_of_output(self, shape):
        need(len(shape) == 2, f"Masking: its input has the shape {shown(shape)}, not (steps, features)")
        return shape
