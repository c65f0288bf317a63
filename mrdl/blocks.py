"""The lines of a prepared dataset; see docs/streaming.md."""
from mrdl.data.blocks import Block, BlockError, unpack

__all__ = ["Block", "BlockError", "unpack"]
