"""Several inputs and outputs by name: how urgent a ticket is and who should have it, from its title, its text and its tags."""
import keras
import numpy as np
from keras import layers
from small_data import reviews

num_tags, num_words, num_departments = 12, 200, 2
texts, department = reviews(160)
titles, _ = reviews(160, length=6, seed=1)
title_data = keras.utils.pad_sequences(titles, 6)
body_data = keras.utils.pad_sequences(texts, 20)
tags_data = np.random.default_rng(0).integers(0, 2, (160, num_tags)).astype("float32")
priority_targets = tags_data[:, :1]
dept_targets = keras.utils.to_categorical(department, num_departments)

title_input = keras.Input(shape=(6,), name="title")
body_input = keras.Input(shape=(20,), name="body")
tags_input = keras.Input(shape=(num_tags,), name="tags")
title_features = layers.Embedding(num_words, 8)(title_input)
body_features = layers.Embedding(num_words, 8)(body_input)
title_features = layers.LSTM(8)(title_features)
body_features = layers.LSTM(8)(body_features)
x = layers.concatenate([title_features, body_features, tags_input])
priority_pred = layers.Dense(1, name="priority", activation="sigmoid")(x)
department_pred = layers.Dense(num_departments, name="department", activation="softmax")(x)
model = keras.Model(inputs=[title_input, body_input, tags_input],
                    outputs={"priority": priority_pred, "department": department_pred})
model.compile(optimizer=keras.optimizers.RMSprop(1e-2),
              loss={"priority": keras.losses.BinaryCrossentropy(), "department": keras.losses.CategoricalCrossentropy()},
              loss_weights={"priority": 1.0, "department": 0.2})
history = model.fit({"title": title_data, "body": body_data, "tags": tags_data},
                    {"priority": priority_targets, "department": dept_targets}, epochs=4, batch_size=32)
assert history.history["loss"][-1] < history.history["loss"][0]
