"""A number from a table, whose columns a Normalization layer brings to one scale; mean absolute error."""
import keras
import numpy as np
from keras import layers
from small_data import table

rng = np.random.default_rng(1)
train_data, _ = table(400)
train_data = train_data * [1, 10, 100, 1, 1, 5, 2, 1] + [0, 5, 300, 0, 0, 1, 0, 0]
target = 20 + train_data[:, 0] * 3 - train_data[:, 1] * 0.2 + rng.normal(0, 0.1, 400)

normalizer = layers.Normalization(axis=-1)
normalizer.adapt(np.array(train_data))
model = keras.Sequential([normalizer, layers.Dense(32, activation="relu"), layers.Dense(32, activation="relu"), layers.Dense(1)])
model.compile(loss="mean_absolute_error", optimizer=keras.optimizers.Adam(0.01))
history = model.fit(train_data, target, validation_split=0.2, verbose=0, epochs=12)
test_results = {"dnn_model": model.evaluate(train_data, target, verbose=0)}
test_predictions = model.predict(train_data).flatten()
assert history.history["loss"][-1] < 6 and test_predictions.shape == (400,)
