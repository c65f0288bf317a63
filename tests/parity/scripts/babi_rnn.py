"""A story and a question, each by its own recurrent network; the answer is a word."""
import keras
import numpy as np
from keras import layers
from keras.layers import Dense, Dropout, Embedding
from keras.models import Model

rng = np.random.default_rng(0)
vocab_size, story_maxlen, query_maxlen = 22, 8, 3
y = rng.integers(1, 5, 240)
x = rng.integers(5, vocab_size, (240, story_maxlen))
x[:, 6] = y
xq = rng.integers(5, vocab_size, (240, query_maxlen))

sentence = layers.Input(shape=(story_maxlen,), dtype="int32")
encoded_sentence = Embedding(vocab_size, 16)(sentence)
encoded_sentence = layers.GRU(16)(encoded_sentence)
question = layers.Input(shape=(query_maxlen,), dtype="int32")
encoded_question = Embedding(vocab_size, 16)(question)
encoded_question = layers.GRU(16)(encoded_question)
merged = layers.concatenate([encoded_sentence, encoded_question])
merged = Dropout(0.3)(merged)
preds = Dense(vocab_size, activation="softmax")(merged)
model = Model([sentence, question], preds)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit([x, xq], y, batch_size=16, epochs=8, validation_split=0.05)
loss, acc = model.evaluate([x, xq], y, batch_size=16)
print(f"Test loss / test accuracy = {loss:.4f} / {acc:.4f}")
assert acc > 0.6
