"""Sums of two numbers written as characters, put out as characters."""
import keras
import numpy as np
from keras import layers

DIGITS, MAXLEN, chars = 1, 3, "0123456789+ "


def encode(string, num_rows):
    x = np.zeros((num_rows, len(chars)))
    for i, c in enumerate(string):
        x[i, chars.index(c)] = 1
    return x


questions = [f"{a}+{b}" for a in range(10) for b in range(10)] * 4
expected = [str(eval(q)).ljust(DIGITS + 1) for q in questions]
x = np.array([encode(q, MAXLEN) for q in questions])
y = np.array([encode(a, DIGITS + 1) for a in expected])
x_val, y_val = x[:40], y[:40]

model = keras.Sequential()
model.add(layers.Input((MAXLEN, len(chars))))
model.add(layers.LSTM(32))
model.add(layers.RepeatVector(DIGITS + 1))
for _ in range(1):
    model.add(layers.LSTM(32, return_sequences=True))
model.add(layers.Dense(len(chars), activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
model.summary()
losses = []
for epoch in range(1, 4):
    history = model.fit(x, y, batch_size=16, epochs=1, validation_data=(x_val, y_val))
    losses += history.history["loss"]
    preds = np.argmax(model.predict(x_val[:1], verbose=0), axis=-1)
    guess = "".join(chars[i] for i in preds[0])
    print("Q", questions[0], "T", expected[0], guess)
assert losses[-1] < losses[0] and len(guess) == DIGITS + 1
