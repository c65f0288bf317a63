"""Functional models: several inputs and outputs, shared layers, merges: gradients, data, rounds, and what is refused."""
import copy
import json
import pickle

import numpy as np
import pytest
from gradients import Probe
from graphs import GRAPHS, LOSSES, arrays, made, two_outputs
from shards import rows

import mrdl
from mrdl import ParameterAveraging
from mrdl.config import ConfigError
from mrdl.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    Input,
    Subtract,
)
from mrdl.optimizers import SGD
from mrdl.training.network import Network

# -- gradients

@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("n", [5, 17])
def test_the_gradient_of_a_graph_is_that_of_the_differences(name, n):
    Probe(made(name, "float64", SGD(1.0)), None, n, buffers=20, weighted=True).check()


@pytest.mark.parametrize("clip", [{"clipnorm": 0.05}, {"global_clipnorm": 0.05}])
def test_the_gradient_of_a_shared_layer_is_clipped_as_a_whole(clip):
    whole = Probe(made("shared", "float64", SGD(1.0)), None)
    cut = Probe(made("shared", "float64", SGD(1.0, **clip)), None)
    tensors = [slice(a, b) for a, b in whole.learner.tensors]
    g = whole.gradient()
    norms = [np.linalg.norm(g[t]) for t in tensors]
    for t, norm in zip(tensors, norms):
        norm = np.linalg.norm(norms) if "global_clipnorm" in clip else norm
        np.testing.assert_allclose(cut.gradient()[t], g[t] * min(1, 0.05 / norm), rtol=1e-9)


# -- data

def test_inputs_and_targets_are_lists_dicts_or_one_row_of_all():
    model = made("two outputs").build(seed=1)
    (a, b), (kind, size) = arrays(model, 9)
    wanted = model.evaluate([a, b], [kind, size], return_dict=True)
    assert wanted == model.evaluate({"right": b, "left": a}, {"size": size, "kind": kind}, return_dict=True)
    assert wanted == model.evaluate(np.hstack([a, b]), np.hstack([kind[:, None], size]), return_dict=True)
    assert [p.shape for p in model.predict([a, b])] == [(9, 3), (9, 2)]
    assert [p.shape for p in model.predict([a[:0], b[:0]])] == [(0, 3), (0, 2)]


@pytest.mark.parametrize("x, y, reason", [
    ([np.ones((4, 5))], None, "x is a list of 1, not of 2: left, right"),
    ([np.ones((4, 5)), np.ones((3, 3))], None, "differ in length"),
    ({"left": np.ones((4, 5))}, None, "x has the names"),
    ([np.ones((4, 5)), np.ones((4, 4))], None, r"examples of shape \(8,\)"),
    (None, [np.ones(4)], "y is a list of 1"), (None, np.ones((4, 2)), "need 3 target values per example"),
    (None, np.full((4, 3), 0.5), "class numbers"),
])
def test_data_that_does_not_fit_a_graph_is_refused(x, y, reason):
    model = made("two outputs")
    x = [np.ones((4, 5)), np.ones((4, 3))] if x is None else x
    y = [np.ones(4, "i4"), np.ones((4, 2))] if y is None else y
    with pytest.raises(ConfigError, match=reason):
        model.fit(x, y)


def test_class_weights_need_one_output():
    model = made("two outputs")
    x, y = arrays(model, 4)
    with pytest.raises(ConfigError, match="class_weight is for models of one output"):
        model.fit(x, y, class_weight={0: 2.0})


@pytest.mark.parametrize("runner, resident", [("inline", "never"), ("local", "never"), ("local", "always")])
def test_a_graph_trains_scores_and_predicts_by_rounds(tmp_path, runner, resident):
    model = made("two outputs", optimizer="adam")
    x, y = arrays(model, 50)
    np.savez(tmp_path / "raw.npz", x=np.hstack(x), y=np.hstack([y[0][:, None], y[1]]).astype("f4"))
    data = mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=2, hold_out=0.2, runner="inline")
    result = ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, epochs=1, runner=runner, cores=2,
                                resident=resident, seed=3).fit(model, data.url, run=str(tmp_path / "run"))
    assert {"val_loss", "val_kind_loss", "val_kind_accuracy", "val_size_mse"} <= set(result.metrics)
    held = [rows(s) for s in data.validation()]
    found = model.evaluate(np.concatenate([h["x"] for h in held]), np.concatenate([h["y"] for h in held]), return_dict=True)
    assert result.metrics["val_size_mse"] == pytest.approx(found["size_mse"])
    mrdl.predict(str(tmp_path / "run"), data.url, str(tmp_path / "out"), runner="inline")
    assert (tmp_path / "out" / "columns.csv").read_text().strip() == (
        "target0,target1,target2,output0,output1,output2,output3,output4")


def test_inline_and_local_give_the_same_bits_for_a_graph_with_moving_moments(tmp_path):
    def model():
        x = Input((5,))
        h = BatchNormalization()(Dense(6, "relu")(x))
        built = mrdl.Model(x, Dense(3, "softmax")(Dropout(0.3)(Add()([h, Dense(6)(Dropout(0.2)(h))]))))
        built.compile("adam", "sparse_categorical_crossentropy")
        return built
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "raw.npz", x=rng.random((60, 5)).astype("f4"), y=rng.integers(0, 3, 60).astype("i4"))
    data = mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=2, runner="inline")
    bits = []
    for runner, resident in (("inline", "never"), ("local", "never"), ("local", "always")):
        run = str(tmp_path / f"{runner}-{resident}")
        result = ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, epochs=1, runner=runner, cores=2,
                                    resident=resident).fit(model(), data.url, run=run)
        bits.append(result.model.weights.tobytes())
    assert len(set(bits)) == 1


def test_two_calls_of_one_dropout_draw_apart():
    x, drop = Input((50,)), Dropout(0.5)
    model = mrdl.Model(x, Concatenate()([drop(x), drop(x)]))
    net = Network(model.build(), 4, model.weights, training=True)
    net.read(np.ones((4, 50), "f4"), np.arange(4))
    net.forward()
    one, two = net.outputs[0][:50, :4], net.outputs[0][50:, :4]
    assert 0.3 < (one != two).mean() < 0.7


def test_the_summary_of_a_graph_says_what_each_layer_takes(capsys):
    made("shared").summary()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[3:9]] == [
        "input_layer", "twin", "input_layer_1", "twin", "again", "again, again"]
    assert sum("as above" in line for line in lines) == 3 and "73 parameters" in lines[-1]


# -- what is refused

@pytest.mark.parametrize("make, reason", [
    (lambda: mrdl.Model(Input((3,)), Input((3,))), "outputs are what layers gave"), (lambda: mrdl.Model([], Dense(2)(Input((3,)))), "inputs are what Input"),
    (lambda: mrdl.Model(Input((3,)), Dense(2)(Input((3,)))), "an Input that is not among the model's inputs"),
    (lambda: mrdl.Model(Dense(2), Dense(2)(Input((3,)))), "inputs are what Input gave"),
    (lambda: Dense(2)([Input((3,))]), "Dense is called with"), (lambda: Dense(2)(np.ones(3)), "Dense is called with"),
    (lambda: Add()(Input((3,))), "not a list of what Input"), (lambda: Add()([Input((3,))]), "needs at least two inputs"),
    (lambda: Add()([Input((3,)), Input((4,))]), r"must have the same shape, .* not \(3,\), \(4,\)"),
    (lambda: Subtract()([Input((3,))] * 3), "Subtract takes two inputs, not 3"),
    (lambda: Dot(1)([Input((3,))] * 3), "Dot takes two inputs, not 3"),
    (lambda: Dot(1)([Input((3,)), Input((4,))]), "do not fit inputs"), (lambda: Dot(0), "and not 0, which is the batch"),
    (lambda: Concatenate()([Input((3, 2)), Input((4, 3))]), "do not fit along axis -1"),
    (lambda: Concatenate(0)([Input((3,)), Input((4,))]), "do not fit along axis 0"),
    (lambda: mrdl.Sequential([Input((3,)), Add()]), "Add takes several inputs: use mrdl.Model"),
    (lambda: mrdl.Model(x := Input((3,)), [Dense(2, name="a")(x), Dense(2, name="a")(x)]), "two layers have the name"),
])
def test_graphs_that_make_no_sense_are_refused(make, reason):
    with pytest.raises(ConfigError, match=reason):
        make()


def test_a_shared_layer_wants_inputs_of_one_shape():
    a, b, layer = Input((3,)), Input((4,)), Dense(2)
    with pytest.raises(ConfigError, match="dense is called with inputs of other shapes"):
        mrdl.Model([a, b], Add()([layer(a), layer(b)]))


def test_an_output_with_its_losss_activation_cannot_go_on():
    x = Input((3,))
    h = Dense(3, "softmax", name="a")(x)
    model = mrdl.Model(x, [h, Dense(2, "softmax", name="b")(h)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match="uses an output as another layer's input"):
        model.fit(np.ones((4, 3)), np.zeros((4, 2), "i4"))


@pytest.mark.parametrize("more, reason", [
    ({"loss": ["mse"]}, "must have one for each output: kind, size"), ({"loss": {"kin": "mse"}}, r"no output \['kin'\]; there are kind, size"),
    ({"loss": {"size": "mse"}}, "a loss for each output"), ({"loss_weights": [1, "2"]}, "loss_weights"),
    ({"loss": ["mae", "mse"], "metrics": [["accuracy"]]}, "must have one for each output: kind, size"),
    ({"loss": "binary_crossentropy"}, "needs an output with activation 'sigmoid'"),
])
def test_what_compile_cannot_give_to_outputs_is_refused(more, reason):
    model = mrdl.Model(*two_outputs())
    with pytest.raises(ConfigError, match=reason):
        model.compile(**{"loss": [LOSSES["kind"], "mse"], **more})
    assert model.loss is None


@pytest.mark.parametrize("path, value, reason", [
    (["config", "layers", 2, "inbound_nodes", 0, "args", 0, "config", "keras_history"], ["left", 3, 0], "not there"),
    (["config", "layers", 2, "inbound_nodes", 0, "args", 0, "config", "keras_history"], None, "not there"),
    (["config", "layers", 2, "inbound_nodes", 0, "args"], [], "calls a layer with"),
    (["config", "layers", 2, "inbound_nodes", 0, "args", 0], 7, "which is no tensor"),
    (["config", "layers", 2, "inbound_nodes", 0], 7, "a call that is no object"),
    (["config", "layers", 2, "inbound_nodes", 0, "kwargs"], {"mask": 1}, "Dense: mask=1 in its call is not supported"),
    (["config", "layers", 2, "inbound_nodes", 0, "args", 0, "config", "keras_history"], ["dense", 0, 0], "in a circle"),
    (["config", "layers", 2, "name"], "left", "one twice"), (["config", "layers", 2, "name"], None, "has no name"),
    (["config", "input_layers"], [["dense", 0, 0]], "inputs are what Input gave"),
    (["config", "output_layers"], [["nobody", 0, 0]], "not there"), (["config", "output_layers"], [], "outputs are"),
])
def test_a_damaged_spec_of_a_graph_is_one_line(path, value, reason):
    spec = json.loads(made("two outputs").to_json())
    at = spec
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(ConfigError, match=reason) as error:
        mrdl.model_from_json(json.dumps(spec))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["shared", "two outputs"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_a_copy_of_a_graph_is_a_model_of_its_own(name, copied):
    model = made(name, optimizer="adam")
    x, y = arrays(model, 20)
    model.fit(x, y, batch_size=10, epochs=1, verbose=0)
    other, before = copied(model), model.get_weights()
    assert other.to_json() == model.to_json() and all(map(np.array_equal, other.get_weights(), before))
    other.fit(x, y, batch_size=10, epochs=1, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), before))
    model.fit(x, y, batch_size=10, epochs=1, verbose=0)
    assert all(map(np.array_equal, model.get_weights(), other.get_weights()))
