"""Noise taken off digits by an encoder of convolutions and a decoder of transposed ones."""
import numpy as np
from keras import layers
from keras.models import Model
from small_data import digits


def preprocess(array):
    array = array.astype("float32") / 255.0
    return np.reshape(array, (len(array), 8, 8, 1))


def noise(array):
    noisy_array = array + 0.4 * np.random.normal(loc=0.0, scale=1.0, size=array.shape)
    return np.clip(noisy_array, 0.0, 1.0)


(train_data, _), (test_data, _) = digits()
train_data, test_data = preprocess(train_data), preprocess(test_data)
noisy_train_data, noisy_test_data = noise(train_data), noise(test_data)

input = layers.Input(shape=(8, 8, 1))
x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(input)
x = layers.MaxPooling2D((2, 2), padding="same")(x)
x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(x)
x = layers.MaxPooling2D((2, 2), padding="same")(x)
x = layers.Conv2DTranspose(16, (3, 3), strides=2, activation="relu", padding="same")(x)
x = layers.Conv2DTranspose(16, (3, 3), strides=2, activation="relu", padding="same")(x)
x = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
autoencoder = Model(input, x)
autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
autoencoder.summary()
autoencoder.fit(x=train_data, y=train_data, epochs=2, batch_size=32, shuffle=True, validation_data=(test_data, test_data))
history = autoencoder.fit(x=noisy_train_data, y=train_data, epochs=3, batch_size=32, shuffle=True,
                          validation_data=(noisy_test_data, test_data))
assert autoencoder.predict(noisy_test_data).shape == test_data.shape
assert history.history["loss"][-1] < history.history["loss"][0]
