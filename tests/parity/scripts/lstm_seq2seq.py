"""Words turned round, character by character: an encoder's last state begins the decoder; text then comes from models of their layers."""
import keras
import numpy as np

rng = np.random.default_rng(0)
letters = "\t\nabcde"
words = ["".join(rng.choice(list("abcde"), 3)) for _ in range(160)]
num_tokens, length = len(letters), 5
encoder_input_data = np.zeros((len(words), length, num_tokens), dtype="float32")
decoder_input_data = np.zeros((len(words), length, num_tokens), dtype="float32")
decoder_target_data = np.zeros((len(words), length, num_tokens), dtype="float32")
for i, word in enumerate(words):
    for t, char in enumerate(word):
        encoder_input_data[i, t, letters.index(char)] = 1.0
    for t, char in enumerate("\t" + word[::-1] + "\n"):
        decoder_input_data[i, t, letters.index(char)] = 1.0
        if t > 0:
            decoder_target_data[i, t - 1, letters.index(char)] = 1.0

latent_dim = 16
encoder_inputs = keras.Input(shape=(length, num_tokens))
encoder = keras.layers.LSTM(latent_dim, return_state=True)
encoder_outputs, state_h, state_c = encoder(encoder_inputs)
encoder_states = [state_h, state_c]
decoder_inputs = keras.Input(shape=(length, num_tokens))
decoder_lstm = keras.layers.LSTM(latent_dim, return_sequences=True, return_state=True)
decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=encoder_states)
decoder_dense = keras.layers.Dense(num_tokens, activation="softmax")
decoder_outputs = decoder_dense(decoder_outputs)
model = keras.Model([encoder_inputs, decoder_inputs], decoder_outputs)
model.compile(optimizer=keras.optimizers.RMSprop(0.01), loss="categorical_crossentropy", metrics=["accuracy"])
history = model.fit([encoder_input_data, decoder_input_data], decoder_target_data, batch_size=16, epochs=5, validation_split=0.2)

encoder_model = keras.Model(encoder_inputs, encoder_states)
h, c = encoder_model.predict(encoder_input_data[:2], verbose=0)
one = keras.Input(shape=(1, num_tokens))
state_in = [keras.Input(shape=(latent_dim,)), keras.Input(shape=(latent_dim,))]
out, state_h, state_c = decoder_lstm(one, initial_state=state_in)
decoder_model = keras.Model([one] + state_in, [decoder_dense(out), state_h, state_c])
target = np.zeros((2, 1, num_tokens))
target[:, 0, 0] = 1
first, h, c = decoder_model.predict([target, h, c], verbose=0)
whole = model.predict([encoder_input_data[:2], decoder_input_data[:2]], verbose=0)
np.testing.assert_allclose(first[:, 0], whole[:, 0], atol=1e-5)
assert history.history["loss"][-1] < history.history["loss"][0]
