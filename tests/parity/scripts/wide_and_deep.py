"""A table by a wide part that sees its columns as they are and a deep one (Cheng et al. 2016)."""
import keras
from keras import layers
from small_data import table

x, y = table(600)
inputs = [keras.Input((1,), name=f"column_{i}") for i in range(8)]
wide = layers.BatchNormalization()(layers.concatenate(inputs))
deep = layers.concatenate(inputs)
for units in [32, 32]:
    deep = layers.Dense(units)(deep)
    deep = layers.BatchNormalization()(deep)
    deep = layers.ReLU()(deep)
    deep = layers.Dropout(0.1)(deep)
merged = layers.concatenate([wide, deep])
outputs = layers.Dense(units=2, activation="softmax")(merged)
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.01), loss=keras.losses.SparseCategoricalCrossentropy(),
              metrics=[keras.metrics.SparseCategoricalAccuracy()])
columns = [x[:, i:i + 1] for i in range(8)]
history = model.fit([c[:500] for c in columns], y[:500], epochs=3, batch_size=50)
_, accuracy = model.evaluate([c[500:] for c in columns], y[500:], verbose=0)
print(f"Test accuracy: {round(accuracy * 100, 2)}%")
assert accuracy > 0.85
