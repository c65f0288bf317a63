"""Temperature some steps ahead, from windows of several series, by an LSTM."""
import os
import tempfile

import keras
import numpy as np

rng = np.random.default_rng(0)
t = np.arange(500)
features = np.stack([np.sin(t * 0.2), np.cos(t * 0.2), rng.standard_normal(500) * 0.1], axis=1).astype("float32")
targets = np.sin((t + 4) * 0.2)
past, step, batch_size = 24, 2, 32
sequence_length = int(past / step)
dataset_train = keras.utils.timeseries_dataset_from_array(features[:400], targets[past:400], sequence_length=sequence_length,
                                                          sampling_rate=step, batch_size=batch_size)
dataset_val = keras.utils.timeseries_dataset_from_array(features[400:], targets[400 + past:], sequence_length=sequence_length,
                                                        sampling_rate=step, batch_size=batch_size)
for batch in dataset_train:
    inputs, targets = batch
    break
print("Input shape:", inputs.shape, "Target shape:", targets.shape)

inputs = keras.layers.Input(shape=(inputs.shape[1], inputs.shape[2]))
lstm_out = keras.layers.LSTM(16)(inputs)
outputs = keras.layers.Dense(1)(lstm_out)
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss="mse")
model.summary()
path_checkpoint = os.path.join(tempfile.mkdtemp(), "model_checkpoint.weights.h5")
es_callback = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5)
modelckpt_callback = keras.callbacks.ModelCheckpoint(monitor="val_loss", filepath=path_checkpoint, verbose=1,
                                                     save_weights_only=True, save_best_only=True)
history = model.fit(dataset_train, epochs=4, validation_data=dataset_val, callbacks=[es_callback, modelckpt_callback])
best = min(history.history["val_loss"])
model.load_weights(path_checkpoint)
assert abs(model.evaluate(dataset_val) - best) < 1e-5 and best < history.history["val_loss"][0]
