"""The file of a state."""
import json

import numpy as np
import pytest
from safetensors.numpy import save

from mrdl.rounds.state import State, checksum
from mrdl.storage.sealed import seal


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_has_the_bytes_that_the_safetensors_library_writes(dtype):
    state = State(np.arange(12, dtype=dtype), 6, round=3)
    facts = seal({**state.facts, "dtype": dtype, "checksum": checksum(state.vector)})
    assert state.dump() == save({"vector": state.vector}, {"mrdl": json.dumps(facts)})
    assert State.parse(state.dump(), "").vector.tobytes() == state.vector.tobytes()
