"""The file of a state, and that of a coded one."""
import json

import numpy as np
import pytest
from averaged import network
from safetensors.numpy import save

from mrdl.codings import BFloat16, Int8
from mrdl.layers import BatchNormalization
from mrdl.rounds.broadcast import broadcast
from mrdl.rounds.partial import CHUNK
from mrdl.rounds.state import State, StateError, checksum
from mrdl.storage.local import Local
from mrdl.storage.sealed import seal


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_has_the_bytes_that_the_safetensors_library_writes(dtype):
    state = State(np.arange(12, dtype=dtype), 6, round=3)
    facts = seal({**state.facts, "dtype": dtype, "checksum": checksum(state.vector)})
    assert state.dump() == save({"vector": state.vector}, {"mrdl": json.dumps(facts)})
    assert State.parse(state.dump(), "").vector.tobytes() == state.vector.tobytes()


def coded(tmp_path, kind, dtype="float32", width=3, seed=0):
    model = network(width)
    model.add(BatchNormalization())
    model.build((5,))
    rng = np.random.default_rng(0)
    state = State(rng.standard_normal(3 * model.weights.size).astype(dtype), model.weights.size, round=4, iterations=9, rate_scale=0.5)
    state.slots[1:] **= 2
    return model, state, broadcast(state, model.places(), kind, seed, Local(str(tmp_path)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_coded_state_is_read_as_what_the_driver_takes_it_for(tmp_path, dtype):
    model, state, sent = coded(tmp_path, Int8(), dtype, CHUNK // 8)     # two chunks of weights
    with sent.file() as path:
        read = State.load(path)
    assert not list(tmp_path.iterdir()) and len(sent.messages) > 3
    assert read.vector.tobytes() == sent.state.vector.tobytes() and {**read.facts} == {**state.facts} and read.vector.dtype == dtype
    assert sent.nbytes < len(sent.dump()) < sent.nbytes + 3000
    for step, weight, start in model.places():
        before, after = (vector[start:start + weight.size] for vector in (state.vector, read.vector))
        assert (before.tobytes() == after.tobytes()) != weight.trainable, weight.name
        assert abs(after - before).max() <= abs(before).max() / 127 * 1.0001
    slots = read.slots / state.slots
    assert (slots <= 1).all() and (slots > 1 - 2 ** -7).all()           # rounded towards 0


def test_the_random_numbers_of_a_coded_state_are_those_of_seed_and_round(tmp_path):
    one, again, other = (coded(tmp_path, Int8(), seed=seed)[2] for seed in (1, 1, 2))
    assert one.dump() == again.dump() != other.dump()


@pytest.mark.parametrize("change", [
    lambda sent: sent.messages.pop(), lambda sent: sent.messages.append(sent.messages[0]),
    lambda sent: sent.messages.__setitem__(0, sent.messages[0][:-1] + b"x"), lambda sent: sent.messages.__setitem__(0, b"xy")],
    ids=["one less", "one more", "another byte", "no message"])
def test_a_damaged_coded_state_is_refused(tmp_path, change):
    _, _, sent = coded(tmp_path, BFloat16())
    whole = sent.dump()
    change(sent)
    for data in (sent.dump(), whole[:-1], whole + b"x"):
        with pytest.raises(StateError, match="is not a state of a run"):
            State.parse(data, "file")
    (tmp_path / "file").write_bytes(whole)
    with pytest.raises(StateError, match="is not a state of a run"):
        State.weights_of(str(tmp_path / "file"))                # what is scored is never coded
