"""A small model, ParameterAveraging with options for few rows, and all bits of a run."""
import json

import pytest
from models import bits

import mrdl
from mrdl import ParameterAveraging, Sequential
from mrdl.layers import Dense
from mrdl.runs.run import Run


def network(units=3, optimizer="adam", **options):
    model = Sequential([Dense(8, "relu"), Dense(units, "softmax")], **options)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def averaging(**options):
    """`options`: others of ParameterAveraging, or other values."""
    return ParameterAveraging(**{"workers": 2, "batch_size": 8, "averaging_frequency": 3,
                                 "runner": "inline", **options})


def died(model, data, run, at, **options):
    """A run that ends in round `at`, as its driver dies, and is resumed."""
    def killed(event, facts):
        if event == "round" and facts["round"] == at:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        averaging(**options).fit(model, data, run=str(run), told=killed)
    mrdl.resume(str(run), "inline")


def whole(run):
    """All bits that a finished run gives, and its history without what clocks say."""
    history = [{k: v for k, v in line.items() if k not in ("elapsed", "seconds", "job")} for line in Run(run).history()]
    model = mrdl.load_model(str(run))
    return bits(model), model.iterations, model.epochs, json.dumps(history)


def same_there(data, folder, runner, resident, **options):
    """Are the bits of a run on another runner, or in rounds of another kind, those of plain rounds on the inline one?"""
    averaging(**options).fit(network(), data, run=str(folder / "once"))
    averaging(**options, runner=runner, resident=resident, cores=2).fit(network(), data, run=str(folder / "run"))
    return whole(folder / "run") == whole(folder / "once")
