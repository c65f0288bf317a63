"""No layer stays outside the tables of tests, and each failure says which table lacks it."""
import re
from pathlib import Path

import test_convolution
import test_graph
import test_keras_layers
import test_layers
import test_levels
import test_normalization
import test_recurrent
import test_sequences
from not_in_keras import NOT_IN_KERAS

import mrdl
from mrdl.layers import LAYERS, Input

KERAS_MD = Path(__file__).parents[2] / "docs/keras.md"


def kinds(stacks, graphs=()):
    models = [mrdl.Model(*graph).layers for graph in graphs]
    return {type(layer) for stack in [*stacks, *models] for layer in stack} | {Input}


def lacking(found):
    """The names of the layers that are not among those found."""
    return sorted(layer.__name__ for layer in set(LAYERS) - found)


def test_every_layer_has_its_gradient_checked():
    found = kinds([*test_layers.WAYS_IN.values(), *test_layers.MIDDLES.values(),
                   *(layers for _, layers in test_convolution.STACKS.values()),
                   *test_normalization.STACKS.values(), *test_recurrent.STACKS.values(),
                   *(layers for table in (test_sequences.STACKS, test_sequences.OF_IDS) for layers, _ in table.values())],
                  [build() for build in test_graph.GRAPHS.values()])
    assert not lacking(found), (
        "in no table of gradient checks: MIDDLES in test_layers.py, ON_IMAGES or ON_SEQUENCES in test_convolution.py, "
        "STACKS in test_normalization.py, test_recurrent.py or test_sequences.py, GRAPHS in test_graph.py")


def test_every_layer_is_compared_with_that_of_keras():
    found = kinds([*(layers for _, layers, _ in test_keras_layers.TABLE),
                   *(layers for layers, _ in test_sequences.KERAS.values())],
                  [build() for build in test_graph.GRAPHS.values()])
    assert not lacking(found | NOT_IN_KERAS), (
        "not compared with Keras: TABLE in tests/parity/test_keras_layers.py, KERAS in test_sequences.py; if Keras has no such "
        "layer, NOT_IN_KERAS in tests/support/not_in_keras.py")


def test_every_layer_trains_on_all_levels():
    found = kinds([*test_levels.LAYERS, *test_levels.IDS, test_levels.AFTER_IDS], [test_levels.merging()])
    assert not lacking(found), "not compared over CPU levels: LAYERS, or merging(), in tests/bits/test_levels.py"


def test_every_layer_is_named_in_the_documentation():
    words = set(re.findall(r"\w+", KERAS_MD.read_text()))
    named = {layer for layer in LAYERS if {layer.__name__, re.sub("[12]D$", "", layer.__name__)} & words}
    assert not lacking(named), "docs/keras.md does not name it"
