"""Who speaks, from the spectrum of a second, by residual blocks of one dimension."""
import keras
import numpy as np
from small_data import waves

audio, y = waves(120, 64, classes=3)
audio = np.abs(np.fft.fft(audio[..., 0]))[:, :32, None].astype("float32")


def residual_block(x, filters, conv_num=3, activation="relu"):
    s = keras.layers.Conv1D(filters, 1, padding="same")(x)
    for i in range(conv_num - 1):
        x = keras.layers.Conv1D(filters, 3, padding="same")(x)
        x = keras.layers.Activation(activation)(x)
    x = keras.layers.Conv1D(filters, 3, padding="same")(x)
    x = keras.layers.Add()([x, s])
    x = keras.layers.Activation(activation)(x)
    return keras.layers.MaxPool1D(pool_size=2, strides=2)(x)


inputs = keras.layers.Input(shape=(32, 1), name="input")
x = residual_block(inputs, 8, 2)
x = residual_block(x, 16, 3)
x = keras.layers.AveragePooling1D(pool_size=3, strides=3)(x)
x = keras.layers.Flatten()(x)
x = keras.layers.Dense(32, activation="relu")(x)
outputs = keras.layers.Dense(3, activation="softmax", name="output")(x)
model = keras.models.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer="Adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(audio[:100], y[:100], batch_size=20, epochs=6, validation_data=(audio[100:], y[100:]))
assert model.evaluate(audio[100:], y[100:])[1] > 0.7
