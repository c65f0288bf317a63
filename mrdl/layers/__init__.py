"""The layers, by Keras's names."""
from mrdl.layers.core import Activation, Dense, Dropout, Flatten, Input, Rescaling, Reshape

LAYERS = [Input, Dense, Activation, Dropout, Rescaling, Flatten, Reshape]
__all__ = [layer.__name__ for layer in LAYERS]
