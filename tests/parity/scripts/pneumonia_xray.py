"""Pictures of which few are of the second class: separable convolutions, weights of classes, a first bias from the counts, a decaying rate."""
import os
import tempfile

import keras
import numpy as np
from keras import layers
from small_data import pictures

x, y = pictures(200)
keep = (y == 1) | (np.arange(200) % 4 == 0)
x, y = x[keep], y[keep]
x_val, y_val = pictures(40, seed=1)
COUNT_NORMAL, COUNT_PNEUMONIA = int((y == 0).sum()), int((y == 1).sum())
TRAIN_IMG_COUNT = len(y)
weight_for_0 = (1 / COUNT_NORMAL) * TRAIN_IMG_COUNT / 2.0
weight_for_1 = (1 / COUNT_PNEUMONIA) * TRAIN_IMG_COUNT / 2.0
class_weight = {0: weight_for_0, 1: weight_for_1}
initial_bias = np.log([COUNT_PNEUMONIA / COUNT_NORMAL])
output_bias = keras.initializers.Constant(float(initial_bias[0]))


def conv_block(filters, inputs):
    x = layers.SeparableConv2D(filters, 3, activation="relu", padding="same")(inputs)
    x = layers.SeparableConv2D(filters, 3, activation="relu", padding="same")(x)
    x = layers.BatchNormalization()(x)
    return layers.MaxPool2D()(x)


def dense_block(units, dropout_rate, inputs):
    x = layers.Dense(units, activation="relu")(inputs)
    x = layers.BatchNormalization()(x)
    return layers.Dropout(dropout_rate)(x)


inputs = keras.Input(shape=(16, 16, 3))
x1 = layers.Rescaling(1.0 / 255)(inputs)
x1 = layers.Conv2D(8, 3, activation="relu", padding="same")(x1)
x1 = layers.MaxPool2D()(x1)
x1 = conv_block(16, x1)
x1 = layers.Dropout(0.2)(x1)
x1 = layers.Flatten()(x1)
x1 = dense_block(32, 0.3, x1)
outputs = layers.Dense(1, activation="sigmoid", bias_initializer=output_bias)(x1)
model = keras.Model(inputs=inputs, outputs=outputs)

lr_schedule = keras.optimizers.schedules.ExponentialDecay(0.015, decay_steps=100, decay_rate=0.96, staircase=True)
METRICS = [keras.metrics.BinaryAccuracy(), keras.metrics.Precision(name="precision"), keras.metrics.Recall(name="recall")]
model.compile(optimizer=keras.optimizers.Adam(learning_rate=lr_schedule), loss="binary_crossentropy", metrics=METRICS)
checkpoint_cb = keras.callbacks.ModelCheckpoint(os.path.join(tempfile.mkdtemp(), "xray_model.keras"), save_best_only=True)
early_stopping_cb = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
history = model.fit(x, y, batch_size=16, epochs=6, validation_data=(x_val, y_val), class_weight=class_weight,
                    callbacks=[checkpoint_cb, early_stopping_cb])
result = model.evaluate(x_val, y_val, return_dict=True)
assert set(result) == {"loss", "binary_accuracy", "precision", "recall"}
assert min(history.history["loss"]) < history.history["loss"][0]
