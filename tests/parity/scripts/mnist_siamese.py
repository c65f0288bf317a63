"""Whether two digits are the same, by one network for both and the distance of what it puts out (Hadsell et al. 2006)."""
import keras
import numpy as np
from keras import ops
from keras.layers import Dense, Dropout, Flatten, Input
from keras.models import Model
from small_data import digits

(x, y), _ = digits(300, 10)
x = x.astype("float32") / 255
rng = np.random.default_rng(0)
left = rng.integers(0, 300, 600)
right = np.where(rng.random(600) < 0.5, rng.integers(0, 300, 600), [rng.choice(np.flatnonzero(y == y[i])) for i in left])
same = (y[left] == y[right]).astype("float32")


def create_base_network(input_shape):
    input = Input(shape=input_shape)
    x = Flatten()(input)
    x = Dense(32, activation="relu")(x)
    x = Dropout(0.1)(x)
    x = Dense(32, activation="relu")(x)
    return Model(input, x)


base_network = create_base_network((8, 8))
input_a = Input(shape=(8, 8))
input_b = Input(shape=(8, 8))
processed_a = base_network(input_a)
processed_b = base_network(input_b)
sum_square = ops.sum(ops.square(processed_a - processed_b), axis=1, keepdims=True)
distance = ops.sqrt(ops.maximum(sum_square, 1e-7))
output = Dense(1, activation="sigmoid")(distance)
model = Model([input_a, input_b], output)
model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.RMSprop(0.003), metrics=["accuracy"])
history = model.fit([x[left], x[right]], same, batch_size=30, epochs=5)
vectors = base_network.predict(x[:5])
assert vectors.shape == (5, 32) and history.history["loss"][-1] < history.history["loss"][0]
