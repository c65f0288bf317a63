"""Digits as a few numbers and back; the encoder and the decoder are models of their own, of the same layers."""
import keras
import numpy as np
from keras import layers
from small_data import digits

encoding_dim = 16
(x_train, _), (x_test, _) = digits()
x_train = x_train.astype("float32") / 255.0
x_test = x_test.astype("float32") / 255.0
x_train = x_train.reshape((len(x_train), np.prod(x_train.shape[1:])))
x_test = x_test.reshape((len(x_test), np.prod(x_test.shape[1:])))

input_img = keras.Input(shape=(64,))
encoded = layers.Dense(encoding_dim, activation="relu", activity_regularizer=None)(input_img)
decoded = layers.Dense(64, activation="sigmoid")(encoded)
autoencoder = keras.Model(input_img, decoded)
encoder = keras.Model(input_img, encoded)
encoded_input = keras.Input(shape=(encoding_dim,))
decoder_layer = autoencoder.layers[-1]
decoder = keras.Model(encoded_input, decoder_layer(encoded_input))
autoencoder.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
history = autoencoder.fit(x_train, x_train, epochs=5, batch_size=50, shuffle=True, validation_data=(x_test, x_test))

encoded_imgs = encoder.predict(x_test)
decoded_imgs = decoder.predict(encoded_imgs)
np.testing.assert_allclose(decoded_imgs, autoencoder.predict(x_test), atol=1e-6)
assert history.history["loss"][-1] < history.history["loss"][0]
