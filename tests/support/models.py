"""A small classifier and rows for it, for several tests."""
import numpy as np

import mrdl
from mrdl.layers import Dense, Dropout, Input
from mrdl.regularizers import L1L2


def arrays(n=50, seed=0):
    """Rows of 6 numbers whose sums of pairs decide the class of 3."""
    x = np.random.default_rng(seed).standard_normal((n, 6)).astype("f4")
    return x, (x.reshape(n, 3, 2).sum(2)).argmax(1)


def classifier(optimizer="adam", dtype="float32", loss="sparse_categorical_crossentropy",
               metrics=("accuracy",)):
    model = mrdl.Sequential([Input(6), Dense(16, "relu", kernel_regularizer=L1L2(1e-4, 1e-3)),
                             Dropout(0.2), Dense(3, "softmax")], dtype=dtype)
    model.compile(optimizer, loss, metrics=metrics)
    return model


def bits(model):
    return model.weights.tobytes() + model.slots.tobytes()
