"""What an autoencoder of convolutions cannot put together again is not as usual."""
import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)
usual = np.sin(np.arange(400) * 0.4) + rng.normal(0, 0.05, 400)
odd = usual.copy()
odd[200:230] += 2.0
TIME_STEPS = 24
training_mean, training_std = usual.mean(), usual.std()


def create_sequences(values, time_steps=TIME_STEPS):
    return np.stack([values[i:i + time_steps] for i in range(len(values) - time_steps + 1)])[..., None]


x_train = create_sequences((usual - training_mean) / training_std)
model = keras.Sequential([
    layers.Input(shape=(x_train.shape[1], x_train.shape[2])),
    layers.Conv1D(filters=16, kernel_size=7, padding="same", strides=2, activation="relu"),
    layers.Dropout(rate=0.2),
    layers.Conv1D(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
    layers.Conv1DTranspose(filters=8, kernel_size=7, padding="same", strides=2, activation="relu"),
    layers.Dropout(rate=0.2),
    layers.Conv1DTranspose(filters=16, kernel_size=7, padding="same", strides=2, activation="relu"),
    layers.Conv1DTranspose(filters=1, kernel_size=7, padding="same"),
])
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.003), loss="mse")
model.summary()
history = model.fit(x_train, x_train, epochs=8, batch_size=32, validation_split=0.1, callbacks=[
    keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, mode="min")])
x_train_pred = model.predict(x_train)
threshold = np.max(np.mean(np.abs(x_train_pred - x_train), axis=1))
x_test = create_sequences((odd - training_mean) / training_std)
anomalies = np.mean(np.abs(model.predict(x_test) - x_test), axis=1) > threshold
print("Number of anomaly samples: ", np.sum(anomalies))
assert anomalies.any() and not anomalies[:150].any()
