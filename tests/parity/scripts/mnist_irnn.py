"""Digits read pixel by pixel by a recurrent network of rectified units that begins as the identity (Le et al. 2015)."""
import keras
from keras import initializers
from keras.layers import Activation, Dense, SimpleRNN
from keras.models import Sequential
from keras.optimizers import RMSprop
from small_data import digits

hidden_units = 32
(x_train, y_train), (x_test, y_test) = digits(200, 50)
x_train = x_train.reshape(x_train.shape[0], -1, 1).astype("float32") / 255
x_test = x_test.reshape(x_test.shape[0], -1, 1).astype("float32") / 255
y_train = keras.utils.to_categorical(y_train, 10)
y_test = keras.utils.to_categorical(y_test, 10)

model = Sequential()
model.add(SimpleRNN(hidden_units, kernel_initializer=initializers.RandomNormal(stddev=0.001),
                    recurrent_initializer=initializers.Identity(gain=1.0), activation="relu",
                    input_shape=x_train.shape[1:]))
model.add(Dense(10))
model.add(Activation("softmax"))
model.compile(loss="categorical_crossentropy", optimizer=RMSprop(learning_rate=1e-3, clipnorm=1.0), metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=32, epochs=4, verbose=1, validation_data=(x_test, y_test))
scores = model.evaluate(x_test, y_test, verbose=0)
print("IRNN test score:", scores[0], "IRNN test accuracy:", scores[1])
assert history.history["loss"][-1] < history.history["loss"][0]
