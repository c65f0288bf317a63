"""Layers that change images at random: how draws are keyed, and nothing outside training."""
import numpy as np
import pytest
from layer_cases import CASES, RANDOM_CROP
from shards import in_one_fit
from test_noise import masks

import mrdl
from mrdl import ParameterAveraging
from mrdl.config import ConfigError
from mrdl.layers import (
    LAYERS,
    Dense,
    Flatten,
    Input,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Rescaling,
    Reshape,
)
from mrdl.layers.augmentation import Augmentation
from mrdl.layers.sampling import turn

FIRST = [layers[0] for _, layers in (CASES | RANDOM_CROP).values() if isinstance(layers[0], Augmentation)]
SHAPE = (4, 5, 2)
X = np.random.default_rng(0).random((200, *SHAPE)).astype("f4")


def test_every_layer_is_in_the_table():
    assert {type(layer) for layer in FIRST} == {c for c in LAYERS if issubclass(c, Augmentation)}


@pytest.mark.parametrize("layer", FIRST, ids=repr)
def test_draws_differ_by_key_minibatch_layer_example_and_its_own_seed(layer):
    def drawn(*below, seed=None, x=X, **options):
        made = type(layer)(**{**layer.get_config(), "seed": seed})
        return masks([*below, made], shape=SHAPE, n=len(x), x=x, **options)

    one = drawn()
    assert (one == drawn()).all() and (one[:, :100] == drawn(x=X[:100])).all()
    for other in (drawn(key=6), drawn(number=1), drawn(Rescaling(1.0), Rescaling(1.0)), drawn(seed=0)):
        assert (one != other).any()
    same = drawn(x=np.repeat(X[:1], 200, 0))
    assert len(np.unique(same, axis=1).T) > 1
    y = mrdl.Sequential([Input(SHAPE), layer]).predict(X)
    assert (y == (X[:, :3, :4] if isinstance(layer, RandomCrop) else X)).all()


def test_one_worker_draws_what_one_fit_draws(tmp_path, made):
    data = made(75, shards=1, dtype="float32")

    def model():
        layers = [RandomFlip(), RandomRotation(0.1), RandomContrast(0.2, (-9, 9)), RandomCrop(3, 2)]
        made = mrdl.Sequential([Input((5,)), Dense(24, "relu"), Reshape((4, 3, 2)), *layers, Flatten(), Dense(3, "softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        return made
    result = ParameterAveraging(workers=1, batch_size=8, averaging_frequency=3, epochs=2, runner="inline",
                                seed=3).fit(model(), data.url, run=str(tmp_path / "run"))
    twin = in_one_fit(model(), data)
    assert twin.weights.tobytes() == result.model.weights.tobytes()


def test_flips_crops_and_brightness_do_what_they_say():
    x = np.arange(40, dtype="f4").reshape(1, *SHAPE)
    y = masks([RandomFlip("horizontal")], shape=SHAPE, n=200, x=np.repeat(x, 200, 0)).T.reshape(-1, *SHAPE)
    turned = (y == x[:, :, ::-1]).all((1, 2, 3))
    assert (turned | (y == x).all((1, 2, 3))).all() and 60 < turned.sum() < 140
    y = masks([RandomCrop(3, 4)], shape=SHAPE, n=200, x=np.repeat(x, 200, 0)).T.reshape(-1, 3, 4, 2)
    assert {tuple(part.ravel()) for part in y} == {tuple(x[0, i:i + 3, j:j + 4].ravel()) for i in range(2) for j in range(2)}
    y = masks([RandomBrightness((0.5, 0.5), (0, 100))], shape=SHAPE, n=1, x=x).T
    assert (y == x.reshape(1, -1) + 50).all()
    assert mrdl.Sequential([Input(SHAPE), RandomCrop(8, 8)]).predict(x).shape == (1, 8, 8, 2)


@pytest.mark.parametrize("make, reason", [
    (lambda: RandomFlip("both"), "mode='both' is none of"), (lambda: RandomRotation(1.5), "factor=1.5 must be one or two numbers from -1 to 1"),
    (lambda: RandomZoom(-1.0), "height_factor=-1.0 must be above -1"), (lambda: RandomZoom(0.1, (0, 1, 2)), "width_factor="),
    (lambda: RandomTranslation(0.1, "a"), "width_factor='a'"), (lambda: RandomTranslation(0.1, 0.1, "mirror"), "fill_mode='mirror' is none"),
    (lambda: RandomZoom(0.1, interpolation="cubic"), "interpolation='cubic' is none"), (lambda: RandomCrop(0, 2), "height=0 and width=2"),
    (lambda: RandomContrast(-0.5), "factor=-0.5 must be one or two numbers from 0 to 1"),
    (lambda: RandomBrightness(0.1, 3), "value_range=3 must be two numbers"), (lambda: RandomFlip().shape_of_output((3, 4)), "height, width, channels")])
def test_what_makes_no_sense_is_refused(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


def test_turns_are_exact():
    angle = np.linspace(-2 * np.pi, 2 * np.pi, 101)
    np.testing.assert_allclose(turn(angle), [np.cos(angle), np.sin(angle)], rtol=0, atol=1e-12)
