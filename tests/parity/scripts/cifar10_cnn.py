"""Small colour pictures by four convolutions; the model is saved and opened again."""
import os
import tempfile

import keras
import numpy as np
from keras.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from keras.models import Sequential
from small_data import pictures

num_classes = 3
x_train, y_train = pictures(160, classes=3)
x_test, y_test = pictures(60, classes=3, seed=1)
y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)
x_train = x_train.astype("float32") / 255
x_test = x_test.astype("float32") / 255

model = Sequential()
model.add(Conv2D(8, (3, 3), padding="same", input_shape=x_train.shape[1:]))
model.add(Activation("relu"))
model.add(Conv2D(8, (3, 3)))
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Conv2D(16, (3, 3), padding="same"))
model.add(Activation("relu"))
model.add(Conv2D(16, (3, 3)))
model.add(Activation("relu"))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(64))
model.add(Activation("relu"))
model.add(Dropout(0.5))
model.add(Dense(num_classes))
model.add(Activation("softmax"))
opt = keras.optimizers.RMSprop(learning_rate=0.001)
model.compile(loss="categorical_crossentropy", optimizer=opt, metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=16, epochs=6, validation_data=(x_test, y_test), shuffle=True)

save_dir = tempfile.mkdtemp()
model_path = os.path.join(save_dir, "keras_cifar10_trained_model.h5")
model.save(model_path)
scores = model.evaluate(x_test, y_test, verbose=1)
again = keras.models.load_model(model_path)
np.testing.assert_allclose(again.predict(x_test), model.predict(x_test), atol=1e-6)
assert scores[1] > 0.6
