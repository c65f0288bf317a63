"""Keras's operations on the outputs of layers (mrdl.layers.ops)."""
from mrdl.layers.ops import OPS

globals().update(OPS)
__all__ = list(OPS)
__all__.remove("get_item")          # x[key]
