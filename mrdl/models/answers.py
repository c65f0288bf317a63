"""What a model's outputs mean: the names of classes and their probabilities, or values."""
from collections.abc import Sequence

import numpy as np

from mrdl.losses import BinaryCrossentropy, Loss
from mrdl.models.model import Model

DIGITS = {"float32": 9, "float64": 17}        # all that a number of the type has


class Answers:
    """The columns that a model's outputs make.

    Args:
        model: whose outputs they are.
        names: of the classes, as the label's column has them; those that have none are numbers."""

    def __init__(self, model: Model, names: Sequence[str] = ()):
        shapes, self.classes = model.output_shapes(), []
        self.values = sum(int(np.prod(shape)) for shape in shapes)
        self.binary = self.values == 1 and model.output_activations() == ["sigmoid"] and (
            len(names) == 2 or isinstance(model.loss, BinaryCrossentropy))
        logits = isinstance(model.loss, Loss) and model.loss.sparse and len(shapes[0]) == 1 and not model.classifies
        self.what = "output" if logits else "probability"
        if model.classifies or self.binary or logits:
            self.classes = named(names, max(2, self.values))

    @property
    def columns(self) -> list[str]:
        """What they are called."""
        if self.classes:
            return ["prediction", *(f"{self.what}_{name}" for name in self.classes)]
        return ["prediction"] if self.values == 1 else [f"output{i}" for i in range(self.values)]

    def of(self, outputs: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The names of the classes that outputs[n, values] choose, where there are classes; the numbers of the columns after them."""
        chosen, outputs = self.chosen(outputs)
        return [self.classes[i] for i in chosen.tolist()], outputs

    def chosen(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `of`, with the numbers of the classes."""
        if self.binary:
            outputs = np.concatenate([1 - outputs, outputs], 1)
        return outputs.argmax(1) if self.classes else np.empty(0, "i8"), outputs


def named(names: Sequence[str], count: int) -> list[str]:
    """So many classes' names; numbers where there is no name."""
    return [names[i] if i < len(names) else str(i) if str(i) not in names else f"class {i}" for i in range(count)]


def flat(outputs: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """What `predict` gives, as one array [n, values]."""
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return np.concatenate([y.reshape(len(y), int(np.prod(y.shape[1:]))) for y in outputs], 1)
