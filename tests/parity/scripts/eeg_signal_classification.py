"""Signals by convolutions whose strides make them shorter, with several metrics and a shuffled stream of batches."""
import keras
import numpy as np
from keras import layers
from small_data import waves

x_train, y = waves(120, 64, classes=4)
y_train = keras.utils.to_categorical(y, 4)
x_test, y = waves(40, 64, classes=4, seed=1)
y_test = keras.utils.to_categorical(y, 4)


def batches():
    while True:
        index = np.random.permutation(len(x_train))[:20]
        yield x_train[index], y_train[index]


input_layer = keras.Input(shape=(64, 1))
x = layers.Conv1D(filters=16, kernel_size=3, strides=2, activation="relu", padding="same")(input_layer)
x = layers.BatchNormalization()(x)
x = layers.Conv1D(filters=16, kernel_size=3, strides=2, activation="relu", padding="same")(x)
x = layers.BatchNormalization()(x)
x = layers.Conv1D(filters=32, kernel_size=5, strides=2, activation="relu", padding="same")(x)
x = layers.BatchNormalization()(x)
x = layers.Dropout(0.2)(x)
x = layers.Flatten()(x)
x = layers.Dense(32, activation="relu")(x)
x = layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L2())(x)
output_layer = layers.Dense(4, activation="softmax")(x)
conv_model = keras.Model(inputs=input_layer, outputs=output_layer)
conv_model.summary()
optimizer = keras.optimizers.Adam(amsgrad=True, learning_rate=0.003)
loss = keras.losses.CategoricalCrossentropy()
conv_model.compile(optimizer=optimizer, loss=loss, metrics=[
    keras.metrics.TopKCategoricalAccuracy(k=3), keras.metrics.AUC(), keras.metrics.Precision(), keras.metrics.Recall()])
history = conv_model.fit(batches(), steps_per_epoch=6, epochs=5, validation_data=(x_test, y_test),
                         callbacks=[keras.callbacks.ReduceLROnPlateau(monitor="val_top_k_categorical_accuracy", factor=0.2,
                                                                      patience=2, min_lr=0.000001)])
loss, accuracy, auc, precision, recall = conv_model.evaluate(x_test, y_test)
assert accuracy > 0.6 and history.history["loss"][-1] < history.history["loss"][0]
