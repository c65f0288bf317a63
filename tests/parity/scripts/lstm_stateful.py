"""The mean of the last steps of a series, by an LSTM that keeps its state from batch to batch."""
import keras
import numpy as np

rng = np.random.default_rng(0)
x = rng.uniform(-0.1, 0.1, (201,))
y = (x[1:] + x[:-1]) / 2
x_train, y_train = x[1:161, None, None], y[:160, None]
x_test, y_test = x[161:, None, None], y[160:, None]


def create_model(stateful):
    model = keras.Sequential()
    model.add(keras.Input(batch_shape=(1, 1, 1)))
    model.add(keras.layers.LSTM(8, stateful=stateful))
    model.add(keras.layers.Dense(1))
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.01))
    return model


model_stateful = create_model(stateful=True)
for i in range(3):
    model_stateful.fit(x_train, y_train, batch_size=1, epochs=1, verbose=0, shuffle=False)
    model_stateful.layers[0].reset_states()
predicted_stateful = model_stateful.predict(x_test, batch_size=1)
model_stateless = create_model(stateful=False)
model_stateless.fit(x_train, y_train, batch_size=1, epochs=3, verbose=0, shuffle=False)
predicted_stateless = model_stateless.predict(x_test, batch_size=1)
assert np.mean((predicted_stateful - y_test)**2) < np.mean((predicted_stateless - y_test)**2)
