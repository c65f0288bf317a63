"""A model's weights, names and files: they come back whole, and files from strangers do no harm."""
import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import arrays, classifier
from safetensors.numpy import load, save

import mrdl
from mrdl.config import ConfigError
from mrdl.layers import Dense, Flatten, Input
from mrdl.optimizers import Adam
from mrdl.schedules import ExponentialDecay


def test_weights_come_and_go_in_the_order_and_shapes_of_keras():
    model = classifier()
    given = [np.random.default_rng(0).random(s) for s in ((6, 16), (16,), (16, 3), (3,))]
    model.set_weights(given)
    got = model.get_weights()
    assert [w.shape for w in got] == [(6, 16), (16,), (16, 3), (3,)]
    for a, b in zip(got, given):
        assert (a == b.astype("f4")).all() and a.flags.c_contiguous
    got[0][:] = 0                                       # a copy
    assert model.get_weights()[0].any()
    before = model.weights.tobytes()
    for wrong, reason in ((given[:3], "4 weights, 3 were given"),
                          ([given[0].T, *given[1:]], r"dense/kernel has the shape \(6, 16\), not")):
        with pytest.raises(ValueError, match=reason):
            model.set_weights(wrong)
    assert model.weights.tobytes() == before


def test_adding_a_layer_keeps_the_weights_that_are_there():
    model = mrdl.Sequential([Input(4), Dense(3, "relu")]).build(seed=1)
    kept = [w + 1 for w in model.get_weights()]
    model.set_weights(kept)
    model.add(Dense(2, "softmax"))
    model.build(seed=1)
    got = model.get_weights()
    assert [w.shape for w in got] == [(4, 3), (3,), (3, 2), (2,)]
    assert (got[0] == kept[0]).all() and (got[1] == kept[1]).all() and got[2].any()
    whole = mrdl.Sequential([Input(4), Dense(3, "relu"), Dense(2, "softmax")]).build(seed=1)
    assert (whole.get_weights()[2] == got[2]).all()


def test_names_are_the_own_or_the_first_that_are_free():
    model = mrdl.Sequential([Input(4), Dense(4), Dense(4, name="dense_1"), Dense(4), Flatten(),
                             Dense(4, name="x")])
    assert model.names() == ["dense", "dense_1", "dense_2", "flatten", "x"]
    assert len(load(model.to_safetensors())) == 8
    unbuilt = mrdl.Sequential([Dense(4), Dense(4)])
    assert mrdl.model_from_json(unbuilt.to_json()).names() == unbuilt.names()


@pytest.mark.parametrize("form", [{"indent": 2}, {"separators": (",", ":")}, {"sort_keys": True}, {"ensure_ascii": False}])
def test_the_spec_is_written_in_the_form_that_is_asked_for(form):
    plain = mrdl.Sequential([Input(4), Dense(3, name="größe")]).to_json()
    again = mrdl.model_from_json(plain).to_json(**form)
    assert again == json.dumps(json.loads(plain), **form) != plain


def test_a_saved_model_comes_back_whole(tmp_path):
    x, y = arrays()
    model = classifier(Adam(ExponentialDecay(0.01, 10, 0.5)))
    model.fit(x, y)
    model.save(str(tmp_path / "deep" / "model"))
    again = mrdl.load_model(str(tmp_path / "deep" / "model"))
    assert again.to_json() == model.to_json() and (again.predict(x) == model.predict(x)).all()
    assert again.evaluate(x, y, return_dict=True) == model.evaluate(x, y, return_dict=True)
    tensors = load((tmp_path / "deep" / "model" / "model.safetensors").read_bytes())
    assert set(tensors) == {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}
    with pytest.raises(ConfigError, match="holds no model.json"):
        mrdl.load_model(str(tmp_path))
    (tmp_path / "deep" / "model" / "model.json").write_bytes(b"\x80\xff")
    (tmp_path / "deep" / "model" / "saved.json").unlink()
    with pytest.raises(ConfigError, match="no JSON"):
        mrdl.load_model(str(tmp_path / "deep" / "model"))


def test_the_summary_shows_layers_shapes_and_parameters(capsys):
    text = classifier().summary()
    assert capsys.readouterr().out == text + "\n"
    assert text.splitlines() == [
        'Model "sequential"',
        "layer              output      parameters",
        "-----------------------------------------",
        "dense (Dense)      (None, 16)         112",
        "dropout (Dropout)  (None, 16)           0",
        "dense_1 (Dense)    (None, 3)           51",
        "163 parameters, 0.0 MB"]


def parts(data):
    """header, values of a safetensors file."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def file_of(header, values):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def damaged():
    """Files that do not belong to `classifier`, by what is wrong."""
    good = classifier().build().to_safetensors()
    header, values = parts(good)
    tensors = load(good)

    def entry(name="dense/bias", **changes):
        return file_of(header | {name: header[name] | changes}, values)

    return {
        "empty": b"", "short": good[:4], "header cut": good[:30], "values cut": good[:-1],
        "longer": good + b"0", "text": b"hello, world, this is text", "zeros": bytes(100),
        "header of 2^63": struct.pack("<Q", 2 ** 63) + good[8:],
        "header of 4 GB": struct.pack("<Q", 2 ** 32) + good[8:], "no JSON": file_of(b"{", values),
        "no text": file_of(b"\xff\xff", values), "deep": file_of(b"[" * 10 ** 5, values),
        "a list": file_of(b"[1, 2]", values), "numbers": file_of({"dense/bias": 3}, values),
        "offsets over the end": entry(data_offsets=[0, 10 ** 12]),
        "offsets reversed": entry(data_offsets=[64, 0]), "offsets below": entry(data_offsets=[-4, 60]),
        "huge shape": entry(shape=[2 ** 40, 2 ** 40]), "overflow": entry(shape=[2 ** 32, 2 ** 32, 16]),
        "shape below": entry(shape=[-16]), "unknown type": entry(dtype="PICKLE"),
        "bfloat16": save_raw({"dense/bias": ("BF16", [16], bytes(32))}, tensors),
        "other shape": save(tensors | {"dense/bias": np.zeros(15, "f4")}),
        "other rank": save(tensors | {"dense/bias": np.zeros((16, 1), "f4")}),
        "transposed": save(tensors | {"dense/kernel": np.zeros((16, 6), "f4")}),
        "wider": save(tensors | {"dense/bias": np.zeros(16)}),
        "integers": save(tensors | {"dense/bias": np.zeros(16, "i4")}),
        "missing": save({k: v for k, v in tensors.items() if k != "dense/bias"}),
        "one more": save(tensors | {"a\nb" * 1000: np.zeros(1, "f4")}), "none": save({}),
    }


def save_raw(raw, tensors):
    """A file with tensors of types that NumPy has not."""
    header, values = {}, b""
    entries = {k: ("F32", list(v.shape), v.tobytes()) for k, v in tensors.items()} | raw
    for name, (dtype, shape, data) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(values), len(values) + len(data)]}
        values += data
    return file_of(header, values)


@pytest.mark.parametrize("what", damaged())
def test_a_damaged_or_foreign_file_of_weights_is_one_clear_line_and_changes_nothing(what):
    data, model = damaged()[what], classifier().build()
    before = model.weights.tobytes()
    tracemalloc.start()
    with pytest.raises(ConfigError) as error:
        model.load_weights(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert "model.safetensors" in str(error.value) and peak < 10 ** 6
    assert model.weights.tobytes() == before


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_file_with_changed_bytes_loads_or_is_one_clear_line(data):
    raw = bytearray(classifier().build().to_safetensors())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, 700) | st.integers(0, len(raw) - 1))] = data.draw(
            st.integers(0, 255))
    raw = bytes(raw[:data.draw(st.none() | st.integers(0, len(raw)))])
    model = classifier()
    try:
        model.load_weights(raw)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert len(model.weights) == 163


def test_a_spec_from_a_stranger_takes_no_memory_for_weights_that_are_not_in_the_file():
    huge = mrdl.Sequential([Input(10 ** 4), Dense(10 ** 4), Dense(10 ** 12)])
    tracemalloc.start()
    with pytest.raises(ConfigError, match="does not belong|not float32 of"):
        mrdl.model_from_json(huge.to_json()).load_weights(classifier().build().to_safetensors())
    assert tracemalloc.get_traced_memory()[1] < 10 ** 6
    tracemalloc.stop()


def test_narrower_floats_are_widened():
    model, wide = classifier().build(seed=1), classifier(dtype="float64")
    wide.load_weights(model.to_safetensors())
    assert (wide.weights == model.weights).all()
