"""Writes safetensors files: the bytes of safetensors' own `save`, which needs memory for two further copies of all tensors."""
import io
import json
from collections.abc import Mapping

import numpy as np

KINDS = {np.dtype("f4"): "F32", np.dtype("f8"): "F64", np.dtype("u1"): "U8"}


def packed(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file with these tensors.

    Args:
        tensors: by name; all of one type, float32, float64 or uint8. A transposed view needs memory for a copy of its own alone.
        metadata: one key and its text."""
    head, end = {"__metadata__": dict(metadata)}, 0
    for name, values in sorted(tensors.items()):
        head[name] = {"dtype": KINDS[values.dtype], "shape": values.shape, "data_offsets": (end, end + values.nbytes)}
        end += values.nbytes
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file = io.BytesIO()
    file.write(len(text).to_bytes(8, "little") + text)
    for _, values in sorted(tensors.items()):
        file.write(np.ascontiguousarray(values))
    return file.getvalue()                      # its own memory, not a copy
