"""A residual network with weight decay, a schedule by epochs, and a rate that falls on a plateau (He et al. 2015)."""
import keras
import numpy as np
from keras.callbacks import LearningRateScheduler, ReduceLROnPlateau
from keras.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
)
from keras.models import Model
from keras.optimizers import Adam
from keras.regularizers import l2
from small_data import pictures

x_train, y_train = pictures(128, classes=3)
x_test, y_test = pictures(48, classes=3, seed=1)
x_train, x_test = x_train / 255, x_test / 255
mean = np.mean(x_train, axis=0)
x_train -= mean
x_test -= mean
y_train = keras.utils.to_categorical(y_train, 3)
y_test = keras.utils.to_categorical(y_test, 3)


def lr_schedule(epoch):
    return 1e-2 if epoch < 3 else 1e-3


def resnet_layer(inputs, num_filters=8, kernel_size=3, strides=1, activation="relu", batch_normalization=True):
    x = Conv2D(num_filters, kernel_size=kernel_size, strides=strides, padding="same", kernel_initializer="he_normal",
               kernel_regularizer=l2(1e-4))(inputs)
    if batch_normalization:
        x = BatchNormalization()(x)
    return Activation(activation)(x) if activation is not None else x


inputs = Input(shape=x_train.shape[1:])
x = resnet_layer(inputs=inputs)
num_filters = 8
for stack in range(2):
    for block in range(1):
        strides = 2 if stack > 0 and block == 0 else 1
        y = resnet_layer(inputs=x, num_filters=num_filters, strides=strides)
        y = resnet_layer(inputs=y, num_filters=num_filters, activation=None)
        if stack > 0 and block == 0:
            x = resnet_layer(inputs=x, num_filters=num_filters, kernel_size=1, strides=strides, activation=None,
                             batch_normalization=False)
        x = keras.layers.add([x, y])
        x = Activation("relu")(x)
    num_filters *= 2
x = AveragePooling2D(pool_size=4)(x)
y = Flatten()(x)
outputs = Dense(3, activation="softmax", kernel_initializer="he_normal")(y)
model = Model(inputs=inputs, outputs=outputs)
model.compile(loss="categorical_crossentropy", optimizer=Adam(learning_rate=lr_schedule(0)), metrics=["accuracy"])
model.summary()
callbacks = [LearningRateScheduler(lr_schedule), ReduceLROnPlateau(factor=np.sqrt(0.1), cooldown=0, patience=5, min_lr=0.5e-6)]
model.fit(x_train, y_train, batch_size=16, epochs=5, validation_data=(x_test, y_test), shuffle=True, callbacks=callbacks)
assert abs(float(np.asarray(model.optimizer.learning_rate)) - 1e-3) < 1e-8
assert model.evaluate(x_test, y_test)[1] > 0.4
