"""A frozen base under a new head; then all of it at a low rate."""
import keras
import numpy as np
from keras import layers
from small_data import pictures

x_train, y_train = pictures(96, 32)
x_val, y_val = pictures(32, 32, seed=1)

base_model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), include_top=False, alpha=0.35) \
    if hasattr(keras, "applications") else keras.Sequential([
        keras.Input((32, 32, 3)), layers.Conv2D(8, 3, strides=2), layers.BatchNormalization(), layers.ReLU(6.0),
        layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.ReLU(6.0), layers.Conv2D(16, 1)])
base_model.trainable = False
inputs = keras.Input(shape=(32, 32, 3))
scale_layer = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)
x = scale_layer(inputs)
x = base_model(x, training=False)
x = keras.layers.GlobalAveragePooling2D()(x)
x = keras.layers.Dropout(0.2)(x)
outputs = keras.layers.Dense(1)(x)
model = keras.Model(inputs, outputs)
model.summary(show_trainable=True)

before = [np.array(w) for w in base_model.get_weights()]
model.compile(optimizer=keras.optimizers.Adam(0.01), loss=keras.losses.BinaryCrossentropy(from_logits=True),
              metrics=[keras.metrics.BinaryAccuracy()])
first = model.fit(x_train, y_train, batch_size=16, epochs=3, validation_data=(x_val, y_val))
assert all((a == b).all() for a, b in zip(before, base_model.get_weights()))

base_model.trainable = True
model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=keras.losses.BinaryCrossentropy(from_logits=True),
              metrics=[keras.metrics.BinaryAccuracy()])
second = model.fit(x_train, y_train, batch_size=16, epochs=1, validation_data=(x_val, y_val))
assert any((a != b).any() for a, b in zip(before, base_model.get_weights()))
