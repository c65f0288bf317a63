"""Arguments have Keras's names, places and defaults: Keras's own signatures are walked."""
import inspect

import keras
import numpy as np
import pytest
from keras_differences import DEFAULTS
from not_in_keras import NOT_IN_KERAS

import mrdl
from mrdl import (
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    places,
    regularizers,
    schedules,
)
from mrdl.config import ConfigError

CLASSES = [c for table in (layers.LAYERS, losses.LOSSES, metrics.METRICS, optimizers.OPTIMIZERS, schedules.SCHEDULES,
                           initializers.INITIALIZERS, regularizers.REGULARIZERS, constraints.CONSTRAINTS)
           for c in table if c not in NOT_IN_KERAS]


def in_places(thing):
    return [p for p in inspect.signature(thing).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]


def of_keras(cls):
    home = keras
    for name in cls.keras_module.split(".")[1:]:
        home = getattr(home, name)
    return getattr(home, cls.__name__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: f"{c.keras_module[6:]}.{c.__name__}")
def test_every_argument_stands_where_keras_has_it_with_its_default(cls):
    ours, theirs = in_places(cls), in_places(of_keras(cls))
    assert [p.name for p in ours] == [p.name for p in theirs]
    for mine, other in zip(ours, theirs):
        if {("*", mine.name), (cls.__name__, mine.name)}.isdisjoint(DEFAULTS):
            assert mine.default == other.default, mine.name


def test_every_class_of_the_table_is_one_of_keras():
    for section, name in places.CLASSES:
        home = keras.optimizers.schedules if section == "schedules" else getattr(keras, section)
        assert list(places.CLASSES[section, name][0]) == [p.name for p in in_places(getattr(home, name))]


@pytest.mark.parametrize("build", [
    lambda l: l.Flatten("channels_last"), lambda l: l.MaxPooling2D(2, 2, "same", "channels_last", "pool"),
    lambda l: l.Conv2D(3, (2, 2), 1, "same", "channels_last", 1, 1, "relu", activity_regularizer=None),
    lambda l: l.GlobalAveragePooling2D(None, True), lambda l: l.Dropout(0.5, None, 3), lambda l: l.UpSampling2D(2, None, "nearest"),
    lambda l: l.LSTM(3, "tanh", "sigmoid", True, unroll=True, use_cudnn=False), lambda l: l.Embedding(4, 2, weights=None),
    lambda l: l.Dense(3, "relu", dtype="float32", trainable=True, autocast=True, lora_rank=None),
    lambda l: l.BatchNormalization(-1, 0.9, synchronized=False)])
def test_what_asks_for_nothing_is_accepted_as_keras_does(build):
    ours, theirs = build(layers).get_config(), build(keras.layers).get_config()
    for key, value in ours.items():
        if key != "name" and "initializer" not in key:
            assert value == (list(theirs[key]) if isinstance(theirs[key], tuple) else theirs[key]), key


@pytest.mark.parametrize("build, reason", [
    (lambda: layers.Flatten("channels_first"), "Flatten: data_format='channels_first' is not supported; reshape or transpose x"),
    (lambda: layers.Conv2D(3, 2, 1, "same", "channels_first"), "Conv2D: data_format='channels_first'"),
    (lambda: layers.Dense(3, activity_regularizer="l2"), "Dense: activity_regularizer='l2' is not supported; there are penalties on weights"),
    (lambda: layers.Dense(3, dtype="float16"), "Dense: dtype='float16' is not supported; the model has the dtype"),
    (lambda: layers.Embedding(4, 2, weights=[np.zeros((4, 2))]), "Embedding: weights=.* is not supported; call model.set_weights"),
    (lambda: losses.MeanSquaredError("sum"), "MeanSquaredError: reduction='sum' is not supported"),
    (lambda: layers.Input((3,), dtype="string"), "Input: dtype='string' is not supported; give numbers")])
def test_what_asks_for_more_is_refused_with_what_to_do(build, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("build, reason", [
    (lambda: layers.Flatten(None, "flat"), "Flatten takes 1 arguments by place"), (lambda: layers.Dense(3, units=4), "units is given twice"),
    (lambda: layers.Dense(3, colour=4), "colour")])
def test_other_arguments_are_type_errors(build, reason):
    with pytest.raises(TypeError, match=reason):
        build()


def test_the_first_layer_may_give_the_shape():
    for first in (layers.Dense(3, input_shape=(4,)), layers.Dense(3, input_dim=4), layers.Dense(3, "linear", input_shape=[4])):
        model = mrdl.Sequential([first, layers.Dense(2, input_shape=(9,))])
        assert model.input_shape == (4,) and model.count_params() == 4 * 3 + 3 + 3 * 2 + 2
        assert first == layers.Dense(3) and "input" not in str(first.get_config())
    assert layers.Input(batch_shape=(None, 3), batch_size=8, dtype="int32") == layers.Input((3,))
