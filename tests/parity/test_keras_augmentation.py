"""Random images: what Keras's layers make of the same random numbers."""
from dataclasses import replace

import keras
import numpy as np
import pytest
from layer_cases import CASES, RANDOM_CROP

import mrdl
from mrdl.layers import Input, RandomCrop
from mrdl.layers.augmentation import Augmentation
from mrdl.training.network import Network

RANDOM = [layer for _, layers in CASES.values() for layer in layers if isinstance(layer, Augmentation)] + RANDOM_CROP["RandomCrop"][1][:1]


@pytest.mark.parametrize("layer", RANDOM, ids=repr)
def test_an_image_becomes_what_keras_makes_of_it_with_the_same_random_numbers(layer, monkeypatch):
    n = 1 if isinstance(layer, RandomCrop) else 16             # Keras crops all of a minibatch at one place
    x = np.random.default_rng(0).uniform(-1.5, 2, (n, 4, 5, 2)).astype("f4")
    model, drawn = mrdl.Sequential([Input(x.shape[1:]), layer]), []
    net = Network(model.build(), n, model.weights, training=True)
    change = type(net.operations[0]).change
    monkeypatch.setattr(type(net.operations[0]), "change", lambda self, u: drawn.append(u) or change(self, u))
    net.read(x, np.arange(n))
    net.forward()
    theirs = getattr(keras.layers, type(layer).__name__)(**{k: v for k, v in layer.get_config().items() if v is not None})
    rows = iter(drawn[0])
    monkeypatch.setattr(theirs.backend.random, "uniform", lambda shape, minval=0.0, maxval=1.0, seed=None, dtype=None: keras.ops.cast(
        minval + (maxval - minval) * next(rows)[:n].reshape(shape), "float32"))
    wanted = np.asarray(theirs(x, training=True)).reshape(n, -1)
    np.testing.assert_allclose(net.outputs[0][:, :n].T, wanted, rtol=1e-4, atol=1e-4)
    assert wanted.size != x.size or abs(wanted - x.reshape(n, -1)).max() > 0.1
    again, = mrdl.model_from_json(keras.models.model_from_json(model.to_json()).to_json()).layers
    assert replace(again, name=layer.name, seed=layer.seed) == layer              # where there is no seed, Keras writes one for RandomCrop
