"""No public layer stays outside the tables of the gradient checks and of Keras's equals."""
import test_convolution
import test_graph
import test_keras_layers
import test_layers
import test_normalization
import test_recurrent
import test_sequences

import mrdl
from mrdl.layers import LAYERS, GravesLSTM, Input


def kinds(stacks):
    graphs = [mrdl.Model(*build()).layers for build in test_graph.GRAPHS.values()]
    return {type(layer) for stack in [*stacks, *graphs] for layer in stack} | {Input}


def test_every_layer_has_its_gradient_checked():
    assert kinds([*test_layers.WAYS_IN.values(), *test_layers.MIDDLES.values(),
                  *(layers for _, layers in test_convolution.STACKS.values()),
                  *test_normalization.STACKS.values(), *test_recurrent.STACKS.values(),
                  *(layers for table in (test_sequences.STACKS, test_sequences.OF_IDS) for layers, _ in table.values())
                  ]) == set(LAYERS)


def test_every_layer_is_compared_with_that_of_keras():
    # Keras has no GravesLSTM: tests/layers/test_recurrent.py has its equations
    assert kinds([*(layers for _, layers, _ in test_keras_layers.TABLE),
                  *(layers for layers, _ in test_sequences.KERAS.values())]) == set(LAYERS) - {GravesLSTM}
