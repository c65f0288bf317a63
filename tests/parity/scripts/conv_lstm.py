"""The next picture of a film by convolutional LSTMs (Shi et al. 2015)."""
import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)
films = np.zeros((32, 6, 8, 8, 1), "float32")
for film, (i, j) in zip(films, rng.integers(0, 8, (32, 2))):
    for t in range(6):
        film[t, (i + t) % 8, j] = 1
x, y = films[:, :-1], films[:, 1:]

inp = layers.Input(shape=(5, *x.shape[2:]))
x1 = layers.ConvLSTM2D(filters=8, kernel_size=(3, 3), padding="same", return_sequences=True, activation="relu")(inp)
x1 = layers.BatchNormalization()(x1)
x1 = layers.ConvLSTM2D(filters=8, kernel_size=(1, 1), padding="same", return_sequences=True, activation="relu")(x1)
x1 = layers.Conv3D(filters=1, kernel_size=(3, 3, 3), activation="sigmoid", padding="same")(x1)
model = keras.models.Model(inp, x1)
model.compile(loss=keras.losses.binary_crossentropy, optimizer=keras.optimizers.Adam(0.01))
history = model.fit(x, y, batch_size=8, epochs=3, validation_split=0.2)
assert history.history["loss"][-1] < history.history["loss"][0]
