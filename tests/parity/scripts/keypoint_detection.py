"""Where in a picture points lie, by a frozen base and separable convolutions, of which the last puts out two numbers a point."""
import keras
import numpy as np
from keras import layers
from small_data import pictures

IMG_SIZE, NUM_KEYPOINTS = 32, 4 * 2
x_train, y = pictures(64, IMG_SIZE)
keypoints = np.repeat(y[:, None] * 0.5 + 0.25, NUM_KEYPOINTS, 1).reshape(-1, 1, 1, NUM_KEYPOINTS).astype("float32")


def get_model():
    backbone = keras.Sequential([keras.Input((IMG_SIZE, IMG_SIZE, 3)), layers.Conv2D(16, 3, strides=2, activation="relu"),
                                 layers.Conv2D(16, 3, strides=2, activation="relu")], name="backbone")
    backbone.trainable = False
    inputs = layers.Input((IMG_SIZE, IMG_SIZE, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = backbone(x)
    x = layers.Dropout(0.3)(x)
    x = layers.SeparableConv2D(NUM_KEYPOINTS, kernel_size=5, strides=1, activation="relu")(x)
    outputs = layers.SeparableConv2D(NUM_KEYPOINTS, kernel_size=3, strides=1, activation="sigmoid")(x)
    return keras.Model(inputs, outputs, name="keypoint_detector")


model = get_model()
model.summary()
model.compile(loss="mse", optimizer=keras.optimizers.Adam(1e-2))
history = model.fit(x_train, keypoints, epochs=4, batch_size=16)
assert history.history["loss"][-1] < history.history["loss"][0]
