"""News by topic: which words are in a text, as a row of ones and zeros."""
import keras
import numpy as np
from keras.layers import Activation, Dense, Dropout
from keras.models import Sequential
from small_data import reviews

max_words = 200
texts, y = reviews(400)
x = np.zeros((len(texts), max_words), "float32")
for row, ids in zip(x, texts):
    row[ids] = 1
num_classes = np.max(y) + 1
y_train = keras.utils.to_categorical(y[:300], num_classes)
y_test = keras.utils.to_categorical(y[300:], num_classes)

model = Sequential()
model.add(Dense(64, input_shape=(max_words,)))
model.add(Activation("relu"))
model.add(Dropout(0.5))
model.add(Dense(num_classes))
model.add(Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x[:300], y_train, batch_size=32, epochs=5, verbose=1, validation_split=0.1)
score = model.evaluate(x[300:], y_test, batch_size=32, verbose=1)
assert score[1] > 0.8
