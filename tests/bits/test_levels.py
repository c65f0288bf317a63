"""Twenty training steps of everything, on each CPU level: with fused multiply-add, the same bits."""
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from layer_cases import CASES, RANDOM_CROP, from_features

from mrdl import Model, Sequential, kernels, ops
from mrdl.config import snake
from mrdl.constraints import MinMaxNorm
from mrdl.layers import (
    ELU,
    GRU,
    LSTM,
    Activation,
    Add,
    AlphaDropout,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    CategoryEncoding,
    Concatenate,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Cropping1D,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GravesLSTM,
    Input,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Maximum,
    MaxPooling1D,
    MaxPooling2D,
    Minimum,
    Multiply,
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
    Subtract,
    TimeDistributed,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from mrdl.layers.activations import ACTIVATIONS
from mrdl.losses import LOSSES
from mrdl.optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    RMSprop,
)
from mrdl.regularizers import L1L2

UPDATERS = [SGD(0.1), SGD(0.1, 0.9), SGD(0.1, 0.9, True), SGD(0.1, clipnorm=0.1),
            SGD(0.1, global_clipnorm=0.1), SGD(0.1, clipvalue=0.01), RMSprop(), RMSprop(momentum=0.9, centered=True),
            Ftrl(0.1, l1_regularization_strength=0.001), Adam(), Adam(amsgrad=True),
            AdamW(), Nadam(weight_decay=0.01), Adamax(), Adagrad(), Adadelta(), Lion(), Lamb(), Muon(), Adafactor(),
            SGD(0.1, use_ema=True, ema_overwrite_frequency=3, gradient_accumulation_steps=2)]
HEADS = [("softmax", "sparse_categorical_crossentropy"), ("softmax", "categorical_crossentropy"),
         ("sigmoid", "binary_crossentropy"), (None, "mse"),
         *(("sigmoid", snake(cls.__name__)) for cls in LOSSES if cls.activation is None and not cls.joint)]
JOINT = [("sigmoid", snake(cls.__name__)) for cls in LOSSES if cls.joint and not cls.free]
SPARSE = {snake(cls.__name__) for cls in LOSSES if cls.sparse}

# From 21 features to some of any number, in one axis; Dense(5) comes after them.
LAYERS = [[Dense(18, a), Dense(7), Activation(a)] for a in ACTIVATIONS] + [from_features(*case) for case in (CASES | RANDOM_CROP).values()] + [
    [ReLU(1.5, 0.2, 0.1), PReLU(shared_axes=[1]), LeakyReLU(), ELU(0.5), Softmax()],
    [Reshape((7, 3)), SpatialDropout1D(0.2), PReLU("normal"), Reshape((7, 1, 3)),
     SpatialDropout2D(0.2), PReLU("normal", shared_axes=(1, 2)), Flatten()],
    [GaussianNoise(0.1), GaussianDropout(0.2), AlphaDropout(0.3)], [Normalization(), Dense(9), Normalization(None, 1, 3)],
    [Reshape((7, 3, 1)), Conv2D(6, 3, padding="same", activation="relu"), MaxPooling2D((2, 1)), BatchNormalization(),
     DepthwiseConv2D(2, depth_multiplier=2), SeparableConv2D(5, 2, padding="same", activation="tanh"),
     Conv2DTranspose(4, 2, activation="relu"), AveragePooling2D(2, 1, "same"), LayerNormalization(),
     UpSampling2D((1, 2)), Conv2D(4, 2, 2, groups=2), Flatten()],
    [Reshape((7, 3)), GRU(5, return_sequences=True, recurrent_dropout=0.2), SimpleRNN(6, return_sequences=True),
     Bidirectional(LSTM(4, return_sequences=True)), GRU(5, reset_after=False, return_sequences=True), GravesLSTM(7)],
    [Reshape((7, 3)), Conv1D(6, 2, padding="causal"), MaxPooling1D(2, 1), ZeroPadding1D(2), AveragePooling1D(2), Cropping1D(1),
     UpSampling1D(3), Permute((2, 1)), GlobalAveragePooling1D(), RepeatVector(4), Dense(5, "tanh"), GlobalMaxPooling1D()],
    [Reshape((1, 7, 3)), ZeroPadding2D(1), Cropping2D(((1, 0), (0, 1))), Dense(4, "tanh"), GlobalAveragePooling2D(keepdims=True),
     UpSampling2D(2), ZeroPadding2D(((0, 1), (1, 0))), GlobalMaxPooling2D()],
    # denormal numbers, on the way forward and back
    [Rescaling(1e-37), Dense(33), Dense(9, "tanh", kernel_initializer="random_normal"), Rescaling(1e35), Dense(7, "tanh")]]

# From 21 ids to features of 21 steps; AFTER_IDS and Dense(5) come after them.
IDS = [[CategoryEncoding(256, "one_hot"), GravesLSTM(18, return_sequences=True), Dense(7, "tanh")],
       [Embedding(256, 9, mask_zero=True), LSTM(11, return_sequences=True, dropout=0.2), Dropout(0.2),
        TimeDistributed(Dense(7, "relu"))]]
AFTER_IDS = [Masking(), GRU(6, return_sequences=True)]


def merging():
    """Inputs and outputs of a model with every layer that merges, as LAYERS from 21 features on."""
    x = Input((21,))
    scaled = Rescaling(1 / 100, -1)(x)
    a, b = Dense(6, "tanh")(scaled), Dense(6, "relu")(scaled)
    merged = [kind()([a, b]) for kind in (Add, Subtract, Multiply, Average, Maximum, Minimum)]
    c = Reshape((3, 2))(b) + 1
    merged += [ops.log(b + 1), a / (b + 1), (b + 1) ** 0.3, ops.mean(c, 1), ops.max(c, 2), c[:, 1:, 0]]
    return x, Dense(5, "softmax")(Concatenate()([*merged, Dot(1)([a, b])]))


def trained() -> str:
    """The hash of the weights and losses after 20 steps of every combination."""
    found, rng = hashlib.sha256(), np.random.default_rng(0)
    x = rng.integers(0, 256, (20 * 11, 21)).astype("u1")
    labels = rng.integers(0, 5, len(x)).astype("i4")
    for dtype in ("float32", "float64"):
        for updater in UPDATERS:
            for activation, loss in HEADS + JOINT * (updater is UPDATERS[0]):
                model = Sequential([
                    Input((21,)), Rescaling(1 / 255), Dense(33, "tanh", kernel_regularizer=L1L2(1e-4, 1e-3)),
                    Dropout(0.25), Dense(18, "relu", kernel_constraint=MinMaxNorm(0.1, 1.0, 0.9),
                                         bias_constraint="non_neg"), Dense(17, "sigmoid"), Activation("softmax"),
                    Dense(5, activation)], dtype=dtype)
                model.compile(updater, loss, metrics=["accuracy"])
                y = labels if loss in SPARSE else np.eye(5, dtype="f4")[labels]
                history = model.fit(x, y, batch_size=11, verbose=0)
                assert np.isfinite(model.weights).all()
                found.update(model.weights.tobytes() + model.slots.tobytes())
                found.update(repr(history.history).encode())
        for model in (Model(*merging(), dtype=dtype), *(
                Sequential([Input((21,)), Rescaling(1 / 100, -1), *layers, Dense(5, "softmax")], dtype=dtype) for layers in LAYERS)):
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(x, labels, batch_size=11, verbose=0)
            found.update(model.weights.tobytes() + model.slots.tobytes())
        model = Sequential([Input((21,)), Rescaling(1 / 100, -1), Reshape((7, 3)), Dense(5)], dtype=dtype)
        model.compile("adam", "ctc")
        model.fit(x, labels[:, None] % 3 + np.arange(2) + 1, batch_size=11, verbose=0)
        found.update(model.weights.tobytes())
        for units in (1, 18):
            model = Sequential([Input((21,), sparse=True), Dense(units, "tanh", kernel_regularizer="l2"), Dense(5, "softmax")], dtype=dtype)
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(np.where(x < 200, 0, x), labels, batch_size=11, verbose=0)
            found.update(model.weights.tobytes() + model.slots.tobytes())
        for layers in IDS:
            model = Sequential([Input((21,)), *layers, *AFTER_IDS, Dense(5, "softmax")], dtype=dtype)
            model.compile("rmsprop", "sparse_categorical_crossentropy")
            model.fit(x, x % 5, batch_size=11, tbptt=8, tbptt_backward=5, verbose=0)
            found.update(model.weights.tobytes() + model.slots.tobytes())
    return found.hexdigest()


@pytest.mark.skipif("v3" not in kernels.built()[1:], reason="one level with FMA: no AVX-512, or built for one level")
def test_20_steps_of_every_layer_loss_and_updater_have_the_same_bits_on_v3_and_v4():
    assert {type(updater) for updater in UPDATERS} == set(OPTIMIZERS)
    hashes = {}
    for level in ("v3", "v4"):
        done = subprocess.run([sys.executable, __file__], text=True, capture_output=True, check=False,
                              env=os.environ | {"MRDL_CPU_LEVEL": level})
        assert done.returncode == 0, done.stderr
        hashes[level] = done.stdout.strip()
    assert len(hashes["v3"]) == 64 and hashes["v3"] == hashes["v4"] == trained()


def test_a_level_that_this_cpu_does_not_have_is_refused():
    done = subprocess.run([sys.executable, "-c", "import mrdl.kernels"], text=True, capture_output=True,
                          check=False, env=os.environ | {"MRDL_CPU_LEVEL": "v9"})
    assert done.returncode == 1 and "MRDL_CPU_LEVEL=v9: this CPU can run only" in done.stderr


if __name__ == "__main__":
    print(trained())
