"""Digits by one LSTM over the pixels of each row and another over the rows."""
import keras
from keras.layers import LSTM, Dense, Input, TimeDistributed
from keras.models import Model
from small_data import digits

(x_train, y_train), (x_test, y_test) = digits(300, 60)
x_train = x_train.reshape(x_train.shape[0], 8, 8, 1).astype("float32") / 255
x_test = x_test.reshape(x_test.shape[0], 8, 8, 1).astype("float32") / 255
y_train = keras.utils.to_categorical(y_train, 10)
y_test = keras.utils.to_categorical(y_test, 10)
row, col, pixel = x_train.shape[1:]

x = Input(shape=(row, col, pixel))
encoded_rows = TimeDistributed(LSTM(16))(x)
encoded_columns = LSTM(16)(encoded_rows)
prediction = Dense(10, activation="softmax")(encoded_columns)
model = Model(x, prediction)
model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=16, epochs=4, verbose=1, validation_data=(x_test, y_test))
scores = model.evaluate(x_test, y_test, verbose=0)
assert history.history["loss"][-1] < history.history["loss"][0] and len(scores) == 2
