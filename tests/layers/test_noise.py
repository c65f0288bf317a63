"""Layers that are random in training: what they draw, how it is keyed, and nothing elsewhere."""
import numpy as np
import pytest

import mrdl
from mrdl.layers import (
    LAYERS,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Input,
    Rescaling,
    SpatialDropout1D,
    SpatialDropout2D,
)
from mrdl.layers.noise import Noise
from mrdl.training.network import Network


def masks(layers, n=2000, key=5, number=0, shape=(3,), x=None):
    model = mrdl.Sequential([Input(shape), *layers])
    net = Network(model.build(), n, model.weights, training=True)
    net.read(np.ones((n, *shape), "f4") if x is None else x, np.arange(n))
    net.draws.key, net.draws.minibatch = key, number
    net.forward()
    return net.outputs[0][:, :n].copy()


def test_dropout_zeroes_its_share_and_scales_the_rest_in_training_alone():
    y = masks([Dropout(0.3)])
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 4 * (0.3 * 0.7 / y.size) ** 0.5
    assert (masks([Dropout(0.0)]) == 1).all()


@pytest.mark.parametrize("layer, shape", [(SpatialDropout1D(0.3), (5, 3)),
                                          (SpatialDropout2D(0.3), (2, 4, 3))])
def test_spatial_dropout_draws_once_for_a_channel(layer, shape):
    y = masks([layer], shape=shape).reshape(-1, 3, 2000)
    assert (y == y[0]).all() and set(np.unique(y)) == {0.0, np.float32(1 / 0.7)}
    assert (y[0] == masks([Dropout(0.3)])).all()


def test_values_along_an_axis_of_size_1_of_the_noise_shape_are_dropped_together():
    y = masks([Dropout(0.3, (None, 1, 3))], shape=(5, 3)).reshape(5, 3, 2000)
    assert (y == y[0]).all() and (y[0] == masks([Dropout(0.3)])).all()
    assert (masks([Dropout(0.3, (None, None, None))], shape=(5, 3)) == masks([Dropout(0.3)], shape=(15,))).all()
    y = masks([Dropout(0.3, (1, 50, 1))], shape=(50, 3)).reshape(50, 3, 2000)
    assert (y == y[:, :1, :1]).all() and 0 < (y == 0).mean() < 1


@pytest.mark.parametrize("layer, mean, deviation", [
    (GaussianNoise(0.25), 1.0, 0.25), (GaussianDropout(0.2), 1.0, 0.5), (GaussianNoise(0.0), 1, 0)])
def test_gaussian_layers_have_the_moments_of_their_formula(layer, mean, deviation):
    y = masks([layer], n=20000).astype("f8")
    assert abs(y.mean() - mean) <= 4 * deviation / y.size ** 0.5
    assert abs(y.var() - deviation ** 2) <= 4 * deviation ** 2 * (2 / y.size) ** 0.5
    twice = masks([layer], n=20000, x=np.full((20000, 3), 2, "f4")).astype("f8")
    wanted = y + 1 if isinstance(layer, GaussianNoise) else 2 * y
    np.testing.assert_allclose(twice, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_alpha_dropout_keeps_mean_and_variance_and_drops_to_one_value(rate):
    x = np.random.default_rng(0).standard_normal((20000, 3)).astype("f4")
    y = masks([AlphaDropout(rate)], n=20000, x=x).astype("f8")
    assert abs(y.mean()) < 4 / y.size ** 0.5
    assert abs(y.var() - 1) < 4 * ((y ** 4).mean() / y.size) ** 0.5
    a = ((1 - rate) * (1 + rate * 1.7580993408473766 ** 2)) ** -0.5
    dropped = masks([Dropout(rate)], n=20000) == 0
    np.testing.assert_allclose(
        y, np.where(dropped, -1.7580993408473766, x.T) * a + a * 1.7580993408473766 * rate, atol=1e-5)


RANDOM = [Dropout(0.9), SpatialDropout1D(0.9), SpatialDropout2D(0.9), GaussianNoise(0.9),
          GaussianDropout(0.9), AlphaDropout(0.9)]


def test_every_random_layer_is_in_the_table():
    assert {type(layer) for layer in RANDOM} == {c for c in LAYERS if issubclass(c, Noise)}


@pytest.mark.parametrize("layer", RANDOM, ids=repr)
def test_outside_training_a_random_layer_leaves_x_as_it_is(layer):
    shape = (2, 3, 4)[:layer.rank or 1]
    x = np.random.default_rng(0).standard_normal((4, *shape)).astype("f4")
    assert (mrdl.Sequential([Input(shape), layer]).predict(x) == x).all()


@pytest.mark.parametrize("kind", [type(layer) for layer in RANDOM])
def test_draws_differ_by_key_minibatch_layer_and_its_own_seed(kind):
    shape = (2, 3, 4)[:kind.rank or 1]

    def drawn(*below, seed=None, **options):
        return masks([*below, kind(0.5, seed=seed)], shape=shape, **options)

    one = drawn()
    assert (one == drawn()).all()
    assert (one[:, :100] == drawn(n=100)).all()                     # whatever the batch
    for other in (drawn(key=6), drawn(number=1), drawn(Rescaling(1.0), Rescaling(1.0)),
                  drawn(seed=0)):
        assert 0.4 < (one != other).mean() < (1.01 if "Gaussian" in kind.__name__ else 0.6)
