"""Files as safetensors' own `save` writes them."""
import numpy as np
import pytest
from safetensors.numpy import load, save

from mrdl.storage.tensorfile import packed


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_bytes_are_those_of_safetensors(dtype):
    rng = np.random.default_rng(0)
    tensors = {"b/x": rng.random((4, 3)).astype(dtype).T, "a": np.ones((), dtype), "é\"\\\n\x01\x7f漢": rng.random(0).astype(dtype),
               "B/1": rng.random((2, 0, 3)).astype(dtype)}
    plain = {name: np.array(values, order="C") for name, values in tensors.items()}
    for text in ("", 'q"é\u2028😀'):
        assert packed(tensors, {"mrdl": text}) == save(plain, {"mrdl": text})
    assert load(packed(tensors, {"mrdl": ""}))["b/x"].tolist() == tensors["b/x"].tolist()
