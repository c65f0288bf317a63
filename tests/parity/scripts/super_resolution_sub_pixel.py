"""Pictures made larger by convolutions whose channels become pixels (Shi et al. 2016)."""
import keras
from keras import layers
from small_data import digits

upscale_factor = 2
(large, _), _ = digits(200, 10)
large = large[..., None].astype("float32") / 255
small = large[:, ::2, ::2]


def get_model(upscale_factor=2, channels=1):
    conv_args = {"activation": "relu", "kernel_initializer": "orthogonal", "padding": "same"}
    inputs = keras.Input(shape=(4, 4, channels))
    x = layers.Conv2D(16, 5, **conv_args)(inputs)
    x = layers.Conv2D(16, 3, **conv_args)(x)
    x = layers.Conv2D(channels * (upscale_factor**2), 3, **conv_args)(x)
    x = layers.Reshape((4, 4, upscale_factor, upscale_factor))(x)
    x = layers.Permute((1, 3, 2, 4))(x)
    outputs = layers.Reshape((4 * upscale_factor, 4 * upscale_factor, channels))(x)
    return keras.Model(inputs, outputs)


model = get_model(upscale_factor=upscale_factor)
early_stopping_callback = keras.callbacks.EarlyStopping(monitor="loss", patience=10)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.003), loss=keras.losses.MeanSquaredError())
history = model.fit(small, large, epochs=5, batch_size=20, callbacks=[early_stopping_callback], validation_split=0.2, verbose=2)
assert model.predict(small[:2]).shape == (2, 8, 8, 1) and history.history["loss"][-1] < history.history["loss"][0]
