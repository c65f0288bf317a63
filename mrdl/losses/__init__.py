"""Losses, with Keras's names."""
from collections.abc import Callable

import numpy as np

from mrdl.config import snake
from mrdl.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from mrdl.losses.ctc import CTC
from mrdl.losses.errors import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
)
from mrdl.losses.focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from mrdl.losses.joint import Circle, Dice, Tversky
from mrdl.losses.loss import Loss

LOSSES = [SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy,
          MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError,
          MeanSquaredLogarithmicError, Huber, LogCosh, Hinge, SquaredHinge, CategoricalHinge,
          KLDivergence, Poisson, CosineSimilarity, BinaryFocalCrossentropy, CategoricalFocalCrossentropy,
          CategoricalGeneralizedCrossEntropy, Dice, Tversky, Circle, CTC]


def _function(cls: type[Loss], name: str) -> Callable[..., np.ndarray]:
    """Keras's function of a loss."""
    def loss(y_true, y_pred, **arguments):
        return cls(**arguments).rows(y_true, y_pred)
    loss.__name__ = loss.__qualname__ = name
    loss.__doc__ = f"""The losses of {cls.__name__}, one for each row; or give the function itself to `compile`.

    Args:
        y_true: targets, as for the loss.
        y_pred: outputs [..., units].
        **arguments: those of {cls.__name__}."""
    return loss


globals().update({name: _function(cls, name) for cls in LOSSES for name in (snake(cls.__name__), *cls.aliases)})
