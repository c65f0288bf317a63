"""mrdl.ops and operators on symbols: each as Keras's own computes it, in both forms of JSON, with Keras's arguments."""
import inspect
import json

import keras
import numpy as np
import pytest
from keras_twins import of_keras

import mrdl
from mrdl import layers, ops
from mrdl.config import ConfigError

# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# with o: the ops of mrdl or of Keras; x of (4, 6, 8) and z of (1, 6, 8), above 0
CALLS = {
    "add": lambda o, x, z: [o.add(x, 2), o.add(2.5, x), o.add(x, z), x + z, 1 + x],
    "subtract": lambda o, x, z: [o.subtract(x, 2), o.subtract(2, x), x - z, 1 - x],
    "multiply": lambda o, x, z: [o.multiply(x, 2), o.multiply(2, x), x * z, 3 * x],
    "divide": lambda o, x, z: [o.divide(x, 3), o.divide(3, x), o.divide(x, z), 1 / x],
    "true_divide": lambda o, x, z: [o.true_divide(x, z), x / 7],
    "negative": lambda o, x, z: [o.negative(x), -x],
    "power": lambda o, x, z: [o.power(x, 3), x ** 0.5, x ** 2.3, x ** -2, 2 ** x, x ** 0, x ** 1.5, x ** -0.5],
    "maximum": lambda o, x, z: [o.maximum(x, z), o.maximum(x, 0.5), o.maximum(0.5, x)],
    "minimum": lambda o, x, z: [o.minimum(x, z), o.minimum(x, 0.5), o.minimum(0.5, x)],
    "clip": lambda o, x, z: [o.clip(x, 0.2, 0.6)],
    "abs": lambda o, x, z: [o.abs(x - 0.5), abs(x - 0.5)], "absolute": lambda o, x, z: [o.absolute(x - 0.5)],
    **{name: lambda o, x, z, name=name: [getattr(o, name)(x * 3 - 1)] for name in (
        "square", "exp", "relu", "relu6", "selu", "sigmoid", "hard_sigmoid", "log_sigmoid", "tanh", "softplus", "softsign", "silu", "swish",
        "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink", "sparse_plus", "squareplus")},
    **{name: lambda o, x, z, name=name: [getattr(o, name)(x * 9)] for name in ("sqrt", "rsqrt", "reciprocal", "log")},
    "leaky_relu": lambda o, x, z: [o.leaky_relu(x - 0.5), o.leaky_relu(x - 0.5, 0.1)], "elu": lambda o, x, z: [o.elu(x - 0.5, 0.3)],
    "gelu": lambda o, x, z: [o.gelu(x * 4 - 2), o.gelu(x * 4 - 2, False)],
    **{name: lambda o, x, z, name=name: [getattr(o, name)(x, axis, keepdims) for axis, keepdims in (
        (1, False), ((1, -1), True), ([2, 3], False), (-2, True), ((1, 2, 3), False))]
       for name in ("sum", "mean", "max", "min")},
    **{name: lambda o, x, z, name=name: [getattr(o, name)(x, (1, -1), True), getattr(o, name)(x, 2)] for name in ("var", "std", "logsumexp")},
    "softmax": lambda o, x, z: [o.softmax(x), o.softmax(x * 9, 1), o.softmax(x, axis=2)],
    "log_softmax": lambda o, x, z: [o.log_softmax(x), o.log_softmax(x, 1)],
    "norm": lambda o, x, z: [o.norm(x, axis=1), o.norm(x, 1, -1, True), o.norm(x, 2, 2)],
    "normalize": lambda o, x, z: [o.normalize(x), o.normalize(x, 1, 1), o.normalize(x * 0, 1)],
    "shape": lambda o, x, z: [o.reshape(x, (-1, o.shape(x)[1], 48))], "cast": lambda o, x, z: [o.cast(x, "float32") + 1],
    "reshape": lambda o, x, z: [o.reshape(x, (-1, 24, 8)), o.reshape(x, (-1, 4, 48))],
    "transpose": lambda o, x, z: [o.transpose(x, (0, 3, 1, 2))], "moveaxis": lambda o, x, z: [o.moveaxis(x, 1, 3), o.moveaxis(x, (1, 2), (-1, 1))],
    "swapaxes": lambda o, x, z: [o.swapaxes(x, 1, -1), o.swapaxes(x, 2, 1)],
    "expand_dims": lambda o, x, z: [o.expand_dims(x, 1), o.expand_dims(x, -1)], "squeeze": lambda o, x, z: [o.squeeze(z, 1), o.squeeze(z, -3)],
    "concatenate": lambda o, x, z: [o.concatenate([x, z], 1), o.concatenate([x, x], axis=-1)],
    "stack": lambda o, x, z: [o.stack([x, x + 1], 1), o.stack([x, x], axis=-1)],
    "split": lambda o, x, z: [*o.split(x, 3, 2), *o.split(x, [1, 3], axis=-1)],
    "flip": lambda o, x, z: [o.flip(x, 1), o.flip(x, (1, -1))],
    "matmul": lambda o, x, z: [o.matmul(x[:, 0], o.transpose(x[:, 1], (0, 2, 1))), x[:, 0, :, :6] @ x[:, 1]],
    "depth_to_space": lambda o, x, z: [o.depth_to_space(x, 2)], "space_to_depth": lambda o, x, z: [o.space_to_depth(x, 2, "channels_last")],
    "x[]": lambda o, x, z: [x[:, 1:, ::2], x[..., 0], x[:, None, 1], x[:, -1, ..., 2:4], x[:, 0], x[:, ::-1, 1:-1, -3:], x[:, :, 2:3][:, 1:]],
}


def missing(name):
    return name != "x[]" and not hasattr(keras.ops, name)


def test_every_operation_is_compared_with_that_of_keras():
    assert set(CALLS) - {"x[]"} == set(ops.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_an_operation_computes_as_in_keras_and_both_read_the_jsons_of_each_other(name):
    if missing(name):
        pytest.skip(f"this Keras has no ops.{name}")
    mine = [layers.Input(shape, name=letter) for letter, shape in (("x", (4, 6, 8)), ("z", (1, 6, 8)))]
    theirs = [keras.Input(shape, name=letter) for letter, shape in (("x", (4, 6, 8)), ("z", (1, 6, 8)))]
    model, twin = mrdl.Model(mine, CALLS[name](ops, *mine)), keras.Model(theirs, CALLS[name](keras.ops, *theirs))
    rng = np.random.default_rng(0)
    x = [rng.uniform(0.01, 1, (3, 4, 6, 8)).astype("f4"), rng.uniform(0.01, 1, (3, 1, 6, 8)).astype("f4")]
    arrays = [keras.ops.convert_to_tensor(array) for array in x]
    wanted = CALLS[name](keras.ops, *arrays)
    for one in (model, mrdl.model_from_json(twin.to_json()), of_keras(model)):
        got = one(arrays) if isinstance(one, keras.Model) else one.predict(x)
        for array, other in zip(got if isinstance(got, list) else [got], wanted, strict=True):
            np.testing.assert_allclose(np.asarray(array), np.asarray(other), rtol=3e-6, atol=2e-6, strict=True)
    again = mrdl.model_from_json(model.to_json())
    assert again.get_config() == model.get_config()


@pytest.mark.parametrize("name", ops.__all__)
def test_its_arguments_are_those_of_keras(name):
    if missing(name):
        pytest.skip(f"this Keras has no ops.{name}")
    ours, theirs = (inspect.signature(getattr(home, name)).parameters.values() for home in (ops, keras.ops))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("more", [lambda h: h + 1, lambda h: h * h, lambda h: h[:, ::-1], lambda h: -h / 2])
def test_an_operation_hands_no_mask_on_as_in_keras(more):
    x = keras.Input((5,))
    h = keras.layers.Embedding(4, 3, mask_zero=True)(x)
    twin = keras.Model(x, keras.layers.GRU(3)(more(h)))
    model = mrdl.model_from_json(twin.to_json())
    model.set_weights(twin.get_weights())
    x = np.array([[1, 2, 3, 0, 0], [3, 0, 0, 0, 0]], "f4")
    np.testing.assert_allclose(model.predict(x), twin.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("make, reason", [
    (lambda x: x[0], r"x\[\]: the first axis is the batch"), (lambda x: x[1:], "of which all is taken"), (lambda x: x[None], "the first axis"),
    (lambda x: x[:, 9], "index 9 is out of bounds"), (lambda x: x[:, 3:3], r"nothing is left"), (lambda x: x[:, :, :, 0], "names more axes"),
    (lambda x: x[:, [0, 1]], "numbers and slices"), (lambda x: x[..., 0, ...], "names more axes"), (lambda x: iter(x), "iterable"),
    (lambda x: ops.mean(x), "mean: axis=None would take the batch together"), (lambda x: ops.sum(x, 0), "behind the batch"),
    (lambda x: ops.max(x, 1.5), "whole number"), (lambda x: x + np.ones(3), "not what Input or the call"), (lambda x: x + "a", "not what Input"),
    (lambda x: x / 0, "x2 is 0"), (lambda x: x * np.inf, "finite number"), (lambda x: x * 10 ** 400, "finite number"), (lambda x: (-2) ** x, "must be above 0"),
    (lambda x: x ** x, "x1 or x2 must be a number"), (lambda x: x + x[:, 0], "different numbers of axes"), (lambda x: ops.exp(3), "for arrays there is numpy"),
    (lambda x: ops.reshape(x, (3, 4)), "must begin with -1"), (lambda x: ops.transpose(x), "must begin with 0"), (lambda x: ops.concatenate([x, x]), "behind the batch"),
    (lambda x: ops.stack([]), "takes a list"), (lambda x: ops.split(x, 2, 1), "do not make 2 parts"), (lambda x: ops.squeeze(x, 1), "is not of size 1"),
    (lambda x: ops.cast(x, "int32"), "has its own dtype"), (lambda x: ops.norm(x), "axis one axis"), (lambda x: ops.depth_to_space(x, 2), "height, width, channels"),
    (lambda x: ops.matmul(x, x[:, 0]), "must be matrices"), (lambda x: ops.moveaxis(x, (1, 2), 1), "as many axes")])
def test_what_an_operation_cannot_do_is_refused_in_one_line(make, reason):
    with pytest.raises((ConfigError, TypeError), match=reason) as error:
        make(layers.Input((3, 4)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make, reason", [
    (lambda x: keras.ops.sin(x), "the operation 'Sin': operations outside of layers that mrdl.ops does not have"),
    (lambda x: keras.ops.sum(x, 0, True) + x, "behind the batch"), (lambda x: x + np.ones(3, "f4"), "which is no tensor")])
def test_an_operation_that_mrdl_has_not_is_refused_by_name(make, reason):
    x = keras.Input((3,))
    with pytest.raises(ConfigError, match=reason) as error:
        mrdl.model_from_json(keras.Model(x, make(x)).to_json())
    assert "\n" not in str(error.value)


def of_two(name, function, call, kind="TFOpLambda"):
    """A model of one operation as Keras 2 writes it: tf.keras models with operators, as published in .h5 files."""
    def first(key, shape):
        return {"class_name": "InputLayer", "config": {"batch_input_shape": [None, *shape], "name": key}, "name": key, "inbound_nodes": []}
    return {"class_name": "Functional", "keras_version": "2.9.0", "config": {
        "name": "model", "layers": [first("x", (4, 6, 8)), first("z", (1, 6, 8)), {
            "class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", "function": function}, "name": name,
            "inbound_nodes": [call]}], "input_layers": [["x", 0, 0], ["z", 0, 0]], "output_layers": [[name, 0, 0]]}}


X, Z, ALL = ["x", 0, 0], ["z", 0, 0], {"start": None, "stop": None, "step": None}


@pytest.mark.parametrize("function, call, wanted", [
    ("__operators__.add", [*X, {"y": 3.0, "name": None}], lambda x, z: x + 3), ("math.multiply", [*X, {"y": Z}], lambda x, z: x * z),
    ("math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": X, "name": None}], lambda x, z: 1 - x), ("math.truediv", [*X, {"y": Z}], lambda x, z: x / z),
    ("math.reduce_mean", [*X, {"axis": [1, 2], "keepdims": True}], lambda x, z: x.mean((1, 2), keepdims=True)),
    ("compat.v1.squeeze", [*Z, {"axis": [1], "name": None}], lambda x, z: z[:, 0]), ("nn.relu", [*X, {}], lambda x, z: x.clip(0)),
    ("reshape", [*X, {"shape": [-1, 24, 8]}], lambda x, z: x.reshape(-1, 24, 8)), ("clip_by_value", [*X, {"clip_value_min": -0.5, "clip_value_max": 0.5}], lambda x, z: x.clip(-0.5, 0.5)),
    ("concat", [[*X, {"axis": 1}], [*Z, {"axis": 1}]], lambda x, z: np.concatenate([x, z], 1)),
    ("__operators__.getitem", [*X, {"slice_spec": [ALL, {"start": 1, "stop": None, "step": 2}]}], lambda x, z: x[:, 1::2]),
    ("__operators__.getitem", [*X, {"slice_spec": [{"class_name": "__ellipsis__"}, 0]}], lambda x, z: x[..., 0])])
def test_an_operation_of_keras_2_is_read(function, call, wanted):
    model = mrdl.model_from_json(json.dumps(of_two("op", function, call, "SlicingOpLambda" if "getitem" in function else "TFOpLambda")))
    x, z = (np.random.default_rng(0).standard_normal((3, *shape)).astype("f4") for shape in ((4, 6, 8), (1, 6, 8)))
    np.testing.assert_allclose(model.predict([x, z]), wanted(x, z), rtol=1e-6, atol=1e-6)


def test_a_function_of_tensorflow_that_mrdl_has_not_is_refused_by_name():
    with pytest.raises(ConfigError, match="TFOpLambda: the function 'io.read_file' of TensorFlow is not supported"):
        mrdl.model_from_json(json.dumps(of_two("op", "io.read_file", [*X, {}])))
