"""The same table by a network with weight decay and dropout, at a rate that falls as 1/t, stopped early."""
import os
import tempfile

import keras
from keras import layers, regularizers
from small_data import table

x, y = table(800)
STEPS_PER_EPOCH = 600 // 50
lr_schedule = keras.optimizers.schedules.InverseTimeDecay(0.01, decay_steps=STEPS_PER_EPOCH * 10, decay_rate=1, staircase=False)
csv = os.path.join(tempfile.mkdtemp(), "log.csv")


def get_callbacks():
    return [keras.callbacks.EarlyStopping(monitor="val_binary_crossentropy", patience=3), keras.callbacks.CSVLogger(csv)]


def compile_and_fit(model, max_epochs=6):
    model.compile(optimizer=keras.optimizers.Adam(lr_schedule), loss=keras.losses.BinaryCrossentropy(from_logits=True),
                  metrics=[keras.metrics.BinaryCrossentropy(from_logits=True, name="binary_crossentropy"), "accuracy"])
    model.summary()
    return model.fit(x[:600], y[:600], batch_size=50, epochs=max_epochs, validation_data=(x[600:], y[600:]),
                     callbacks=get_callbacks(), verbose=0)


combined_model = keras.Sequential([
    layers.Dense(32, kernel_regularizer=regularizers.l2(0.0001), activation="elu", input_shape=(8,)),
    layers.Dropout(0.5),
    layers.Dense(32, kernel_regularizer=regularizers.L1L2(0, 0.0001), activation="elu"),
    layers.Dropout(0.5),
    layers.Dense(1),
])
history = compile_and_fit(combined_model)
with open(csv) as file:
    assert file.readline().startswith("epoch,accuracy,binary_crossentropy,")
assert history.history["val_binary_crossentropy"][-1] < history.history["val_binary_crossentropy"][0]
