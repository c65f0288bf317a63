"""Scans of three dimensions by a network of 3-D convolutions (Zunair et al. 2020)."""
import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)
y = rng.integers(0, 2, 48)
x = rng.uniform(0, 0.5, (48, 12, 12, 8, 1)).astype("float32")
x[y == 1, :6, :6, :4] += 0.5


def get_model(width=12, height=12, depth=8):
    inputs = keras.Input((width, height, depth, 1))
    x = layers.Conv3D(filters=8, kernel_size=3, activation="relu")(inputs)
    x = layers.MaxPool3D(pool_size=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv3D(filters=8, kernel_size=2, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling3D()(x)
    x = layers.Dense(units=16, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(units=1, activation="sigmoid")(x)
    return keras.Model(inputs, outputs, name="3dcnn")


model = get_model()
lr_schedule = keras.optimizers.schedules.ExponentialDecay(0.01, decay_steps=100000, decay_rate=0.96, staircase=True)
model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(learning_rate=lr_schedule), metrics=["acc"])
history = model.fit(x, y, batch_size=4, epochs=3, shuffle=True, verbose=2)
assert history.history["acc"][-1] > 0.7
