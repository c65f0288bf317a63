"""Texts by convolutions over word vectors that are given and stay as they are."""
import keras
import numpy as np
from keras import layers
from small_data import reviews

texts, y_train = reviews(200)
x_train = keras.utils.pad_sequences(texts, 24)
num_tokens, embedding_dim = 200, 12
embedding_matrix = np.random.default_rng(0).standard_normal((num_tokens, embedding_dim)).astype("float32")

embedding_layer = layers.Embedding(num_tokens, embedding_dim, trainable=False)
embedding_layer.build((1,))
embedding_layer.set_weights([embedding_matrix])

int_sequences_input = keras.Input(shape=(24,), dtype="int32")
embedded_sequences = embedding_layer(int_sequences_input)
x = layers.Conv1D(16, 5, activation="relu")(embedded_sequences)
x = layers.MaxPooling1D(2)(x)
x = layers.Conv1D(16, 5, activation="relu")(x)
x = layers.GlobalMaxPooling1D()(x)
x = layers.Dense(16, activation="relu")(x)
x = layers.Dropout(0.5)(x)
preds = layers.Dense(2, activation="softmax")(x)
model = keras.Model(int_sequences_input, preds)
model.summary()
model.compile(loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["acc"])
history = model.fit(x_train, y_train, batch_size=20, epochs=4, validation_split=0.2)
assert (embedding_layer.get_weights()[0] == embedding_matrix).all()
assert history.history["loss"][-1] < history.history["loss"][0]
