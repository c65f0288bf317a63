"""No layer stays outside the tables that compare it with Keras's."""
import test_keras_augmentation
import test_keras_layers
import test_keras_sequences
from graphs import GRAPHS
from layer_tables import kinds, lacking
from not_in_keras import NOT_IN_KERAS


def test_every_layer_is_compared_with_that_of_keras():
    found = kinds([*(layers for _, layers, _ in test_keras_layers.TABLE),
                   *(layers for layers, _ in test_keras_sequences.KERAS.values()), test_keras_augmentation.RANDOM],
                  [build() for build in GRAPHS.values()])
    assert not lacking(found | NOT_IN_KERAS), (
        "not compared with Keras: TABLE in tests/parity/test_keras_layers.py, KERAS in test_keras_sequences.py; if Keras has no such "
        "layer, NOT_IN_KERAS in tests/support/not_in_keras.py")
