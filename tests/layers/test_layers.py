"""Every layer under every loss: gradients against differences, shapes, and batches of every size."""
import numpy as np
import pytest
from gradients import Probe
from mrdl.kernels import reference

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    ELU,
    Activation,
    AlphaDropout,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Input,
    LayerNormalization,
    LeakyReLU,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
)
from mrdl.layers.activations import ACTIVATIONS
from mrdl.losses import (
    CTC,
    LOSSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    Circle,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from mrdl.regularizers import L1, L1L2, L2, REGULARIZERS

WAYS_IN = {                                     # from 6 features to 6, whatever the shape before
    "as it is": [Input(6)],
    "rescaled": [Input(6), Rescaling(0.5, -0.25)],
    "rescaled twice": [Input(6), Rescaling(0.5, -0.25), Rescaling(-2.0, 0.5)],
    "flattened": [Input((2, 3)), Flatten()],
    "flattened, rescaled": [Input((3, 1, 2)), Flatten(), Rescaling(1.5)],
    "reshaped": [Input((2, 3)), Reshape((3, -1)), Reshape((6,))],
    "activated": [Input((2, 3)), Activation("tanh"), Flatten()],
    "dropped": [Input(6), Dropout(0.3)],
    "with noise": [Input((2, 3)), GaussianNoise(0.5), Flatten()],
    "prelu": [Input((2, 3)), PReLU("normal", shared_axes=1), Flatten()],
}
SHAPED = [Dense(12, "tanh"), Reshape((2, 2, 3))]
MIDDLES = {
    "nothing": [],
    **{f"Dense({a!r})": [Dense(5, a)] for a in ACTIVATIONS},
    **{f"Activation({a!r})": [Dense(4), Activation(a)] for a in ACTIVATIONS},
    "softmax, rescaled": [Dense(5, "softmax"), Rescaling(3.0, -1.0), Dense(4, "tanh")],
    "relu under relu": [Dense(7, "relu"), Dense(5, "relu"), Dense(4, "relu")],
    "relu, reshaped": [Dense(8, "relu"), Reshape((2, 4)), Flatten(), Dense(3, "tanh")],
    "relu, shaped activation": [Dense(6, "relu"), Reshape((3, 2)), Activation("sigmoid"),
                                Flatten()],
    "relu, rescaled": [Dense(5, "relu"), Rescaling(-0.5)],
    "relu, activated twice": [Dense(5, "relu"), Activation("relu"), Activation("tanh")],
    "relu, dropped": [Dense(8, "relu"), Dropout(0.4), Dense(5, "relu"), Dropout(0.2, seed=3)],
    "no bias": [Dense(5, "relu", use_bias=False), Dense(4, "sigmoid", use_bias=False)],
    "penalties": [Dense(5, "tanh", kernel_regularizer=L1(0.03), bias_regularizer=L2(0.2)),
                  Dense(4, "relu", kernel_regularizer=L1L2(0.02, 0.05), bias_regularizer="l1")],
    **{repr(layer): [Dense(5), layer] for layer in (
        ReLU(), ReLU(1.5, 0.3, 0.2), ReLU(6.0), LeakyReLU(), ELU(0.7), Softmax(), Dropout(0.5),
        GaussianNoise(0.7), GaussianDropout(0.4), AlphaDropout(0.4, seed=2), PReLU("normal"))},
    "relu under prelu": [Dense(7, "relu"), PReLU("normal", L2(0.3)), Dense(5, "relu"),
                         AlphaDropout(0.2), Dense(4)],
    **{repr(layer): [*SHAPED, layer, Flatten()] for layer in (
        PReLU("normal", shared_axes=(1, 2)), PReLU("normal", L1(0.1), shared_axes=2), SpatialDropout2D(0.4))},
    "channels of steps": [*SHAPED, Reshape((4, 3)), SpatialDropout1D(0.4, seed=1), Flatten()],
}
ENDS = {
    "sparse": ([Dense(3, "softmax")], SparseCategoricalCrossentropy()),
    "categorical": ([Dense(3, "softmax", kernel_regularizer="l2")], CategoricalCrossentropy()),
    "binary": ([Dense(3, "sigmoid", use_bias=False)], BinaryCrossentropy()),
    "squared": ([Dense(3)], MeanSquaredError()),
}
OTHER_ENDS = {
    "Activation, sparse": ([Dense(3), Activation("softmax")], SparseCategoricalCrossentropy()),
    "Activation, categorical": ([Dense(3), Activation("softmax"), Flatten()],
                                CategoricalCrossentropy()),
    "Activation, binary": ([Dense(4), Reshape((2, 2)), Activation("sigmoid")],
                           BinaryCrossentropy()),
    "Softmax, sparse": ([Dense(3), Softmax()], SparseCategoricalCrossentropy()),
    "squared, prelu": ([Dense(3), PReLU("normal")], MeanSquaredError()),
    "squared, with noise": ([Dense(3), GaussianNoise(0.5)], MeanSquaredError()),
    "sparse logits": ([Dense(3)], SparseCategoricalCrossentropy(from_logits=True)),
    "categorical logits": ([Dense(3, "tanh")], CategoricalCrossentropy(from_logits=True)),
    "binary logits": ([Dense(2), Rescaling(2.0, 0.1)], BinaryCrossentropy(from_logits=True)),
    "categorical, smoothed": ([Dense(3, "softmax")], CategoricalCrossentropy(label_smoothing=0.2)),
    "binary, smoothed": ([Dense(3)], BinaryCrossentropy(True, label_smoothing=0.3)),
    "absolute": ([Dense(3)], MeanAbsoluteError()),
    "percentage": ([Dense(3, "tanh")], MeanAbsolutePercentageError()),
    "logarithmic": ([Dense(3, "sigmoid")], MeanSquaredLogarithmicError()),
    "logarithmic, below 0 too": ([Dense(4)], MeanSquaredLogarithmicError()),
    "huber": ([Dense(4)], Huber()), "huber, narrow": ([Dense(4)], Huber(0.3)),
    "log cosh": ([Dense(3), Rescaling(3.0)], LogCosh()),
    "hinge": ([Dense(4, "tanh")], Hinge()), "squared hinge": ([Dense(4), Rescaling(2.0)], SquaredHinge()),
    "categorical hinge": ([Dense(4)], CategoricalHinge()),
    "categorical hinge, rows": ([Dense(8), Reshape((2, 4))], CategoricalHinge()),
    "divergence": ([Dense(3, "softmax")], KLDivergence()),
    "divergence, rows": ([Dense(6), Rescaling(0.7, 0.3), Reshape((2, 3))], KLDivergence()),
    "poisson": ([Dense(3, "sigmoid")], Poisson()),
    "focal": ([Dense(3, "sigmoid")], BinaryFocalCrossentropy()), "focal logits": ([Dense(3)], BinaryFocalCrossentropy(True, from_logits=True)),
    "focal, of classes": ([Dense(4, "softmax")], CategoricalFocalCrossentropy(label_smoothing=0.1)),
    "generalized": ([Dense(8), Reshape((2, 4)), Activation("softmax")], CategoricalGeneralizedCrossEntropy(0.7)),
    "dice": ([Dense(6, "sigmoid"), Reshape((3, 2))], Dice()), "tversky": ([Dense(6, "sigmoid"), Reshape((3, 2))], Tversky(0.3, 0.8, axis=1)),
    "circle": ([Dense(3), LayerNormalization(), Rescaling(3 ** -0.5)], Circle(4.0)), "ctc": ([Dense(12), Reshape((4, 3))], CTC()),
    "cosine": ([Dense(3)], CosineSimilarity()),
    "cosine, rows": ([Dense(6, "tanh"), Reshape((3, 2))], CosineSimilarity()),
    "squared, shaped": ([Dense(6, "relu"), Reshape((3, 2))], MeanSquaredError()),
    "squared, dropped": ([Dense(6), Dropout(0.5)], MeanSquaredError()),
    **{f"squared Dense({a!r})": ([Dense(3, a)], MeanSquaredError()) for a in ACTIVATIONS},
    **{f"squared Activation({a!r})": ([Dense(3), Activation(a)], MeanSquaredError())
       for a in ACTIVATIONS},
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("middle", MIDDLES)
def test_the_gradient_of_every_layer_under_every_loss_is_that_of_the_differences(middle, end):
    last, loss = ENDS[end]
    Probe([Input(6), Dense(6, "tanh"), *MIDDLES[middle], *last], loss).check()


@pytest.mark.parametrize("way_in", WAYS_IN)
@pytest.mark.parametrize("middle", ["nothing", "Dense('relu')"])
def test_the_gradient_holds_for_every_way_into_the_network(way_in, middle):
    last, loss = ENDS["sparse"]
    Probe([*WAYS_IN[way_in], *MIDDLES[middle], *last], loss).check()


@pytest.mark.parametrize("end", OTHER_ENDS)
@pytest.mark.parametrize("middle", ["nothing", "Dense('relu')", "relu, dropped"])
def test_the_gradient_holds_for_every_end_of_the_network(middle, end):
    last, loss = OTHER_ENDS[end]
    Probe([Input(6), *MIDDLES[middle], *last], loss).check()


@pytest.mark.parametrize("weighting", [{}, {"weighted": True}, {"class_weight": {0: 2.5, 2: 0.5}},
                                       {"weighted": True, "class_weight": {1: 3.0}}],
                         ids=["plain", "sample weights", "class weights", "both"])
@pytest.mark.parametrize("n", [1, 5, 16, 17, 40])
def test_the_gradient_holds_for_every_batch_and_weighting_also_after_a_larger_one(n, weighting):
    layers = [Input(6), Rescaling(2.0, 1.0), *MIDDLES["relu, dropped"], Dense(3, "softmax")]
    probe = Probe(layers, SparseCategoricalCrossentropy(), n, buffers=48, **weighting)
    probe.step(np.arange(48), 0.0)
    probe.check()


@pytest.mark.parametrize("middle", ["relu, dropped", "softmax, rescaled", "penalties",
                                    "relu under prelu", "channels of steps", "Dense('gelu')",
                                    repr(GaussianDropout(0.4))])
def test_larger_buffers_do_not_change_a_bit(middle):
    layers = [Input(6), *MIDDLES[middle], Dense(3, "softmax")]
    loss = SparseCategoricalCrossentropy()
    small, large = (Probe(layers, loss, 5, buffers=n) for n in (5, 100))
    large.step(np.arange(64), 0.0)
    assert small.gradient().tobytes() == large.gradient().tobytes()


def test_a_batch_is_the_mean_of_its_examples():
    probe = Probe([Input(6), Dense(4, "tanh"), Dense(3, "softmax")],
                  SparseCategoricalCrossentropy(), 7, weighted=True)
    whole, index, each = probe.gradient(), probe.index, []
    for i in index:
        probe.index = np.array([i])
        each.append(probe.gradient())
    np.testing.assert_allclose(whole, np.mean(each, 0), rtol=1e-10, atol=1e-15)


def test_the_tables_hold_every_activation_loss_and_regularizer():
    stacks = [*WAYS_IN.values(), *MIDDLES.values(),
              *(last for last, _ in [*ENDS.values(), *OTHER_ENDS.values()])]
    layers = [layer for stack in stacks for layer in stack]
    assert {type(loss) for _, loss in [*ENDS.values(), *OTHER_ENDS.values()]} == set(LOSSES)
    for kind in (Dense, Activation):
        assert {m.activation for m in layers if type(m) is kind} == set(ACTIVATIONS)
    used = {type(getattr(m, f"{part}_regularizer")) for m in layers if type(m) is Dense
            for part in ("kernel", "bias")}
    assert used - {type(None)} == set(REGULARIZERS)


# -- shapes

@pytest.mark.parametrize("layer, shape, wanted", [
    (Dense(3), (4,), (3,)), (Activation("relu"), (2, 3), (2, 3)), (Activation("softmax"), (4,), (4,)),
    (Dropout(0.5), (2, 3), (2, 3)), (Rescaling(2.0), (5,), (5,)), (Flatten(), (2, 3, 4), (24,)),
    (ReLU(), (2, 3), (2, 3)), (Softmax(), (4,), (4,)), (PReLU(shared_axes=[2]), (2, 3), (2, 3)),
    (PReLU(), (4,), (4,)), (SpatialDropout1D(0.5), (2, 3), (2, 3)), (GaussianNoise(0.5), (), ()),
    (SpatialDropout2D(0.5), (2, 3, 4), (2, 3, 4)), (AlphaDropout(0.5), (2, 3), (2, 3)),
    (GaussianDropout(0.5), (2,), (2,)), (LeakyReLU(), (2,), (2,)), (ELU(), (2, 1), (2, 1)),
    (Flatten(), (), (1,)), (Reshape((3, 2)), (6,), (3, 2)), (Reshape((-1, 2)), (3, 4), (6, 2)),
    (Reshape((-1,)), (2, 2), (4,)), (Reshape(()), (1,), ()),
])
def test_the_shape_that_comes_out(layer, shape, wanted):
    assert layer.shape_of_output(shape) == wanted
    model = mrdl.Sequential([Input(shape), layer])
    assert model.output_shape == wanted
    for n in (0, 1, 3):
        assert model.predict(np.ones((n, *shape))).shape == (n, *wanted)


@pytest.mark.parametrize("layers, reason", [
    ([Input(()), Dense(3)], r"layer 1, Dense: its input must have at least one axis, but an example is a single number: put Reshape\(\(1,\)\)"),
    ([Input((2, 3)), PReLU(shared_axes=3)], r"PReLU: shared_axes=\(3,\) do not fit an input of shape \(2, 3\)"),
    ([Input(6), SpatialDropout1D(0.5)], r"SpatialDropout1D: its input .* needs 2 axes"),
    ([Input((2, 3)), SpatialDropout2D(0.5)], r"SpatialDropout2D: its input .* needs 3 axes"),
    ([Input(6), Dense(4), Reshape((3, 2))], r"layer 2, Reshape: 4 features do not fit \(3, 2\)"),
    ([Input(6), Reshape((4, -1))], "6 features"), ([Input(6), Reshape((-1, -1))], "6 features"),
    ([Input(6), Reshape((0, -1))], "6 features"), ([Input(6), Reshape((-2, -3))], "6 features"),
    ([Dense(3), Input(6)], "Input must be the first"), ([Input(3), Input(3)], "Input must be"),
    ([Input(3), "dense"], "'dense' is not a layer"), ([Dense], "is not a layer"),
    ([Input(3), Dense(2, name="a"), Dense(2, name="a")], "two layers have the name 'a'"),
])
def test_layers_that_do_not_fit_are_refused_with_their_place(layers, reason):
    with pytest.raises(ConfigError, match=reason):
        mrdl.Sequential(layers)
    model = mrdl.Sequential(layers[:-1])
    before = model.to_json()
    with pytest.raises(ConfigError, match=reason):
        model.add(layers[-1])
    assert model.to_json() == before


# -- what a layer computes

COMPOSED = {
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1), "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_shrink": lambda x: np.where(abs(x) > 0.5, x, 0), "soft_shrink": lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0),
    "tanh_shrink": lambda x: x - np.tanh(x), "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "sparse_plus": lambda x: np.where(x < -1, 0, np.where(x > 1, x, (x + 1) ** 2 / 4)), "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2}


def elementwise(name):
    if name in COMPOSED:
        return COMPOSED[name]
    function, _, _, parameters = reference.ACTIVATIONS[name]
    return lambda x: function(x, *parameters)


@pytest.mark.parametrize("name, function", [
    *((name, elementwise(name)) for name in ACTIVATIONS if name != "softmax"),
    ("softmax", lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True))])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_activation_computes_its_formula(name, function, dtype):
    x = np.random.default_rng(0).standard_normal((19, 5)).astype(dtype)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    got = mrdl.Sequential([Input(5), Activation(name)], dtype=dtype).predict(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, function(x), rtol=tolerance, atol=tolerance)
    model = mrdl.Sequential([Input(5), Dense(4, name)], dtype=dtype).build(seed=1)
    kernel, bias = model.get_weights()
    model.set_weights([kernel, bias + dtype_of(dtype)(0.5)])
    np.testing.assert_allclose(model.predict(x), function(x @ kernel + dtype_of(dtype)(0.5)),
                               rtol=tolerance, atol=tolerance)


def dtype_of(name):
    return np.dtype(name).type


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64", "int64", "bool", ">f4",
                                   ">i2", "float16"])
def test_examples_of_every_kind_of_number_are_taken(dtype):
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    got = mrdl.Sequential([Input(3), Rescaling(0.5, 1.0), Flatten()]).predict(x)
    assert (got == x.astype("f4") * 0.5 + 1).all()
