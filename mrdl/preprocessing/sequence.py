"""keras.preprocessing.sequence."""
from mrdl.utils import pad_sequences

__all__ = ["pad_sequences"]
