"""A memory network: a question's words weigh a story's sentences (Sukhbaatar et al. 2015)."""
import numpy as np
from keras.layers import (
    LSTM,
    Activation,
    Dense,
    Dropout,
    Embedding,
    Input,
    Permute,
    add,
    concatenate,
    dot,
)
from keras.models import Model, Sequential

rng = np.random.default_rng(0)
vocab_size, story_maxlen, query_maxlen = 20, 10, 4
answers = rng.integers(1, 5, 200)
inputs = rng.integers(5, vocab_size, (200, story_maxlen))
inputs[:, 8] = answers
queries = rng.integers(5, vocab_size, (200, query_maxlen))

input_sequence = Input((story_maxlen,))
question = Input((query_maxlen,))
input_encoder_m = Sequential()
input_encoder_m.add(Embedding(input_dim=vocab_size, output_dim=16))
input_encoder_m.add(Dropout(0.3))
input_encoder_c = Sequential()
input_encoder_c.add(Embedding(input_dim=vocab_size, output_dim=query_maxlen))
input_encoder_c.add(Dropout(0.3))
question_encoder = Sequential()
question_encoder.add(Embedding(input_dim=vocab_size, output_dim=16))
question_encoder.add(Dropout(0.3))

input_encoded_m = input_encoder_m(input_sequence)
input_encoded_c = input_encoder_c(input_sequence)
question_encoded = question_encoder(question)
match = dot([input_encoded_m, question_encoded], axes=(2, 2))
match = Activation("softmax")(match)
response = add([match, input_encoded_c])
response = Permute((2, 1))(response)
answer = concatenate([response, question_encoded])
answer = LSTM(16)(answer)
answer = Dropout(0.3)(answer)
answer = Dense(vocab_size)(answer)
answer = Activation("softmax")(answer)
model = Model([input_sequence, question], answer)
model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit([inputs, queries], answers, batch_size=20, epochs=4, validation_split=0.1)
assert history.history["loss"][-1] < history.history["loss"][0]
