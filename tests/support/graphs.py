"""Functional models: several inputs and outputs, shared layers, merges; and arrays for them."""
import numpy as np
from graphs_of_operations import OPERATIONS

import mrdl
from mrdl.layers import (
    Activation,
    Add,
    Average,
    Concatenate,
    Conv2D,
    Dense,
    Dot,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Maximum,
    MaxPooling2D,
    Minimum,
    Multiply,
    Rescaling,
    Reshape,
    Subtract,
)
from mrdl.optimizers import SGD


def merged(layer, size=4, inputs=2):
    """Several inputs, a layer of each, the merge, and a classifier on it."""
    def build():
        given = [Input((3 + i,)) for i in range(inputs)]
        parts = [Dense(size, activation)(x) for x, activation in zip(given, ("tanh", "relu", "sigmoid"))]
        return given, Dense(3, "softmax")(layer(parts))
    return build


def residual():
    x = Input((6,))
    h = Dense(6, "relu")(x)
    return x, Dense(3, "softmax")(Dense(5, "relu")(Add()([h, Dense(6)(h), x])))


def shared():
    a, b, layer = Input((4,)), Input((4,)), Dense(5, "tanh", kernel_regularizer="l2", name="twin")
    again = Dense(5, "relu", name="again")
    return [a, b], Dense(3, "softmax")(Subtract()([again(layer(a)), again(again(layer(b)))]))


def images():
    x, y = Input((5, 4, 2), name="picture"), Input((3,), name="facts")
    wide, narrow = Conv2D(3, 3, padding="same", activation="relu")(x), Conv2D(3, 1)(x)
    both = MaxPooling2D(2)(Concatenate()([wide, narrow]))
    return [x, y], Dense(3, "softmax")(Concatenate(axis=1)([Flatten()(both), y]))


def two_outputs():
    a, b = Input((5,), name="left"), Input((3,), name="right")
    h = Concatenate()([Dense(4, "relu")(a), Dense(4, "tanh")(b)])
    return [a, b], [Dense(3, "softmax", name="kind")(h), Dense(2, name="size")(Dense(4, "relu")(h))]


def an_output_that_goes_on():
    x = Input((5,))
    h = Dense(4, "tanh", name="code")(Rescaling(0.5, 0.1)(x))
    return x, [Dense(3, "softmax", name="kind")(Activation("relu")(h)), h]


def rescaled_and_not():
    x = Input((4,))
    return x, Dense(3, "softmax")(Concatenate()([Rescaling(2.0)(x), x]))


def broadcast(*layers):
    """Inputs of other shapes: squeeze-and-excitation, an axis in the middle, a row for all places, both sides repeated."""
    def build():
        x, z = Input((3, 2, 4)), Input((5,))
        h = Dense(4, "tanh")(x)
        others = [Dense(4, "sigmoid")(GlobalAveragePooling2D(keepdims=True)(h)), Reshape((3, 1, 4))(Dense(12, "tanh")(z)),
                  Reshape((2, 1))(Dense(2)(z)), Reshape((4,))(Dense(4, "relu")(z)), Reshape((3, 1, 1))(Dense(3)(z))]
        for layer, other in zip(layers * 5, others):
            h = layer([h, other]) if other.shape[0] == 2 else layer([other, h])
        grown = Multiply()([Reshape((3, 1))(Dense(3)(z)), Reshape((1, 4))(Dense(4)(z))])
        return [x, z], Dense(3, "softmax")(Concatenate()([Flatten()(h), Flatten()(grown)]))
    return build


def matrices():
    a, b = Input((6,)), Input((8,))
    left, right = Reshape((3, 2))(Dense(6, "tanh")(a)), Reshape((2, 4))(Dense(8)(b))
    return [a, b], Dense(3, "softmax")(Flatten()(Dot((2, 1))([left, right])))


def an_input_that_nothing_takes():
    a, b = Input((4,)), Input((2,))
    return [a, b], Dense(3, "softmax")(a)


GRAPHS = {
    "Add": merged(Add(), inputs=3), "Subtract": merged(Subtract()), "Multiply": merged(Multiply(), inputs=3),
    "Average": merged(Average(), inputs=3), "Maximum": merged(Maximum(), inputs=3), "Minimum": merged(Minimum()),
    "Concatenate": merged(Concatenate(), inputs=3), "Dot": merged(Dot(1)), "Dot of matrices": matrices,
    "broadcasting products": broadcast(Multiply(), Multiply(), Add(), Multiply(), Subtract()),
    "broadcasting extremes": broadcast(Average(), Maximum(), Minimum(), Add(), Maximum()),
    "residual": residual, "shared": shared, "images": images, "two outputs": two_outputs,
    "an output that goes on": an_output_that_goes_on, "rescaled and not": rescaled_and_not,
    "an input that nothing takes": an_input_that_nothing_takes, **OPERATIONS,
}
LOSSES = {"": "sparse_categorical_crossentropy", "kind": "sparse_categorical_crossentropy", "size": "mse",
          "code": "mae"}


def made(name, dtype="float32", optimizer=None, **more):
    inputs, outputs = GRAPHS[name]()
    model = mrdl.Model(inputs, outputs, dtype=dtype)
    names = model.output_names() if isinstance(outputs, list) else [""]
    model.compile(optimizer or SGD(0.25), [LOSSES[n] for n in names], loss_weights=[1.0, 0.25][:len(names)],
                  metrics=[["accuracy"], ["mse"]][:len(names)], **more)
    return model


def arrays(model, n, seed=0):
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((n, *shape)).astype("f4") for shape in model.input_shapes()]
    y = [rng.integers(0, 3, n) if head.loss.sparse else rng.standard_normal((n, *head.shape)).astype("f4")
         for head in model.heads()]
    return x, y
