"""Layers of sequences in Keras itself, with ids and masks: the same outputs, scores and updates."""
import json

import keras
import numpy as np
import pytest
from graphs_with_states import GRAPHS, compiled, examples
from keras_twins import of_keras
from sequence_data import F, T, V, ids, masked_value, sequences

import mrdl
from mrdl.layers import (
    GRU,
    LSTM,
    Bidirectional,
    CategoryEncoding,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    Masking,
    Softmax,
    TimeDistributed,
)
from mrdl.optimizers import SGD

KERAS = {
    "Embedding": ([Embedding(V, 4), LSTM(3)], (T,)),
    "Embedding, its arguments": ([Embedding(V, 4, "normal", "l2", "non_neg", True, name="own"),
                                  GRU(3, return_sequences=True), Dense(2)], (T,)),
    "CategoryEncoding": ([CategoryEncoding(V, "one_hot"), LSTM(3, return_sequences=True)], (T,)),
    "CategoryEncoding, a column": ([CategoryEncoding(V, "one_hot"), LSTM(3)], (T, 1)),
    "CategoryEncoding, one id": ([CategoryEncoding(V, "one_hot"), Dense(3)], (1,)),
    "CategoryEncoding, multi-hot": ([CategoryEncoding(V), Dense(3)], (T,)),
    "CategoryEncoding, counted": ([CategoryEncoding(V, "count"), Dense(3)], (T,)),
    "Masking": ([Masking(), LSTM(3, return_sequences=True), Dense(2, "softmax")], (T, F)),
    "Masking, GRU": ([Masking(), GRU(3, return_sequences=True, go_backwards=True), Dense(2, "softmax")], (T, F)),
    "Masking, before": ([Masking(), GRU(3, return_sequences=True, reset_after=False), Dense(2)], (T, F)),
    "Masking, SimpleRNN": ([Masking(-1.0), mrdl.layers.SimpleRNN(3, return_sequences=True), mrdl.layers.SimpleRNN(3)], (T, F)),
    "Masking, both ways": ([Masking(), Bidirectional(LSTM(3, return_sequences=True)), Bidirectional(LSTM(2))], (T, F)),
    "Masking, pooled": ([Masking(), Dense(3), GlobalAveragePooling1D()], (T, F)),
    "Dense of steps": ([Dense(4, "relu"), Dense(3, "softmax")], (T, F)),
    "Dense of images": ([Dense(4, "relu"), Softmax()], (2, T, F)),
    "TimeDistributed": ([TimeDistributed(Dense(4, "relu")), TimeDistributed(Dense(3, "softmax"), name="own")], (T, F)),
    "TimeDistributed, images": ([TimeDistributed(Conv2D(3, 2)), TimeDistributed(Flatten()), LSTM(3)], (4, 3, 3, 2)),
}


def made(name, seed=1):
    """Our model and Keras's of the same weights, and examples."""
    layers, shape = KERAS[name]
    model = mrdl.Sequential([Input(shape), *layers]).build(seed=seed)
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(-0.5, 0.5, w.shape).astype("f4") for w in model.get_weights()])
    theirs = of_keras(model)
    x = ids(20)[:, :shape[0]].reshape(20, *shape) if len(shape) == 1 or shape[1] == 1 else rng.standard_normal((20, *shape)) if shape != (T, F) else \
        sequences(20, masked_value(layers))
    return model, theirs, np.asarray(x, "i4" if x.dtype == "u1" else "f4")


@pytest.mark.filterwarnings("ignore:jax.nn.one_hot input should be integer")       # Keras gives it floats
@pytest.mark.parametrize("name", KERAS)
def test_a_layer_computes_what_that_of_keras_does_and_its_json_comes_back(name):
    model, theirs, x = made(name)
    wanted, got = np.asarray(theirs(x, training=False)), model.predict(x)
    wanted = np.nan_to_num(wanted)              # a mean over no step is 0 for us
    assert got.shape == wanted.shape and np.ptp(wanted) > 0
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * max(1, abs(wanted).max()))
    again = mrdl.model_from_json(theirs.to_json())
    assert json.loads(again.to_json()) == json.loads(model.to_json())


@pytest.mark.parametrize("name, loss", [
    *((name, loss) for name in ("Masking", "Masking, GRU", "Dense of steps")
      for loss in ("sparse_categorical_crossentropy", "categorical_crossentropy", "mse")), ("Embedding, its arguments", "mse")])
def test_losses_metrics_and_updates_under_masks_are_those_of_keras(name, loss):
    model, theirs, x = made(name)
    rng, classes = np.random.default_rng(3), model.output_shape[-1]
    y = rng.integers(0, classes, (20, T))
    metrics = {"sparse_categorical_crossentropy": ["accuracy"], "categorical_crossentropy": ["accuracy", "mae"],
               "mse": ["mae"]}[loss]
    if loss != "sparse_categorical_crossentropy":
        y = np.eye(classes)[y]
    if name.startswith("Embedding"):
        model.layers[0] = mrdl.layers.Embedding(V, 4, mask_zero=True, name="own")       # its penalty is not the matter
        theirs = of_keras(model)
    model.compile(SGD(0.3), loss, metrics=metrics)
    theirs.compile(keras.optimizers.SGD(0.3), loss, metrics=metrics)
    w = rng.uniform(0.5, 2, 20).astype("f4")
    for more in ({}, {"sample_weight": w}):
        each = {key: np.repeat(w[:, None], T, 1) for key in more}       # Keras wants it for each step
        wanted = theirs.evaluate(x, y, batch_size=20, return_dict=True, verbose=0, **each)
        got = model.evaluate(x, y, batch_size=20, **more, return_dict=True)
        for key in got if not more else ["loss"]:
            assert got[key] == pytest.approx(wanted[key], rel=2e-5), key
    for _ in range(3):
        model.fit(x, y, batch_size=20)
        theirs.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), [np.asarray(v.value) for v in theirs.weights]):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation")      # of Keras's own
@pytest.mark.parametrize("name", [name for name in GRAPHS if "Graves" not in name])
def test_keras_computes_the_same_and_its_json_comes_back(name):
    model = compiled(name).build(seed=1)
    theirs = of_keras(model)
    x, parts = examples(model, 20).astype("f4"), []
    for shape in model.input_shapes():
        size = int(np.prod(shape))
        parts.append(x[:, :size].reshape(-1, *shape))
        x = x[:, size:]
    wanted, got = theirs(parts, training=False), model.predict(parts)
    several = isinstance(got, list)
    for a, b in zip(got if several else [got], wanted if several else [wanted]):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-5, atol=1e-6)
    again = mrdl.model_from_json(theirs.to_json())
    assert json.loads(again.to_json())["config"]["layers"] == json.loads(model.to_json())["config"]["layers"]
