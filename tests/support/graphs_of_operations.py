"""Functional models of operators on symbols and of mrdl.ops."""
import numpy as np

from mrdl import ops
from mrdl.layers import Concatenate, Conv2D, Dense, Flatten, GlobalAveragePooling2D, Input


def operators():
    """Squeeze-and-excitation by operators, as MobileNetV3 writes it; and each operator, with numbers at both sides."""
    x, z = Input((4, 6, 4)), Input((4,))
    h = Conv2D(4, 3, padding="same", activation="tanh")(x)
    gate = Dense(4)(GlobalAveragePooling2D(keepdims=True)(h))
    h = h * (ops.relu6(gate + 3.0) * (1 / 6)) + x
    given, z = z, Dense(4, "sigmoid")(z)
    many = [z - 1, 1 - z, np.float32(2) * z, z / 3, 1 / (z + 1), 2 / (z + 1), -z, z ** 2, 2 ** z, abs(z - 0.5), (z + 1) ** 1.5, (z + 1) ** -0.3,
            z / (z + 1), z * z - z]
    return [x, given], Dense(3, "softmax")(Concatenate()([Flatten()(h), *many]))


def slices():
    x = Input((4, 6, 4))
    h = Dense(4, "tanh")(x)
    parts = [h[:, 1:, ::2], h[..., 0], h[:, None, 1], h[:, -1, ..., 1:3], ops.flip(h, (1, -1)), *ops.split(h, 2, -1),
             *ops.split(h, [1, 3], 2), ops.space_to_depth(h, 2), ops.depth_to_space(h, 2), ops.transpose(h, (0, 3, 1, 2)),
             ops.stack([h[:, 0], h[:, 1]], 1), ops.expand_dims(h, -1), ops.squeeze(h[:, :1], 1), ops.moveaxis(h, 1, -1)]
    return x, Dense(3, "softmax")(ops.concatenate([Flatten()(part) for part in parts], -1))


def reductions():
    x = Input((3, 5, 4))
    h = Dense(4, "tanh")(x)
    made = [getattr(ops, name)(h, axis, keepdims) for name in ("sum", "mean", "max", "min", "std", "logsumexp")
            for axis, keepdims in (((1, 2), False), (-1, True), (2, False))]
    made += [ops.norm(h, axis=-1), ops.norm(h, 1, 1), ops.normalize(h, 2), ops.softmax(h, 1), ops.log_softmax(h), ops.matmul(h[:, 0], h[:, 1, :4])]
    return x, Dense(3, "softmax")(ops.concatenate([Flatten()(part) for part in made], 1))


def functions():
    x = Input((5,))
    h = Dense(5, "sigmoid")(x) + 0.1
    made = [getattr(ops, name)(h) for name in ("square", "sqrt", "rsqrt", "reciprocal", "log", "exp", "gelu", "log_sigmoid")]
    made += [ops.clip(h, 0.3, 0.8), ops.maximum(h, 0.5), ops.minimum(0.5, h), ops.maximum(h, 1 - h), ops.minimum(h, h * h),
             ops.leaky_relu(h - 0.5), ops.elu(h - 0.5, 0.5)]
    return x, Dense(3, "softmax")(ops.concatenate(made, 1))


OPERATIONS = {"operators": operators, "slices": slices, "reductions": reductions, "functions of numbers": functions}
