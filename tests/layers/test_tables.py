"""No layer stays outside the tables of tests, and each failure says which table lacks it."""
import re
from pathlib import Path

import test_convolution
import test_layers
import test_levels
import test_normalization
import test_recurrent
import test_sequences
from graphs import GRAPHS
from layer_tables import kinds, lacking

from mrdl.layers import LAYERS

KERAS_MD = Path(__file__).parents[2] / "docs/keras.md"


def test_every_layer_has_its_gradient_checked():
    found = kinds([*test_layers.WAYS_IN.values(), *test_layers.MIDDLES.values(),
                   *(layers for _, layers in test_convolution.STACKS.values()),
                   *test_normalization.STACKS.values(), *test_recurrent.STACKS.values(),
                   *(layers for table in (test_sequences.STACKS, test_sequences.OF_IDS) for layers, _ in table.values())],
                  [build() for build in GRAPHS.values()])
    assert not lacking(found), (
        "in no table of gradient checks: MIDDLES in test_layers.py, ON_IMAGES or ON_SEQUENCES in test_convolution.py, "
        "STACKS in test_normalization.py, test_recurrent.py or test_sequences.py, GRAPHS in tests/support/graphs.py")


def test_every_layer_trains_on_all_levels():
    found = kinds([*test_levels.LAYERS, *test_levels.IDS, test_levels.AFTER_IDS], [test_levels.merging()])
    assert not lacking(found), "not compared over CPU levels: LAYERS, or merging(), in tests/bits/test_levels.py"


def test_every_layer_is_named_in_the_documentation():
    words = set(re.findall(r"\w+", KERAS_MD.read_text()))
    named = {layer for layer in LAYERS if {layer.__name__, re.sub("[123]D$", "", layer.__name__)} & words}
    assert not lacking(named), "docs/keras.md does not name it"
