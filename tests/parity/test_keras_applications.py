"""keras.applications: what Keras writes of them is read here, and predicts the same."""
import keras
import numpy as np
import pytest

import mrdl

# the smallest image that each takes
SIZES = {"MobileNet": 32, "ResNet50V2": 32, "VGG16": 32, "VGG19": 32, "ResNet50": 32, "MobileNetV2": 32, "DenseNet121": 32,
         "InceptionV3": 75, "Xception": 71, "ResNet101": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "NASNetMobile": 32,
         "MobileNetV3Small": 32, "MobileNetV3Large": 32}
QUICK = {"MobileNet", "EfficientNetB0", "MobileNetV3Small"}


def drawn(rng: np.random.Generator, path: str, shape: tuple[int, ...], first: np.ndarray) -> np.ndarray:
    """Weights as after training: what Keras begins at 1 or 0 would hide a mistake."""
    if path.split("/")[-1] in ("gamma", "moving_variance", "variance"):
        return rng.uniform(0.5, 1.5, shape)
    return rng.uniform(-0.1, 0.1, shape) if len(shape) == 1 else first


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # Keras's own variables
@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SIZES])
def test_an_application_of_keras_predicts_the_same_from_its_json_and_from_its_file(name, tmp_path):
    shape, rng = (SIZES[name], SIZES[name], 3), np.random.default_rng(0)
    keras.utils.set_random_seed(0)          # with some kernels, Keras's own rounding takes it further from float64 than the tolerance
    theirs = getattr(keras.applications, name)(weights=None, input_shape=shape, classes=10)
    theirs.set_weights([drawn(rng, v.path, v.shape, w) for v, w in zip(theirs.weights, theirs.get_weights())])
    x = rng.standard_normal((2, *shape)).astype("f4")
    ours = mrdl.model_from_json(theirs.to_json())
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours.predict(x), keras.ops.convert_to_numpy(theirs(x)), rtol=0, atol=1e-6)
    theirs.save(tmp_path / "m.keras")
    assert (mrdl.load_model(str(tmp_path / "m.keras")).weights == ours.weights).all()
