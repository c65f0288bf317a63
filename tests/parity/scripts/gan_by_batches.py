"""Two networks against each other, each trained batch by batch (Goodfellow et al. 2014): the generator through the discriminator, which is frozen there."""
import numpy as np
from keras.layers import BatchNormalization, Dense, Dropout, Flatten, Input, LeakyReLU, Reshape
from keras.models import Model, Sequential
from keras.optimizers import Adam
from small_data import digits

(x_train, _), _ = digits(200, 10)
x_train = x_train.astype("float32") / 127.5 - 1.0
latent_dim, batch = 8, 20

discriminator = Sequential([Input((8, 8)), Flatten(), Dense(32), LeakyReLU(negative_slope=0.2), Dropout(0.2),
                            Dense(1, activation="sigmoid")], name="discriminator")
discriminator.compile(loss="binary_crossentropy", optimizer=Adam(0.002, 0.5), metrics=["accuracy"])
generator = Sequential([Input((latent_dim,)), Dense(32), LeakyReLU(negative_slope=0.2), BatchNormalization(momentum=0.8),
                        Dense(64, activation="tanh"), Reshape((8, 8))], name="generator")
z = Input(shape=(latent_dim,))
img = generator(z)
discriminator.trainable = False
validity = discriminator(img)
combined = Model(z, validity)
combined.compile(loss="binary_crossentropy", optimizer=Adam(0.002, 0.5))

valid, fake = np.ones((batch, 1)), np.zeros((batch, 1))
before = [np.array(w) for w in generator.get_weights()]
for epoch in range(12):
    imgs = x_train[np.random.randint(0, len(x_train), batch)]
    noise = np.random.normal(0, 1, (batch, latent_dim))
    gen_imgs = generator.predict(noise, verbose=0)
    d_loss_real = discriminator.train_on_batch(imgs, valid)
    d_loss_fake = discriminator.train_on_batch(gen_imgs, fake)
    held = [np.array(w) for w in discriminator.get_weights()]
    g_loss = combined.train_on_batch(np.random.normal(0, 1, (batch, latent_dim)), valid)
    assert all((a == b).all() for a, b in zip(held, discriminator.get_weights()))
assert any((a != b).any() for a, b in zip(before, generator.get_weights())) and np.isfinite(g_loss)
