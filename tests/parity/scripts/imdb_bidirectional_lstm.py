"""Reviews, good or bad, by two LSTMs of both directions."""
from small_data import reviews

import keras
from keras import layers

max_features = 200
maxlen = 20
x_train, y_train = reviews(200)
x_val, y_val = reviews(60, seed=1)

inputs = keras.Input(shape=(None,), dtype="int32")
x = layers.Embedding(max_features, 16)(inputs)
x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
x = layers.Bidirectional(layers.LSTM(8))(x)
outputs = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, outputs)
model.summary()
x_train = keras.utils.pad_sequences(x_train, maxlen=maxlen)
x_val = keras.utils.pad_sequences(x_val, maxlen=maxlen)
model.compile(optimizer=keras.optimizers.Adam(0.02), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=20, epochs=3, validation_data=(x_val, y_val))
assert history.history["val_accuracy"][-1] > 0.7
