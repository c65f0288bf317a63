"""A classifier of handwritten digits (8 x 8 pixels, 0..16): what `make demo` trains."""
import mrdl
from mrdl.layers import Dense, Dropout, Rescaling

model = mrdl.Sequential([
    Rescaling(1 / 16),
    Dense(128, "relu"),
    Dropout(0.2),
    Dense(64, "relu"),
    Dense(10, "softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
