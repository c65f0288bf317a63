"""Models of ours in Keras."""
import keras


def of_keras(model):
    """The same model in Keras, with its weights."""
    twin = keras.models.model_from_json(model.to_json())
    twin.set_weights(model.get_weights())
    return twin
