"""Convolution, pooling and the layers that move features: gradients, shapes, and what is refused."""
import math

import numpy as np
import pytest
from gradients import Probe
from layer_cases import CASES, RANDOM_CROP
from mrdl.kernels import typed

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import (
    Activation,
    AveragePooling1D,
    AveragePooling2D,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    ConvLSTM2D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    Input,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Permute,
    RepeatVector,
    Reshape,
    Resizing,
    SeparableConv2D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
    convolution_operations,
    operation,
)
from mrdl.losses import MeanSquaredError, SparseCategoricalCrossentropy
from mrdl.training import network

IMAGE, STEPS = (5, 4, 2), (7, 2)
ON_IMAGES = {
    "Conv2D": [Conv2D(3, 3)],
    "relu under relu": [Conv2D(3, 2, activation="relu"), Conv2D(2, 2, activation="relu")],
    "strides, same": [Conv2D(3, (3, 2), (2, 3), "same", activation="tanh")],
    "dilation, no bias": [Conv2D(2, 2, dilation_rate=(2, 1), use_bias=False)],
    "same, dilation": [Conv2D(2, 3, padding="same", dilation_rate=2, activation="relu")],
    "groups": [Conv2D(4, 2, groups=2, activation="sigmoid"), Conv2D(2, 2, groups=2, padding="same")],
    "a kernel larger than the image": [Conv2D(2, (7, 9), padding="same")],
    "penalties": [Conv2D(3, 2, kernel_regularizer="l2", bias_regularizer="l1")],
    "depthwise": [DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu"),
                  DepthwiseConv2D(2, 2, depthwise_regularizer="l2")],
    "separable": [SeparableConv2D(3, 2, depth_multiplier=2, activation="relu"),
                  SeparableConv2D(2, 3, (2, 1), "same", use_bias=False, pointwise_regularizer="l1")],
    "transposed": [Conv2DTranspose(3, 3, activation="relu"), Conv2DTranspose(2, 2, 2, "same")],
    "transposed, dilated": [Conv2D(2, 2, activation="relu"), Conv2DTranspose(2, (3, 2), dilation_rate=2, use_bias=False)],
    "transposed, strides": [Conv2DTranspose(2, 2, (3, 2), activation="tanh")],
    "MaxPooling2D": [Conv2D(3, 2), MaxPooling2D(2)],
    "MaxPooling2D over relu": [Conv2D(3, 2, activation="relu"), MaxPooling2D((2, 1)), Conv2D(2, 1)],
    "overlapping": [Conv2D(2, 2, activation="relu"), MaxPooling2D(3, 1, "same")],
    "strides beyond the window": [MaxPooling2D(1, 2)],
    "AveragePooling2D": [Conv2D(3, 2, activation="relu"), AveragePooling2D(2, 1, "same")],
    "global": [Conv2D(3, 2, activation="relu"), GlobalMaxPooling2D()],
    "global mean": [Conv2D(3, 2, activation="relu"), GlobalAveragePooling2D(keepdims=True)],
    "padded, cropped": [ZeroPadding2D(((1, 0), (0, 2))), Conv2D(2, 2), Cropping2D(((0, 1), (1, 0)))],
    "enlarged": [Conv2D(2, 2, activation="relu"), UpSampling2D((2, 3)), Conv2D(1, 2)],
    "permuted": [Conv2D(3, 2), Permute((3, 1, 2))],
}
ON_SEQUENCES = {
    "Conv1D": [Conv1D(3, 3, activation="relu"), Conv1D(2, 2, 2, "same")],
    "causal": [Conv1D(3, 2, padding="causal", dilation_rate=3), Conv1D(2, 3, 2, "causal", groups=1)],
    "MaxPooling1D": [Conv1D(2, 2, activation="relu"), MaxPooling1D(2), AveragePooling1D(2, 1, "same")],
    "global": [Conv1D(3, 2), GlobalMaxPooling1D(keepdims=True)],
    "global mean": [Conv1D(3, 2), GlobalAveragePooling1D()],
    "padded, cropped": [ZeroPadding1D((0, 2)), Conv1D(2, 2), Cropping1D((1, 2)), UpSampling1D(2)],
    "repeated": [Flatten(), Dense(3, "relu"), RepeatVector(2), Conv1D(2, 2)],
}
STACKS = {**CASES, **RANDOM_CROP, **{f"image, {name}": (IMAGE, layers) for name, layers in ON_IMAGES.items()},
          **{f"steps, {name}": (STEPS, layers) for name, layers in ON_SEQUENCES.items()}}


@pytest.mark.parametrize("name", STACKS)
def test_the_gradient_is_that_of_the_differences_as_first_layers_and_on_top_of_others(name):
    shape, layers = STACKS[name]
    Probe([Input(shape), *layers, Flatten(), Dense(3, "softmax")], SparseCategoricalCrossentropy()).check()
    Probe([Input(6), Dense(int(np.prod(shape)), "tanh"), Reshape(shape), *layers, Activation("tanh"),
           Flatten(), Dense(2)], MeanSquaredError()).check()


@pytest.mark.parametrize("name", ["image, relu under relu", "image, separable", "image, transposed, strides",
                                  "image, MaxPooling2D over relu", "steps, causal"])
@pytest.mark.parametrize("n", [1, 17, 40])
def test_the_gradient_holds_for_every_batch_also_after_a_larger_one(name, n):
    shape, layers = STACKS[name]
    probe = Probe([Input(shape), *layers, Flatten(), Dense(3, "softmax")], SparseCategoricalCrossentropy(), n,
                  buffers=48, weighted=True)
    probe.step(np.arange(48), 0.0)
    probe.check()


def test_larger_buffers_do_not_change_a_bit():
    shape, layers = STACKS["image, MaxPooling2D over relu"]
    small, large = (Probe([Input(shape), *layers, Flatten(), Dense(3, "softmax")],
                          SparseCategoricalCrossentropy(), 5, buffers=n) for n in (5, 100))
    large.step(np.arange(64), 0.0)
    assert small.gradient().tobytes() == large.gradient().tobytes()


def test_a_kernel_in_pieces_is_the_whole_kernel(monkeypatch):
    """Large gradients are made, and applied, a few filters at a time."""
    layers = [Input(IMAGE), *ON_IMAGES["groups"], Conv2DTranspose(5, 2), Flatten(), Dense(3, "softmax")]
    whole = Probe(layers, SparseCategoricalCrossentropy()).gradient()
    monkeypatch.setattr("mrdl.layers.core.BLOCK", 1)
    pieces = Probe(layers, SparseCategoricalCrossentropy())
    assert len([p for _, p in pieces.learner.pieces for _ in p]) > 12
    assert pieces.gradient().tobytes() == whole.tobytes()


FEWER = {
    "5 x 5": (Conv2D(20, 5, activation="relu"), (9, 12, 16)),
    "3 x 3, same": (Conv2D(24, 3, padding="same", activation="tanh", kernel_regularizer="l2"), (5, 16, 24)),
    "2 x 4": (Conv2D(40, (2, 4), use_bias=False), (4, 20, 32)),
    "causal steps": (Conv1D(64, 3, padding="causal"), (32, 64)),
}


@pytest.mark.parametrize("pieces", [1 << 19, 1])
@pytest.mark.parametrize("name", FEWER)
def test_fewer_products_give_the_gradient_that_all_products_give(name, pieces, monkeypatch):
    layer, shape = FEWER[name]
    below = (Conv2D if len(shape) == 3 else Conv1D)(shape[-1], 1, activation="relu")
    layers = [Input(shape), below, layer, Flatten(), Dense(3, "softmax")]
    monkeypatch.setattr("mrdl.layers.core.BLOCK", pieces)
    fewer = Probe(layers, SparseCategoricalCrossentropy())
    assert [type(o) for o in fewer.learner.net.operations].count(convolution_operations.WinogradOperation) == 1
    monkeypatch.setattr(convolution_operations, "COST", np.inf)
    direct = Probe(layers, SparseCategoricalCrossentropy())
    assert [type(o) for o in direct.learner.net.operations].count(convolution_operations.WinogradOperation) == 0
    got, wanted = fewer.gradient(), direct.gradient()
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12 * abs(wanted).max())


def test_inference_takes_no_more_examples_at_once_than_fit_into_memory(monkeypatch):
    model = mrdl.Sequential([Input((6, 5, 2)), Conv2D(8, 3, padding="same"), Flatten(), Dense(2)]).build()
    model.compile("sgd", "mse")
    x, held = np.random.default_rng(0).random((100, 6, 5, 2)), []
    whole = model.predict(x)
    scores = model.evaluate(x, whole + 1, return_dict=True)
    monkeypatch.setattr(network, "MEMORY", 40 * 4 * (60 + 240 + 2))      # 40 examples: 32 in full lanes
    tensor = operation.Tensor
    monkeypatch.setattr(network, "Tensor", lambda k, features, N, *a: held.append(N) or tensor(k, features, N, *a))
    assert model.predict(x).tobytes() == whole.tobytes()
    assert model.evaluate(x, whole + 1, return_dict=True)["loss"] == pytest.approx(scores["loss"])
    monkeypatch.setattr(network, "MEMORY", 1)
    assert model.predict(x).tobytes() == whole.tobytes()
    assert set(held) == {32, 16}


def test_what_an_operation_keeps_counts_as_memory_that_inference_takes():
    layer, shape = FEWER["5 x 5"]
    model = mrdl.Sequential([Input(shape), layer])
    H, _, C = shape
    tiles = layer.scratch(shape)
    assert tiles == H * 4 * 6 * C and Conv2D(20, 5, 2).scratch(shape) == 0
    held = math.prod(shape) + math.prod(model.output_shape) + tiles
    assert network.at_once(model, 1 << 20) == network.MEMORY // (4 * held) // 16 * 16


@pytest.mark.parametrize("layer, shape, wanted", [
    (Conv2D(4, 3), (6, 5, 2), (4, 3, 4)), (Conv2D(4, (1, 2), 2, "same"), (6, 5, 2), (3, 3, 4)),
    (Conv2D(4, 3, dilation_rate=2), (6, 5, 2), (2, 1, 4)), (Conv1D(4, 3, 2), (8, 2), (3, 4)),
    (Conv1D(4, 3, padding="causal"), (8, 2), (8, 4)), (DepthwiseConv2D(2, depth_multiplier=3), (6, 5, 2), (5, 4, 6)),
    (SeparableConv2D(7, 2), (6, 5, 2), (5, 4, 7)), (Conv2DTranspose(7, 3, 2), (6, 5, 2), (13, 11, 7)),
    (Conv2DTranspose(7, 3, 2, "same"), (6, 5, 2), (12, 10, 7)), (MaxPooling2D(), (7, 5, 2), (3, 2, 2)),
    (MaxPooling2D(padding="same"), (7, 5, 2), (4, 3, 2)), (AveragePooling2D(3, 1), (7, 5, 2), (5, 3, 2)),
    (MaxPooling1D(3), (7, 2), (2, 2)), (AveragePooling1D(3), (7, 2), (2, 2)),
    (GlobalMaxPooling2D(), (7, 5, 2), (2,)), (GlobalAveragePooling2D(keepdims=True), (7, 5, 2), (1, 1, 2)),
    (GlobalMaxPooling1D(keepdims=True), (7, 2), (1, 2)), (GlobalAveragePooling1D(), (7, 2), (2,)),
    (ZeroPadding2D((1, 2)), (3, 4, 2), (5, 8, 2)), (ZeroPadding1D(), (3, 2), (5, 2)),
    (Cropping2D(1), (5, 4, 2), (3, 2, 2)), (Cropping1D(1), (5, 2), (3, 2)),
    (UpSampling2D(3), (2, 3, 1), (6, 9, 1)), (UpSampling1D(), (2, 3), (4, 3)),
    (Permute((2, 1)), (3, 4), (4, 3)), (RepeatVector(5), (3,), (5, 3)),
])
def test_the_shape_that_comes_out(layer, shape, wanted):
    model = mrdl.Sequential([Input(shape), layer])
    assert model.output_shape == wanted
    for n in (0, 1, 3):
        assert model.predict(np.ones((n, *shape))).shape == (n, *wanted)
    assert mrdl.model_from_json(model.to_json()).to_json() == model.to_json()


@pytest.mark.parametrize("layer, shape", [
    (GlobalMaxPooling2D(), (300, 250, 2)), (GlobalAveragePooling2D(), (300, 250, 2)),
    (GlobalMaxPooling1D(), (70_000, 2)), (GlobalAveragePooling1D(), (70_000, 2))])
def test_global_pooling_takes_images_and_sequences_of_any_size(layer, shape):
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype("f4")
    y, pixels = mrdl.Sequential([Input(shape), layer]).predict(x), x.reshape(2, -1, 2)
    wanted = pixels.max(1) if layer.largest else pixels.mean(1, "f8")
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-6)
    k, geometry, n = typed("float32"), layer.geometry(shape), pixels.shape[1]
    x, y, dy = (np.pad(a.reshape(2, -1), [(0, 14), (0, 0)]).T.copy() for a in (x, y, np.float32([[1, 2], [3, 4]])))
    dx = np.empty_like(x)
    if layer.largest:
        k.max_pool_backward(x, y, dy, dx, geometry, False)
        wanted = np.where(np.arange(n)[:, None, None] == x.reshape(n, 2, 16).argmax(0), dy, 0)
    else:
        k.average_pool_backward(dy, dx, geometry)
        wanted = np.broadcast_to(dy / np.float32(n), (n, 2, 16))
    np.testing.assert_array_equal(dx.reshape(n, 2, 16), wanted)


@pytest.mark.parametrize("make, reason", [
    (lambda: Conv2D(0, 3), "filters must be above 0"), (lambda: Conv2D(3, 0), r"kernel_size=\(0, 0\) must be 2"),
    (lambda: Conv2D(3, (3, 3, 3)), "must be 2 numbers"), (lambda: Conv2D(3, 3, "2"), "must be a list"),
    (lambda: Conv2D(3, 3, padding="causal"), "padding='causal' is none of valid, same"),
    (lambda: Conv2D(3, 3, activation="swoosh"), "unknown activation"),
    (lambda: Conv1D(3, (3, 3)), "must be 1 numbers"), (lambda: Conv2D(3, 3, groups=0), "groups must be above 0"),
    (lambda: MaxPooling2D(0), "pool_size"), (lambda: MaxPooling2D(2, padding="full"), "padding='full'"),
    (lambda: ZeroPadding2D(-1), "padding=-1 must be numbers from 0"), (lambda: Cropping1D((1, 2, 3)), "cropping="),
    (lambda: ZeroPadding2D((1, "2")), "padding="), (lambda: UpSampling2D(0), "must be 2 numbers above 0"),
    (lambda: UpSampling1D(0), "above 0"), (lambda: RepeatVector(0), "above 0"), (lambda: Permute((1, 3)), "dims="),
    (lambda: ConvLSTM2D(2, 2, activation="gelu"), "its activation cannot be 'gelu'"), (lambda: ConvLSTM2D(0, 2), "filters must be above 0"),
    (lambda: ConvLSTM2D(2, 2, dropout=0.1), "dropout=0.1 is not supported"), (lambda: ConvLSTM2D(2, 2, padding="causal"), "padding='causal'"),
    (lambda: Resizing(0, 3), "height=0 and width=3 must be above 0"), (lambda: Resizing(2, 3, "cubic"), "is none of nearest, bilinear"),
    (lambda: Resizing(2, 3, antialias=True), "antialias=True is not supported"),
])
def test_values_that_make_no_sense_are_refused(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


@pytest.mark.parametrize("layer, shape, reason", [
    (Conv3D(3, 2), (4, 4, 4), r"Conv3D: its input has the shape \(4, 4, 4\), not \(depth, height, width, channels\)"),
    (Conv3D(3, 5), (4, 9, 9, 1), "a kernel of 5 does not fit into 4 inputs"), (MaxPooling3D(), (4, 4, 4), "depth, height"),
    (ConvLSTM2D(2, 2), (4, 4, 2), r"ConvLSTM2D: its input has the shape \(4, 4, 2\), not \(steps, height, width, channels\)"),
    (ZeroPadding3D(), (4, 4, 4), "depth, height"), (Cropping3D(2), (4, 9, 9, 1), "nothing is left"), (UpSampling3D(), (4, 4, 4), "depth, height"),
    (Conv2D(3, 3), (28, 28), r"Conv2D: its input has the shape \(28, 28\), not \(height, width, channels\)"),
    (Conv1D(3, 3), (9,), r"not \(steps, channels\)"), (MaxPooling2D(), (9, 9), "height, width, channels"),
    (Conv2D(3, 5), (4, 9, 1), "a kernel of 5 does not fit into 4 inputs"),
    (MaxPooling1D(5), (4, 1), "a kernel of 5 does not fit"), (GlobalMaxPooling2D(), (4, 1), "height, width"),
    (Conv2D(4, 2, groups=3), (4, 4, 6), "3 groups do not divide 6 channels and 4 filters"),
    (SeparableConv2D(4, 2), (4, 4), "SeparableConv2D: its input"), (Conv2DTranspose(4, 2), (4,), "Conv2DTranspose"),
    (Cropping2D(2), (4, 9, 1), "nothing is left"), (Permute((2, 1)), (2, 3, 4), "does not fit the shape"),
    (UpSampling1D(), (3,), "steps, channels"), (RepeatVector(2), (3, 4), "features"),
])
def test_inputs_that_do_not_fit_are_refused_with_the_place(layer, shape, reason):
    with pytest.raises(ConfigError, match="layer 1, .*" + reason):
        mrdl.Sequential([Input(shape), layer])


@pytest.mark.parametrize("key, value", [("data_format", "channels_first"), ("output_padding", 1)])
def test_what_keras_has_and_mrdl_has_not_is_said(key, value):
    text = mrdl.Sequential([Input(IMAGE), Conv2DTranspose(2, 2)]).to_json()
    with pytest.raises(ConfigError, match=f"Conv2DTranspose: {key}=.* is not supported"):
        mrdl.model_from_json(text.replace('"filters"', f'"{key}": "{value}", "filters"'))
