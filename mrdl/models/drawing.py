"""Makes a model's initial weights: each by its initializer, with random numbers keyed by a seed and the layer."""
import numpy as np

from mrdl import limits


def drawn(model, seed: int) -> np.ndarray:
    """The flat vector of all weights: existing ones are kept, the others are initialised."""
    there, size = 0 if model.weights is None else len(model.weights), model.count_params()
    weights = model.empty(size)
    if there:
        weights[:there] = model.weights
    limits.allow(8 * max((w.size for _, w, _ in model.places()), default=0), "drawing the model's largest weight")
    for step, weight, start in model.places():
        if start >= there:
            weight.draw(weights[start:start + weight.size], seed, step.index)
    return weights
