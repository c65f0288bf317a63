"""Layers that one table of examples carries to all checks: gradients, Keras's outputs, JSON, and bits of all CPU levels."""
import math

from mrdl.layers import (
    CenterCrop,
    Conv1DTranspose,
    Dense,
    Flatten,
    GroupNormalization,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Reshape,
    Resizing,
    UnitNormalization,
)

# name -> (the shape of one example, layers)
CASES = {
    "UnitNormalization": ((3, 4), [UnitNormalization(), UnitNormalization(1)]),
    "UnitNormalization of all": ((3, 2, 4), [UnitNormalization([1, 2, -1], name="own")]),
    "GroupNormalization": ((3, 2, 4), [GroupNormalization(2, gamma_regularizer="l2"), GroupNormalization(4, 3, 0.1, scale=False)]),
    "GroupNormalization of features": ((6,), [GroupNormalization(1), GroupNormalization(3, center=False)]),
    "Resizing": ((3, 5, 2), [Resizing(5, 4), Resizing(2, 7, "nearest"), Resizing(3, 4, "bilinear", True, name="own")]),
    "CenterCrop": ((4, 5, 2), [CenterCrop(3, 4), CenterCrop(3, 2), CenterCrop(4, 4)]),
    **{f"Conv1DTranspose {k} {s} {p} {d}": ((5, 3), [Conv1DTranspose(4, k, s, p, dilation_rate=d, activation="tanh")])
       for k, s, d in ((2, 1, 2), (3, 2, 1), (2, 3, 1)) for p in ("valid", "same")},
    "RandomFlip": ((4, 5, 2), [RandomFlip(), RandomFlip("vertical", 3), RandomFlip("horizontal", name="own")]),
    "RandomTranslation": ((4, 5, 2), [RandomTranslation(0.3, (-0.1, 0.7)), RandomTranslation(0.9, 0.9, "wrap", "nearest")]),
    "RandomRotation": ((4, 5, 2), [RandomRotation(0.3), RandomRotation((-0.7, 0.1), "constant", seed=3, fill_value=0.5)]),
    "RandomZoom": ((4, 5, 2), [RandomZoom(0.3), RandomZoom((-0.5, 0.9), 0.4, "nearest")]),
    "RandomContrast": ((4, 5, 2), [RandomContrast(0.3, (-2, 2)), RandomContrast((0.5, 0.1), (-1, 2), 3)]),
    "RandomBrightness": ((4, 5, 2), [RandomBrightness(0.3, (-1, 1.5)), RandomBrightness((-0.1, 0.2), [2, -1], 3)]),
}
RANDOM_CROP = {"RandomCrop": ((4, 5, 2), [RandomCrop(3, 4), RandomCrop(2, 4, seed=3), RandomCrop(3, 3)])}      # at inference, Keras's does nothing
LAYERS = [layer for _, layers in (CASES | RANDOM_CROP).values() for layer in layers]


def from_features(shape, layers):
    """The layers between Dense layers: from features to features."""
    return [Dense(math.prod(shape), "tanh"), Reshape(shape), *layers, Flatten()]
