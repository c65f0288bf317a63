"""A small model, and ParameterAveraging with options for few rows."""
from mrdl import ParameterAveraging, Sequential
from mrdl.layers import Dense


def network(units=3, optimizer="adam", **options):
    model = Sequential([Dense(8, "relu"), Dense(units, "softmax")], **options)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def averaging(**options):
    """`options`: others of ParameterAveraging, or other values."""
    return ParameterAveraging(**{"workers": 2, "batch_size": 8, "averaging_frequency": 3,
                                 "runner": "inline", **options})
