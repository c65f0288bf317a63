"""Checks the arrays that users give, and joins them to one array that a model can read."""
import math
import numbers as numbers_of
from dataclasses import replace

import numpy as np

from mrdl.config import ConfigError, need, shown
from mrdl.data.sparse import Csr, beside_each_other
from mrdl.data.windows import Arrays
from mrdl.layers.operation import Shape
from mrdl.training.protocol import LayeredModel


def numbers(array, name: str, dtype: np.dtype) -> np.ndarray:
    """Converts the array to a type that blocks can store: bytes stay bytes, other whole numbers become int32 if they fit,
    else floats. Sparse matrices (of scipy, or of what has `tocsr` too) become a Csr."""
    if hasattr(array, "column_names") and hasattr(array, "to_pydict"):      # a table of Arrow
        array = np.column_stack([array.column(i).to_numpy() for i in range(len(array.column_names))])
    elif hasattr(array, "detach"):              # a tensor of torch
        array = array.detach().cpu().numpy()
    elif hasattr(array, "iloc"):                # of pandas; its columns may be of several types
        array = array.to_numpy()
        if array.dtype == object and all(isinstance(value, (bool, numbers_of.Number, np.bool_)) for value in array.flat):
            array = array.astype(dtype)
    if hasattr(array, "tocsr"):
        try:
            array = Csr.of(array)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None
    if isinstance(array, Csr):
        values = numbers(array.values, name, dtype)
        return replace(array, values=values.astype(np.int32) if values.dtype == np.uint16 else values)
    try:
        array = np.ascontiguousarray(array)
    except ValueError as error:                 # the rows differ in length
        raise ConfigError(f"{name}: {error}") from None
    need(array.dtype.kind in "buif", f"{name} holds {array.dtype}, not numbers" + (
        ": convert it first, as with .astype('float32')" if array.dtype == object else ""))
    if array.dtype.name in ("uint8", "uint16", "int32", "float32", "float64"):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    fits = array.dtype.kind in "bui" and (array.size == 0 or (
        array.min() >= -2 ** 31 and array.max() < 2 ** 31))
    return array.astype(np.int32 if fits else dtype)


def joined(given, names: list[str], what: str, dtype: np.dtype):
    """Joins the arrays of several inputs or outputs, given as a list or as a dict by name, to one array."""
    if isinstance(given, dict) and not hasattr(given, "tocsr"):     # one of scipy's sparse matrices is a dict
        need(set(given) == set(names), f"{what} has the names {shown(sorted(given))}, not {', '.join(names)}")
        given = [given[name] for name in names]
    if len(names) == 1 or not isinstance(given, (list, tuple)):
        return numbers(given[0] if isinstance(given, list) and len(given) == 1 == len(names)
                       and np.ndim(given[0]) else given, what, dtype)
    need(len(given) == len(names), f"{what} is a list of {len(given)}, not of {len(names)}: {', '.join(names)}")
    each = [numbers(one, f"{what} {name}", dtype) for one, name in zip(given, names)]
    need(len({len(one) for one in each}) == 1, f"{what}: the arrays differ in length")
    each = [one if isinstance(one, Csr) else one.reshape(len(one), math.prod(one.shape[1:])) for one in each]
    if any(isinstance(one, Csr) for one in each):
        return beside_each_other([one if isinstance(one, Csr) else Csr.from_dense(one) for one in each]).stored(np.dtype(dtype))
    return np.concatenate(each, 1)


def checked(model: LayeredModel, x, y, w=None) -> Arrays:
    """The examples as arrays, converted as for blocks; ConfigError if they do not fit the model."""
    arrays = {"x": joined(x, model.input_names(), "x", model.dtype),
              "y": joined(y, model.output_names(), "y", model.dtype)}
    need(not isinstance(arrays["y"], Csr), "y must be an array, not a sparse matrix")
    if w is not None:
        arrays["w"] = numbers(w, "sample_weight", model.dtype).astype(model.dtype, copy=False)
        if arrays["w"].shape[1:] == (1,):
            arrays["w"] = arrays["w"][:, 0].copy()
        need(arrays["w"].ndim == 1, "sample_weight must have one number per example, but has the shape "
             + shown(arrays["w"].shape))
        need(bool((arrays["w"] >= 0).all() and np.isfinite(arrays["w"]).all()),
             "sample_weight must be finite and not negative")
    lengths = {len(a) for a in arrays.values()}
    need(len(lengths) == 1 and 0 not in lengths, "x, y and the sample weights must have the same "
         "length, and not be empty; their lengths are "
         + ", ".join(str(len(array)) for array in arrays.values()))
    fitting(model, arrays["x"])
    y = arrays["y"]
    check_target(model.compiled(), y.shape[1:])
    heads, at, masked = model.heads(), 0, any(step.layer.makes_mask for step in model.stack())
    for head in heads:
        width = y[0].size if head.loss.free else head.loss.steps(head.shape) if head.loss.sparse else math.prod(head.shape)
        labels = y.reshape(len(y), -1)[:, at:at + width]
        if head.loss.sparse and y.dtype.kind == "f":
            need(bool(((labels == np.rint(labels)) & (abs(labels) < 2 ** 31)).all()),
                 f"{type(head.loss).__name__}: y must hold class numbers")
        if not masked:                          # targets of masked steps may be anything
            head.loss.check_range(labels)
        at += width
    return arrays


def check_target(model: LayeredModel, shape: Shape) -> None:
    """Raises ConfigError if targets with this shape (of one example) do not fit the outputs."""
    heads = model.heads()
    if len(heads) == 1:
        heads[0].loss.check(heads[0].shape, shape)
        return
    wanted = sum(head.loss.steps(head.shape) if head.loss.sparse else math.prod(head.shape) for head in heads)
    need(math.prod(shape) == wanted, f"the {len(heads)} outputs need {wanted} target values per example, but the targets "
         f"have {math.prod(shape)}")
    for head in heads:
        head.loss.check(head.shape, head.shape[:-1] if head.loss.sparse else head.shape)


def fitting(model: LayeredModel, x: np.ndarray) -> None:
    """Builds the model for examples with x's shape, unless it is built; ConfigError if its input has another shape."""
    model.build(x.shape[1:] if model.input_shape is None else None)
    need(x.shape[1:] == model.input_shape,
         f"the model takes examples of shape {model.input_shape}, not {shown(x.shape[1:])}")
