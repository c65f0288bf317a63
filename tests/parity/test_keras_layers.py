"""Every layer in Keras itself, from mrdl's JSON and weights: the same outputs, and the same JSON back."""
import json
import re

import keras
import numpy as np
import pytest
from layer_cases import CASES

import mrdl
from mrdl import layers
from mrdl.cli.model_file import load
from mrdl.config import ConfigError
from mrdl.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    AlphaDropout,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Cropping1D,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    Input,
    LayerNormalization,
    LeakyReLU,
    MaxPooling1D,
    MaxPooling2D,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    SeparableConv2D,
    SimpleRNN,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from mrdl.layers.activations import ACTIVATIONS
from mrdl.regularizers import L1, L1L2

# name, layers, the shape of one example
TABLE = [
    ("Dense", [Dense(4, "relu"), Dense(3, use_bias=False)], (5,)),
    ("Dense, all its arguments", [Dense(4, "tanh", True, "he_normal", "ones", L1L2(0.1, 0.2), "l2")], (5,)),
    *((f"Dense {a}", [Dense(4, a)], (5,)) for a in ACTIVATIONS),
    *((f"Activation {a}", [Activation(a)], (5,)) for a in ACTIVATIONS),
    ("Activation of a shape", [Activation("gelu")], (2, 3)),
    ("Rescaling", [Rescaling(0.5, -1.0)], (2, 3)),
    ("Flatten", [Flatten()], (2, 3, 4)), ("Reshape", [Reshape((3, -1))], (2, 3, 4)),
    ("ReLU", [ReLU()], (2, 5)), ("ReLU, a ceiling", [ReLU(2.0)], (5,)), ("ReLU 6", [ReLU(6.0)], (5,)),
    ("ReLU, a slope", [ReLU(negative_slope=0.1)], (5,)),
    ("ReLU, a threshold", [ReLU(threshold=1.0)], (5,)),
    ("ReLU, a threshold and a slope", [ReLU(None, 0.2, 0.5)], (5,)),
    ("ReLU, all its arguments", [ReLU(1.5, 0.2, 0.5, name="own")], (5,)),
    ("LeakyReLU", [LeakyReLU(), LeakyReLU(0.05)], (2, 5)),
    ("ELU", [ELU()], (5,)), ("ELU, alpha", [ELU(0.3)], (2, 5)), ("Softmax", [Softmax()], (5,)),
    ("PReLU", [PReLU()], (2, 5)),
    ("PReLU, all its arguments", [PReLU("random_normal", L1(0.25), "non_neg", (1, 2))], (3, 2, 5)),
    ("PReLU, an axis in the middle", [PReLU("random_normal", shared_axes=2)], (3, 2, 5)),
    ("Dropout", [Dropout(0.5, seed=3), Dropout(0.5, (None, 1))], (5,)),
    ("SpatialDropout1D", [SpatialDropout1D(0.5), SpatialDropout1D(0.5, seed=3)], (4, 5)),
    ("SpatialDropout2D", [SpatialDropout2D(0.5), SpatialDropout2D(0.5, seed=3)], (4, 3, 5)),
    ("GaussianNoise", [GaussianNoise(0.5), GaussianNoise(0.5, seed=3)], (2, 5)),
    ("GaussianDropout", [GaussianDropout(0.5), GaussianDropout(0.5, seed=3)], (5,)),
    ("AlphaDropout", [AlphaDropout(0.5), AlphaDropout(0.5, seed=3)], (5,)),
    ("Conv2D", [Conv2D(5, 3, activation="tanh")], (6, 7, 3)),
    ("Conv2D, its arguments", [Conv2D(4, (3, 2), (2, 1), "same", use_bias=False, kernel_initializer="he_normal",
                                      kernel_regularizer=L1L2(0.1, 0.2), name="own")], (7, 6, 3)),
    ("Conv2D, dilation and groups", [Conv2D(4, 3, padding="same", dilation_rate=(2, 1), groups=2)], (7, 8, 4)),
    ("Conv2D, by fewer products", [Conv2D(20, 5, activation="relu")], (9, 12, 16)),
    ("Conv2D, then Dense", [Conv2D(5, 3, activation="relu"), Flatten(), Dense(3)], (6, 7, 3)),
    ("Conv1D", [Conv1D(4, 3, activation="sigmoid")], (9, 2)), ("Conv1D, same", [Conv1D(4, 4, 3, "same")], (10, 2)),
    ("Conv1D, causal", [Conv1D(4, 3, padding="causal", dilation_rate=2)], (9, 2)),
    ("Conv1D, causal and strides", [Conv1D(4, 4, 3, "causal")], (10, 2)),
    ("DepthwiseConv2D", [DepthwiseConv2D(3, depth_multiplier=2, activation="relu"), DepthwiseConv2D(2, 2, "same")],
     (6, 7, 3)),
    ("SeparableConv2D", [SeparableConv2D(5, 3, depth_multiplier=2, activation="tanh"),
                         SeparableConv2D(3, 2, padding="same", dilation_rate=2, use_bias=False)], (6, 7, 3)),
    *((f"Conv2DTranspose {k} {s} {p} {d}", [Conv2DTranspose(4, k, s, p, dilation_rate=d)], (5, 4, 3))
      for k in (2, (4, 3)) for s, d in ((1, 1), (1, 2), (2, 1), (3, 1)) for p in ("valid", "same")),
    *((f"{kind.__name__} {more}", [kind(**more)], (7, 8, 3)) for kind in (MaxPooling2D, AveragePooling2D)
      for more in ({"pool_size": (2, 2)}, {"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": (2, 3), "strides": (1, 2)})),
    *((f"{kind.__name__} {more}", [kind(**more)], (9, 3)) for kind in (MaxPooling1D, AveragePooling1D)
      for more in ({"pool_size": 2}, {"pool_size": 3, "strides": 2, "padding": "same"})),
    *((f"{kind.__name__} {more}", [kind(**more)], shape) for more in ({}, {"keepdims": True}) for kind, shape in (
        (GlobalMaxPooling2D, (4, 5, 3)), (GlobalAveragePooling2D, (4, 5, 3)),
        (GlobalMaxPooling1D, (5, 3)), (GlobalAveragePooling1D, (5, 3)))),
    ("ZeroPadding2D", [ZeroPadding2D(), ZeroPadding2D((1, 2)), ZeroPadding2D(((1, 0), (2, 1)))], (3, 4, 2)),
    ("ZeroPadding1D", [ZeroPadding1D(2), ZeroPadding1D((0, 2))], (3, 4)),
    ("Cropping2D", [Cropping2D(1), Cropping2D((0, 1)), Cropping2D(((1, 0), (2, 1)))], (5, 9, 2)),
    ("Cropping1D", [Cropping1D(), Cropping1D(2), Cropping1D((0, 1))], (9, 4)),
    ("UpSampling2D", [UpSampling2D(), UpSampling2D((1, 3))], (2, 3, 2)), ("UpSampling1D", [UpSampling1D(3)], (2, 3)),
    ("Permute", [Permute((2, 3, 1))], (2, 3, 4)), ("RepeatVector", [RepeatVector(3)], (4,)),
    *((f"{make.__name__}, {more}", [make(4, "relu" if more else "tanh", return_sequences=True, **more), make(3)], (6, 5))
      for make in (SimpleRNN, LSTM, GRU) for more in ({}, {"go_backwards": True, "use_bias": False})),
    ("GRU, reset before", [GRU(4, reset_after=False, recurrent_activation="hard_sigmoid")], (6, 5)),
    ("LSTM, its arguments", [LSTM(4, "softsign", "hard_sigmoid", unit_forget_bias=False, dropout=0.1, recurrent_dropout=0.2,
                                  recurrent_initializer="glorot_uniform", recurrent_regularizer="l2")], (6, 5)),
    *((f"Bidirectional, {mode}", [Bidirectional(LSTM(4, return_sequences=True), mode), Bidirectional(GRU(3), mode)], (6, 5))
      for mode in ("concat", "sum", "mul", "ave")),
    ("Bidirectional of two", [Bidirectional(LSTM(3), "sum", backward_layer=GRU(3, go_backwards=True, name="back"))], (6, 5)),
    ("BatchNormalization", [BatchNormalization(), BatchNormalization(1, 0.5, 0.1, scale=False)], (4,)),
    ("BatchNormalization of channels", [BatchNormalization(3, center=False, gamma_regularizer="l2")], (3, 2, 4)),
    ("LayerNormalization", [LayerNormalization(), LayerNormalization((1, 2), scale=False)], (4, 5)),
    ("Normalization", [Normalization()], (5,)), ("Normalization of channels", [Normalization(3)], (4, 2, 3)),
    ("Normalization of all", [Normalization(None), Normalization((2, 1), invert=True)], (4, 3)),
    ("Normalization, given", [Normalization(mean=2.0, variance=4.0, invert=True),
                              Normalization((1, -1), [[1], [2]], [[0.5], [9]], name="own"),
                              Normalization(-1, [1.0, 2, 3], [4, 0.5, 9])], (2, 3)),
    *((name, layers, shape) for name, (shape, layers) in CASES.items()),
    ("LayerNormalization of an image", [LayerNormalization((1, 2, 3), 0.1, name="own")], (4, 5, 2)),
]


def own(path):
    """layer/weight of Keras's path, which has a recurrent layer's cell, and the direction of two, in between."""
    layer, *_, name = path.removeprefix("sequential/").split("/")
    return f"{layer}/{name}"


@pytest.mark.parametrize("name, layers, shape", TABLE, ids=[name for name, *_ in TABLE])
def test_a_layer_computes_what_that_of_keras_does_and_its_json_comes_back(name, layers, shape):
    model, rng = mrdl.Sequential([Input(shape), *layers]).build(seed=1), np.random.default_rng(0)
    weights = [w + rng.uniform(-0.5, 0.5, w.shape).astype("f4") for w in model.get_weights()]
    model.set_weights(weights)
    theirs = keras.models.model_from_json(model.to_json())
    theirs.set_weights(weights)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Normalization):       # it computes with copies
            layer.finalize_state()
    assert [own(w.path) for w in theirs.weights if "seed" not in w.path] == [
        f"{step.name}/{re.sub('^(for|back)ward_', '', weight.name)}" for step in model.stack() for weight in step.weights]
    x = (3 * rng.standard_normal((20, *shape))).astype("f4")
    wanted = np.asarray(theirs(x, training=False))
    got = model.predict(x)
    assert got.shape == wanted.shape and np.ptp(wanted) > 0
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * max(1, abs(wanted).max()))
    again = mrdl.model_from_json(theirs.to_json())
    assert json.loads(again.to_json()) == json.loads(model.to_json())


def test_a_layer_has_the_shorter_names_that_keras_gives_it():
    names = [name for name, thing in vars(keras.layers).items()
             if any(getattr(thing, "__name__", "") == layer.__name__ for layer in layers.LAYERS)
             and not name.startswith("Convolution") and name not in ("DepthwiseConvolution2D", "SeparableConvolution2D")]
    assert len(names) > len(layers.LAYERS)
    for name in names:
        assert getattr(layers, name).__name__ == getattr(keras.layers, name).__name__ and name in layers.__all__


def test_every_activation_is_compared_with_that_of_keras():
    for kind in (Dense, Activation):
        assert {m.activation for _, layers, _ in TABLE for m in layers if type(m) is kind} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ["swish", "gelu", "leaky_relu", "hard_sigmoid"])
def test_every_form_in_which_keras_names_an_activation_is_read(name):
    function = keras.activations.get(name)
    wanted = Activation(function.__name__)
    for form in (name, keras.activations.serialize(function),
                 keras.saving.serialize_keras_object(function)):
        assert Activation(form) == wanted
    assert mrdl.model_from_json(keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, function)]).to_json()).layers[0].activation == wanted.activation


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")      # Keras's own
def test_a_model_of_keras_in_a_file_is_told_what_makes_it_ours(tmp_path):
    file = tmp_path / "net.py"
    file.write_text("import keras, numpy\nkeras_model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])\n"
                    "keras_model.set_weights([numpy.array([[1, 2]] * 3), numpy.array([0, 1])])\nmodel = keras_model\n")
    with pytest.raises(ConfigError, match="`model` is a model of Keras") as told:
        load(str(file))
    advice = re.findall("`(model.*?)`", str(told.value))[1:]
    file.write_text(file.read_text() + "\n".join(["import mrdl", *advice]))
    assert load(str(file)).predict(np.ones((1, 3), "f4")).tolist() == [[3, 7]]
