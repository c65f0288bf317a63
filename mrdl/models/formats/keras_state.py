"""Where Keras keeps the state of an optimizer in its HDF5 files.

Keras 3 (in .keras and .weights.h5): optimizer/vars/NUMBER. Before, and in whole-model .h5 files: an attribute names the variables
of the optimizer, in their order.
"""
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from mrdl.config import need, shown
from mrdl.layers.layer import Weight
from mrdl.models.formats.hdf5 import Contents
from mrdl.optimizers import Adafactor
from mrdl.optimizers.adafactor import product
from mrdl.optimizers.moments import WARMED
from mrdl.schedules import Schedule

IN_PAIRS = ("Adadelta", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Nadam")      # Keras has their first two slots weight by weight
STATE = "optimizer_weights"     # the group of that state in .h5 files
VARS = "optimizer/vars"         # and in Keras 3's files
MOST = 1 << 53                  # updates and epochs are below
HINT = "; load_model(path, updater=False) begins with a fresh optimizer"


def put(flat: np.ndarray, weight: Weight, start: int, values: np.ndarray | None, what: str) -> None:
    """Sets one weight in the flat vector from a tensor of Keras; ConfigError if it has another shape."""
    need(values is not None, f"{what} is missing")
    need(values.shape == weight.keras, f"{what} has the shape {shown(values.shape)}, not {weight.keras}")
    with np.errstate(over="ignore"):                    # a number of float64 too large for float32 becomes infinity, as in Keras
        weight.from_keras(values.astype(flat.dtype), flat[start:start + weight.size])


def trained(model) -> list[tuple[str, Weight, int]]:
    """(name, weight, start) of what the optimizer changes, in Keras's order."""
    return [(f"{step.name}/{weight.name}", weight, start) for step, weight, start in model.places() if weight.trainable]


def order(optimizer, weights: list[tuple[str, Weight, int]], apart: bool = False) -> Iterator[tuple[int, Weight, int]]:
    """(slot, weight, start) of each tensor of the optimizer's state, in Keras's order.

    Args:
        optimizer: an optimizer.
        weights: as `trained` gives them.
        apart: whether each slot's tensors come together, as in Keras 2.0 to 2.10."""
    for slot in range(optimizer.slots, optimizer.vectors):      # the moving average, the sum of gradients
        for _, weight, start in weights:
            yield slot, weight, start
    if type(optimizer).__name__ == "Muon":
        for name, weight, start in weights:
            for slot in range(1 if optimizer.is_matrix(name, weight.keras) else 2):
                yield slot, weight, start
        return
    together = 2 if type(optimizer).__name__ in IN_PAIRS and not apart else 1
    slots = list(range(optimizer.slots))
    for group in [slots[:together], *([slot] for slot in slots[together:])]:
        for _, weight, start in weights:
            for slot in group:
                yield slot, weight, start


def means(optimizer, slot: int, weight: Weight) -> bool:
    """Does Keras keep three tensors for this one: means over its last axis, over its last but one, and their product?"""
    return isinstance(optimizer, Adafactor) and slot < optimizer.slots and len(weight.keras) > 1


def shapes(optimizer, slot: int, weight: Weight) -> list[tuple[int, ...]]:
    """The shapes of Keras's tensors for a tensor of the state; numbers, which are no tensors, left out."""
    whole = weight.keras
    return [whole[:-1], (*whole[:-2], whole[-1]), whole] if means(optimizer, slot, weight) else [whole]


def given(optimizer, slot: int, weight: Weight, values: np.ndarray) -> list[np.ndarray]:
    """Keras's variables for a tensor of the state."""
    if not means(optimizer, slot, weight):
        of_vectors = isinstance(optimizer, Adafactor) and slot < optimizer.slots
        return [*[np.zeros((), "i4")] * (2 * of_vectors), weight.to_keras(values)]
    found = optimizer.means(values, weight.keras)
    if len(found) == 1:
        whole = weight.to_keras(values)
        return [whole.mean(-1), whole.mean(-2), whole]
    with np.errstate(invalid="ignore"):                 # before the first update all are 0
        return [np.array(found[0]), np.array(found[1]), np.nan_to_num(product(*found))]


def state(model) -> list[np.ndarray]:
    """The variables of a compiled model's optimizer, as Keras orders them."""
    optimizer, t = model.optimizer, model.iterations
    found = [np.array(t, "i4" if t < 1 << 31 else "i8")]
    if not isinstance(optimizer.learning_rate, Schedule):
        found.append(np.array(optimizer.learning_rate * model.rate_scale, "f4"))
    slots = optimizer.start(model.weights) if model.slots is None else model.slots
    for slot, weight, start in order(optimizer, trained(model)):
        found += given(optimizer, slot, weight, slots[slot, start:start + weight.size])
    if type(optimizer).__name__ == "Nadam":
        done = optimizer.updates(t)
        found.append(np.array(optimizer.beta_1 ** done * WARMED[min(done, 1000)], "f4"))
    return found


def take_state(model, variables: list[np.ndarray], note: dict[str, Any], source: str, apart: bool = False) -> None:
    """Sets the state of a model's optimizer; if it does not fit, raises ConfigError and changes nothing.

    Args:
        model: a compiled model with weights.
        variables: those of Keras's optimizer.
        note: what mrdl wrote besides: "epochs", "rate_scale".
        source: what the file is called in errors.
        apart: see `order`."""
    optimizer = model.optimizer
    numbers = [v for v in variables if v.shape == ()]
    tensors = [v for v in variables if v.shape != ()]
    wanted = [(*place, shape, number) for place in order(optimizer, trained(model), apart)
              for number, shape in enumerate(shapes(optimizer, *place[:2]))]
    if apart and len(tensors) > len(wanted) and (not wanted or all(v.shape == (1,) for v in tensors[len(wanted):])):
        tensors = tensors[:len(wanted)]                 # Keras 2.0 to 2.3 also has slots that are not used
    # Keras 2.0 counts in float32
    steps = [int(v) for v in numbers[:1] if v.dtype.kind in "iu" or apart and 0 <= v < MOST and v == np.rint(v)]
    t, epochs, scale = steps[0] if steps else 0, note.get("epochs", 0), note.get("rate_scale", 1.0)
    need(all(type(n) is int and 0 <= n < MOST for n in (t, epochs)) and type(scale) is float and 0 < scale < np.inf,
         f"{source}: the counts of its optimizer are damaged{HINT}")
    slots = optimizer.start(model.weights)
    if tensors:                                         # else the optimizer had no slots yet, as what Keras 3 loads from .h5
        need(len(tensors) == len(wanted), f"{source}: the state of its optimizer has {len(tensors)} tensors, and "
             f"{type(optimizer).__name__} has {len(wanted)}{HINT}")
        for (slot, weight, start, shape, number), values in zip(wanted, tensors):
            need(values.shape == shape, f"{source}: the state of its optimizer does not fit the weights{HINT}")
            both = optimizer.means(slots[slot, start:start + weight.size], weight.keras) if means(optimizer, slot, weight) else ()
            if len(both) == 2 and number < 2:
                both[number][...] = values
            elif len(both) != 2 and shape == weight.keras and number in (0, 2):
                put(slots[slot], weight, start, values, source)
    rate = numbers[1] if len(numbers) > 1 and numbers[1].dtype.kind == "f" and not apart else None
    if rate is not None and not isinstance(optimizer.learning_rate, Schedule) and np.float32(optimizer.learning_rate) != np.float32(rate):
        model.optimizer = dataclasses.replace(optimizer, learning_rate=float(rate))
    model.slots, model.iterations, model.epochs, model.rate_scale = slots, t, epochs, scale


def stored_state(contents: Contents) -> tuple[list[np.ndarray], bool] | None:
    """The variables of the optimizer in a file, and whether they are `apart` (see `order`); None if there are none."""
    names = contents.names(STATE, "weight_names")
    if names:
        found = [contents.arrays.get(f"{STATE}/{name}") for name in names]
        return [v for v in found if v is not None], names[0].rpartition("/")[2].partition(":")[0] != "iteration"
    count = sum(path.startswith(f"{VARS}/") for path in contents.arrays)
    found = [contents.arrays.get(f"{VARS}/{i}") for i in range(count)]
    return ([v for v in found if v is not None], False) if found else None
