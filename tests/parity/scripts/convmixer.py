"""ConvMixer: patches mixed by depthwise convolutions and by those of 1 x 1 (Trockman and Kolter 2022)."""
import os
import tempfile

import keras
from keras import layers
from small_data import pictures

x_train, y_train = pictures(128, classes=3)
x_val, y_val = pictures(32, classes=3, seed=1)
x_test, y_test = pictures(32, classes=3, seed=2)


def activation_block(x):
    x = layers.Activation("gelu")(x)
    return layers.BatchNormalization()(x)


def conv_stem(x, filters: int, patch_size: int):
    x = layers.Conv2D(filters, kernel_size=patch_size, strides=patch_size)(x)
    return activation_block(x)


def conv_mixer_block(x, filters: int, kernel_size: int):
    x0 = x
    x = layers.DepthwiseConv2D(kernel_size=kernel_size, padding="same")(x)
    x = layers.Add()([activation_block(x), x0])
    x = layers.Conv2D(filters, kernel_size=1)(x)
    return activation_block(x)


def get_conv_mixer(image_size=16, filters=16, depth=2, kernel_size=5, patch_size=2, num_classes=3):
    inputs = keras.Input((image_size, image_size, 3))
    x = layers.Rescaling(scale=1.0 / 255)(inputs)
    x = conv_stem(x, filters, patch_size)
    for _ in range(depth):
        x = conv_mixer_block(x, filters, kernel_size)
    x = layers.GlobalAvgPool2D()(x)
    outputs = layers.Dense(num_classes, activation="softmax")(x)
    return keras.Model(inputs, outputs)


model = get_conv_mixer()
optimizer = keras.optimizers.AdamW(learning_rate=0.005, weight_decay=0.0001)
model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
checkpoint_filepath = os.path.join(tempfile.mkdtemp(), "checkpoint.keras")
checkpoint_callback = keras.callbacks.ModelCheckpoint(checkpoint_filepath, monitor="val_accuracy", save_best_only=True,
                                                      save_weights_only=False)
history = model.fit(x_train, y_train, batch_size=16, validation_data=(x_val, y_val), epochs=3, callbacks=[checkpoint_callback])
model = keras.models.load_model(checkpoint_filepath)
_, accuracy = model.evaluate(x_test, y_test)
print(f"Test accuracy: {round(accuracy * 100, 2)}%")
assert history.history["loss"][-1] < history.history["loss"][0]
