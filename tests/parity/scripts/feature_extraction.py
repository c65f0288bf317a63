"""What the layers inside of a network put out, by a second model of its layers."""
import keras
import numpy as np
from keras import layers
from small_data import digits

(x_train, y_train), _ = digits(200, 10)
x_train = x_train[..., None].astype("float32") / 255
model = keras.Sequential([
    keras.Input((8, 8, 1)),
    layers.Conv2D(8, 3, activation="relu", name="first"),
    layers.Conv2D(8, 3, activation="relu", name="second"),
    layers.GlobalMaxPooling2D(name="pooled"),
    layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
feature_extractor = keras.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
middle = keras.Model(inputs=model.inputs, outputs=model.get_layer(name="second").output)
model.fit(x_train, y_train, epochs=2, batch_size=20)

features = feature_extractor.predict(x_train[:5])
assert [f.shape for f in features] == [(5, 6, 6, 8), (5, 4, 4, 8), (5, 8), (5, 10)]
np.testing.assert_allclose(features[-1], model.predict(x_train[:5]), atol=1e-6)
np.testing.assert_allclose(features[1], middle.predict(x_train[:5]), atol=1e-6)
