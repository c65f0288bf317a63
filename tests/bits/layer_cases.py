"""Layers that one table of examples carries to all checks: gradients, Keras's outputs, JSON, and bits of all CPU levels."""
import math

from mrdl.layers import (
    AveragePooling3D,
    CenterCrop,
    Conv1DTranspose,
    Conv3D,
    ConvLSTM2D,
    Cropping3D,
    Dense,
    Flatten,
    GlobalAveragePooling3D,
    GlobalMaxPooling3D,
    GroupNormalization,
    MaxPooling3D,
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
    UpSampling3D,
    ZeroPadding3D,
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
    "Conv3D": ((4, 5, 3, 2), [Conv3D(4, 2, activation="relu", kernel_regularizer="l2"), Conv3D(2, (3, 2, 1), (2, 1, 1), "same", name="own")]),
    "Conv3D, groups and dilation": ((5, 3, 4, 2), [Conv3D(4, (2, 3, 2), padding="same", dilation_rate=(2, 1, 1), groups=2, use_bias=False)]),
    "Conv3D, strides": ((5, 5, 4, 1), [Conv3D(3, 3, 2, "same", activation="gelu")]),
    "MaxPooling3D": ((5, 4, 3, 2), [MaxPooling3D((2, 2, 1)), MaxPooling3D(2, 1, "same")]),
    "MaxPooling3D over relu": ((5, 4, 3, 2), [Conv3D(3, 2, activation="relu"), MaxPooling3D(2)]),
    "AveragePooling3D": ((5, 4, 3, 2), [AveragePooling3D((2, 1, 2), padding="same"), AveragePooling3D(2, 1)]),
    "GlobalMaxPooling3D": ((3, 4, 2, 3), [GlobalMaxPooling3D(keepdims=True)]), "GlobalAveragePooling3D": ((3, 4, 2, 3), [GlobalAveragePooling3D()]),
    "ZeroPadding3D": ((2, 1, 2, 2), [ZeroPadding3D(((1, 0), (0, 2), (1, 1))), ZeroPadding3D((0, 1, 0))]),
    "Cropping3D": ((5, 4, 3, 2), [Cropping3D((1, 1, 0)), Cropping3D(((0, 1), (0, 0), (1, 0)))]),
    "UpSampling3D": ((2, 1, 2, 2), [UpSampling3D((2, 1, 3)), UpSampling3D(2)]),
    "ConvLSTM2D": ((3, 4, 3, 2), [ConvLSTM2D(3, 2, return_sequences=True, kernel_regularizer="l2"), ConvLSTM2D(2, (1, 3), (2, 1), "same", name="own")]),
    "ConvLSTM2D, backwards": ((3, 3, 4, 1), [ConvLSTM2D(3, 3, 1, "same", None, (1, 2), "softsign", "hard_sigmoid", use_bias=False,
                                                        unit_forget_bias=False, return_sequences=True, go_backwards=True)]),
}
RANDOM_CROP = {"RandomCrop": ((4, 5, 2), [RandomCrop(3, 4), RandomCrop(2, 4, seed=3), RandomCrop(3, 3)])}      # at inference, Keras's does nothing
LAYERS = [layer for _, layers in (CASES | RANDOM_CROP).values() for layer in layers]


def from_features(shape, layers):
    """The layers between Dense layers: from features to features."""
    return [Dense(math.prod(shape), "tanh"), Reshape(shape), *layers, Flatten()]
