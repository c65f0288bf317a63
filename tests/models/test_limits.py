"""Specs from strangers: what takes too much is refused in one line, before it is taken."""
import json
import os
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pytest

import mrdl
from mrdl import limits
from mrdl.cli import main
from mrdl.config import ConfigError
from mrdl.layers import (
    LAYERS,
    Add,
    AveragePooling2D,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Embedding,
    Flatten,
    Input,
    MaxPooling2D,
    RepeatVector,
    Reshape,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from mrdl.layers.reshaping import Rows
from mrdl.metrics import AUC, ConfusionMatrix


@pytest.fixture(autouse=True)
def one_gigabyte(monkeypatch):
    monkeypatch.setattr(limits, "most", 1 << 30)


def compiled(*layers):
    model = mrdl.Sequential(list(layers))
    model.compile("adam", "mse")
    return model


ABSURD = {
    "up": lambda: compiled(Input((2, 2, 1)), UpSampling2D((10 ** 6, 10 ** 6)), Flatten()),
    "up1": lambda: compiled(Input((2, 1)), UpSampling1D(10 ** 9), Flatten()),
    "padding": lambda: compiled(Input((2, 2, 1)), ZeroPadding2D(20_000), Flatten()),
    "padding1": lambda: compiled(Input((2, 1)), ZeroPadding1D(10 ** 9), Flatten()),
    "repeat": lambda: compiled(Input((2,)), RepeatVector(2 ** 40), Flatten()),
    "embedding": lambda: compiled(Input((3,)), Embedding(300_000_000, 3), Flatten()),
    "dense": lambda: compiled(Input((10 ** 6,)), Dense(10 ** 6))}


@pytest.mark.parametrize("name", ABSURD)
@pytest.mark.parametrize("use", [
    lambda m, x: m.build() and limits.check(m, 32), lambda m, x: m.predict(x), lambda m, x: m.fit(x, np.zeros((2, 1))),
    lambda m, x: m.evaluate(x, np.zeros((2, 1))), lambda m, x: mrdl.adapt(m, "nowhere")])
def test_a_spec_that_would_take_gigabytes_is_refused_in_one_line_before_it_takes_any(name, use):
    tracemalloc.start()
    try:
        model = ABSURD[name]()
        model = mrdl.model_from_json(model.to_json())
        with pytest.raises(ValueError) as error:
            use(model, np.broadcast_to(np.float32(0), (2, *model.input_shape)))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)


def test_the_message_says_how_much_it_is_and_what_to_do():
    with pytest.raises(ConfigError, match=r"^the model's 900,000,000 parameters would take about 3.35 GB of memory, more than the "
                                          r"limit of 1 GB; make the model or the batch smaller, or give a larger --max-memory"):
        ABSURD["embedding"]().build()


def test_a_model_that_trains_takes_about_what_is_estimated():
    """Between a half and twice: the estimate is for refusing what is absurd."""
    model = compiled(Input((500,)), Dense(500, "relu"), Dense(500, "relu"), Dense(1))
    x, y = np.zeros((2048, 500), "f4"), np.zeros((2048, 1), "f4")
    tracemalloc.start()
    model.fit(x, y, batch_size=2048)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken / 2 < limits.needed(model, 2048, training=True) < taken * 2


def test_rounds_are_not_begun_with_a_model_that_is_too_large(tmp_path, made, monkeypatch):
    data = made(40, dtype="float32")
    monkeypatch.setattr(limits, "most", 50_000)
    model = mrdl.Sequential([Dense(1000), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match=r"training the model with \d+ examples at once would take about"):
        mrdl.ParameterAveraging(batch_size=25, runner="inline").fit(model, data.url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_limit_is_an_option_whose_help_states_it(capsys, monkeypatch):
    monkeypatch.setattr(limits, "most", None)
    for command in ("train", "resume", "evaluate", "predict", "generate"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        out = " ".join(capsys.readouterr().out.split())
        assert f"three quarters of this machine's: {limits.shown(limits.limit())}" in out
    assert main(["evaluate", "nowhere", "nodata", "--max-memory", "1.5G"]) == 2 and limits.most == 3 << 29
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "nowhere", "nodata", "--max-memory", "lots"])
    assert left.value.code == 2 and "lots: must be a size of memory, such as 8G or 500M" in capsys.readouterr().err


@pytest.mark.parametrize("text, count", [("8G", 8 << 30), ("500 mb", 500 << 20), ("1000", 1000), ("0.5k", 512)])
def test_amounts_of_memory_are_read(text, count):
    assert limits.size(text) == count


def test_amounts_of_memory_are_shown_in_three_digits():
    assert [limits.shown(count) for count in (512, 8 << 30, 1234567)] == ["512 B", "8 GB", "1.18 MB"]


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if issubclass(kind, Rows)])
def test_the_shape_of_moved_features_is_that_of_their_indices(kind):
    given = {"Permute": {"dims": (2, 1)}, "RepeatVector": {"n": 3}, "ZeroPadding2D": {"padding": ((1, 2), (3, 4))},
             "ZeroPadding1D": {"padding": (1, 2)}, "UpSampling2D": {"size": (2, 3)}, "GetItem": {"key": ((1, None, 2), 3)}}.get(kind.__name__, {})
    shape = {"Permute": (4, 3), "RepeatVector": (4,)}.get(kind.__name__, (4, 5, 6) if "2D" in kind.__name__ else
                                                                (3, 4, 5, 6) if "3D" in kind.__name__ else (5, 6))
    layer = kind(**given)
    assert layer.shape_of_output(shape) == layer.moved(np.zeros(shape)).shape


# -- long and deep specs

def chain(calls: int):
    x = first = Input((2,))
    for _ in range(calls):
        x = Dense(2)(x)
    return mrdl.Model(first, x)


def test_three_thousand_calls_in_a_row_are_read_built_and_computed():
    model = chain(3000)
    form = json.loads(model.to_json())
    form["config"]["layers"].reverse()          # each before what it takes
    again = mrdl.model_from_json(json.dumps(form)).build()
    assert model.predict(np.ones((1, 2))).shape == (1, 2) and again.count_params() == model.count_params() == 18_000


def test_a_layer_called_twice_is_read_whichever_call_comes_first():
    """The first call takes what is made after the second one."""
    a, b, shared = Input((2,), name="a"), Input((2,), name="b"), Dense(2, name="shared")
    late = Dense(2, name="late")
    one, two = shared(late(a)), shared(b)
    model = mrdl.Model([a, b], [one, Dense(3, name="end")(two)])
    form = json.loads(model.to_json())
    form["config"]["layers"].sort(key=lambda entry: entry["name"] != "shared")
    again, x = mrdl.model_from_json(json.dumps(form)).build(), [np.ones((1, 2)), np.full((1, 2), 3.0)]
    model.build()
    again.set_weights([dict(zip(weights(model), model.get_weights()))[name] for name in weights(again)])
    for ours, theirs in zip(model.predict(x), again.predict(x)):
        np.testing.assert_array_equal(ours, theirs)


def weights(model):
    return [f"{step.name}/{weight.name}" for step, weight, _ in model.places()]


@pytest.mark.parametrize("text, reason", [
    (lambda: json.dumps({"class_name": "Sequential", "config": {"layers": [{}] * 10_001}}), "10,001 layers, more than 10,000"),
    (lambda: " " * (16 << 20) + "{}", "bytes, more than"),
    (lambda: "[" * 100_000, "no JSON"),
    (lambda: '{"class_name": "Sequential", "config": {"layers": %s}}' % ('[{"config": ' * 400 + "1" + "}]" * 400), "spec"),
    (lambda: chain(1).to_json().replace('"units": 2', f'"units": {10 ** 30}'), "units=1000000.* must be a whole number"),
    (lambda: chain(1).to_json().replace('"units": 2', f'"units": {"9" * 5000}'), "no JSON"),
    (lambda: nested(200), "nested too deeply|unknown|layer")])
def test_a_spec_that_is_too_long_or_too_deep_is_refused_in_one_line(text, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        mrdl.model_from_json(text())
    assert "\n" not in str(error.value)


def nested(depth):
    """TimeDistributed of TimeDistributed of ..."""
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}}
    for _ in range(depth):
        layer = {"module": "keras.layers", "class_name": "TimeDistributed", "config": {"layer": layer}}
    return json.dumps({"class_name": "Sequential", "config": {"layers": [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, *[1] * 5]}}, layer]}})


class Work:
    """While it runs: how many steps of the interpreter each function of mrdl takes."""

    def __enter__(self):
        self.steps: Counter = Counter()
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def trace(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(os.path.dirname(mrdl.__file__)):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.steps[frame.f_code] += event == "opcode"
        return self.trace


def spec_of(kind, n):
    x = first = Input((2,))
    shared, made = Dense(2), []
    for _ in range(n):
        x = Add()([x, x]) if kind == "merges" else Reshape((2,))(x) if kind == "views" else shared(x)
        made.append(x)
    model = mrdl.Sequential([first, *(Dense(2) for _ in range(n))]) if kind == "stack" else mrdl.Model(
        first, made if kind == "views" else x)
    model.compile({"class_name": "SGD", "config": {"clipnorm": 1.0}}, "mse")
    return model.to_json()


@pytest.mark.parametrize("kind", ["stack", "merges", "shared", "views"])
def test_of_a_model_of_many_layers_the_work_grows_as_their_number(kind):
    found = []
    for n in (16, 32):
        text, zero = spec_of(kind, n), np.zeros((2, 2), "f4")
        with Work() as work:
            model = mrdl.model_from_json(text)
            assert model.to_json() == text
            model.fit(zero, [zero] * n if kind == "views" else zero, verbose=0)
        found.append(work.steps)
    grown = {f"{code.co_filename}:{code.co_firstlineno}": (found[0][code], steps) for code, steps in found[1].items()
             if steps > 2.6 * found[0][code] + 200}
    assert grown == {}


def test_masks_that_wait_for_each_other_are_each_looked_at_as_they_are_known():
    def tensor(name):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    def called(name, kind, *args, module="keras.src.ops.numpy", **config):
        return {"module": module, "class_name": kind, "name": name, "config": {"name": name, **config},
                "inbound_nodes": [{"args": list(args), "kwargs": {}}]}
    found = []
    for n in (40, 80):
        ends = [called("m0", "NotEqual", tensor("i"), 0.0)] + [
            called(f"m{i}", "LogicalOr", tensor(f"m{i - 1}"), tensor("m0")) for i in range(1, n)]
        text = json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": [
            {"class_name": "InputLayer", "name": "i", "config": {"batch_shape": [None, 3, 1]}, "inbound_nodes": []},
            called("a", "Masking", tensor("i"), module="keras.layers", mask_value=0.0), *reversed(ends)],
            "input_layers": [["i", 0, 0]], "output_layers": [["a", 0, 0]]}})
        with Work() as work:
            assert len(mrdl.model_from_json(text).layers) == 2
        found.append(sum(work.steps.values()))
    assert found[1] < 2.6 * found[0]


WINDOWS = {
    "pool": (Input((3, 1, 1)), MaxPooling2D(10 ** 9, padding="same")),
    "stride": (Input((3, 1, 1)), AveragePooling2D(2, strides=2 ** 62, padding="same")),
    "convolution": (Input((3, 1, 1)), Conv2D(1, 10 ** 9, padding="same")),
    "dilation": (Input((3, 1, 1)), Conv2D(1, 3, padding="same", dilation_rate=10 ** 10)),
    "transpose": (Input((3, 1, 1)), Conv2DTranspose(1, 300))}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_that_the_kernels_do_not_have_is_refused_with_its_layer(name):
    with pytest.raises(ConfigError, match=r"^layer 1, \w+: a window of \d+ x \d+ over its input is too much: at most 65,536"):
        compiled(*WINDOWS[name], Flatten(), Dense(1))


def test_layers_that_double_what_they_get_are_refused_at_the_first_that_no_machine_holds():
    x = Input((3,))
    with pytest.raises(ConfigError, match="Concatenate: its output would have the shape .*, more values than any machine can hold"):
        for number in range(100):
            x = Concatenate()([x, x])
    assert number == 46                         # 3 * 2^47 > 2^48
    with pytest.raises(ConfigError, match="layer 1, RepeatVector: its output would have"):
        compiled(Input((2,)), RepeatVector(2 ** 62), Flatten())


@pytest.mark.parametrize("metric", [AUC(num_thresholds=10 ** 9), ConfusionMatrix(num_classes=10 ** 9)])
def test_a_metric_whose_state_is_too_large_is_refused_before_a_run_is_begun(tmp_path, made, metric):
    model = mrdl.Sequential([Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[metric])
    data = made(40, dtype="float32")
    with pytest.raises(ConfigError, match="would take about .* of memory"):
        mrdl.ParameterAveraging(batch_size=25, runner="inline").fit(model, data.url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
