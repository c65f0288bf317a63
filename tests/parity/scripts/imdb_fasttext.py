"""Reviews by the mean of their words' and word pairs' vectors (Joulin et al. 2016)."""
import itertools

from keras.layers import Dense, Embedding, GlobalAveragePooling1D
from keras.models import Sequential
from keras.preprocessing import sequence
from small_data import reviews

max_features, maxlen = 200, 40
pairs = {}


def with_pairs(texts):
    """Each text, and behind its words an id for each two that stand side by side, from max_features on."""
    return [text + [pairs.setdefault(pair, len(pairs) % 100 + max_features) for pair in itertools.pairwise(text)] for text in texts]


(x_train, y_train), (x_test, y_test) = reviews(300), reviews(60, seed=1)
x_train = sequence.pad_sequences(with_pairs(x_train), maxlen=maxlen)
x_test = sequence.pad_sequences(with_pairs(x_test), maxlen=maxlen)

model = Sequential()
model.add(Embedding(max_features + 100, 16))
model.add(GlobalAveragePooling1D())
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=10, epochs=6, validation_data=(x_test, y_test))
assert history.history["loss"][-1] < history.history["loss"][0]
