"""Which layers stand in a table of tests, and which do not."""
import mrdl
from mrdl.layers import LAYERS, Input


def kinds(stacks, graphs=()):
    """The classes of the layers in these stacks, and in models of these (inputs, outputs)."""
    models = [mrdl.Model(*graph).layers for graph in graphs]
    return {type(layer) for stack in [*stacks, *models] for layer in stack} | {Input}


def lacking(found):
    """The names of the layers that are not among those found."""
    return sorted(layer.__name__ for layer in set(LAYERS) - found)
