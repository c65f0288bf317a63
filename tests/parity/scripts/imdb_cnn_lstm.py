"""Reviews by a convolution, pooling and an LSTM."""
from keras.layers import LSTM, Activation, Conv1D, Dense, Dropout, Embedding, MaxPooling1D
from keras.models import Sequential
from keras.utils import pad_sequences
from small_data import reviews

x_train, y_train = reviews(300)
x_test, y_test = reviews(60, seed=1)
x_train = pad_sequences(x_train, maxlen=20, padding="post", truncating="post")
x_test = pad_sequences(x_test, maxlen=20, padding="post", truncating="post")

model = Sequential()
model.add(Embedding(200, 16, mask_zero=False))
model.add(Dropout(0.25))
model.add(Conv1D(16, 5, padding="valid", activation="relu", strides=1))
model.add(MaxPooling1D(pool_size=4))
model.add(LSTM(16))
model.add(Dense(1))
model.add(Activation("sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=30, epochs=4, validation_data=(x_test, y_test))
score, acc = model.evaluate(x_test, y_test, batch_size=30)
print("Test score:", score, "Test accuracy:", acc)
assert history.history["loss"][-1] < history.history["loss"][0]
