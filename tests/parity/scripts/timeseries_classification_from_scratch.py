"""Series of two kinds by three convolutions (Wang et al. 2016); the best model of the epochs is opened at the end."""
import os
import tempfile

import keras
import numpy as np
from small_data import waves

x_train, y_train = waves(160)
x_test, y_test = waves(60, seed=1)
num_classes = len(np.unique(y_train))
idx = np.random.permutation(len(x_train))
x_train, y_train = x_train[idx], y_train[idx]


def make_model(input_shape):
    input_layer = keras.layers.Input(input_shape)
    conv = input_layer
    for _ in range(3):
        conv = keras.layers.Conv1D(filters=16, kernel_size=3, padding="same")(conv)
        conv = keras.layers.BatchNormalization()(conv)
        conv = keras.layers.ReLU()(conv)
    gap = keras.layers.GlobalAveragePooling1D()(conv)
    output_layer = keras.layers.Dense(num_classes, activation="softmax")(gap)
    return keras.models.Model(inputs=input_layer, outputs=output_layer)


model = make_model(input_shape=x_train.shape[1:])
path = os.path.join(tempfile.mkdtemp(), "best_model.keras")
callbacks = [
    keras.callbacks.ModelCheckpoint(path, save_best_only=True, monitor="val_loss"),
    keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=20, min_lr=0.0001),
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=50, verbose=1),
]
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy",
              metrics=["sparse_categorical_accuracy"])
history = model.fit(x_train, y_train, batch_size=16, epochs=5, callbacks=callbacks, validation_split=0.2, verbose=1)
model = keras.models.load_model(path)
test_loss, test_acc = model.evaluate(x_test, y_test)
metric = "sparse_categorical_accuracy"
assert len(history.history["val_" + metric]) == 5 and history.history["loss"][-1] < history.history["loss"][0]
assert abs(test_loss - float(model.evaluate(x_test, y_test, verbose=0)[0])) < 1e-9
