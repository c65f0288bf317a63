"""The same digits by convolution: prepare and train it as examples/digits.py."""
import mrdl
from mrdl.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D, Rescaling, Reshape

model = mrdl.Sequential([
    Rescaling(1 / 16),
    Reshape((8, 8, 1)),
    Conv2D(32, 3, padding="same", activation="relu"),
    BatchNormalization(momentum=0.9),
    Conv2D(32, 3, padding="same", activation="relu"),
    MaxPooling2D(),
    Flatten(),
    Dense(64, "relu"),
    Dense(10, "softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
