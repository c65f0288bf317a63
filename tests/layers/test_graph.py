"""Functional models: several inputs and outputs, shared layers, merges; against differences and Keras itself."""
import json

import keras
import numpy as np
import pytest
from gradients import Probe
from shards import rows

import mrdl
from mrdl import ParameterAveraging
from mrdl.config import ConfigError
from mrdl.layers import (
    Activation,
    Add,
    Average,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dot,
    Dropout,
    Flatten,
    Input,
    Maximum,
    MaxPooling2D,
    Minimum,
    Multiply,
    Rescaling,
    Reshape,
    Subtract,
)
from mrdl.optimizers import SGD
from mrdl.training.network import Network


def merged(layer, size=4, inputs=2):
    """Several inputs, a layer of each, the merge, and a classifier on it."""
    def build():
        given = [Input((3 + i,)) for i in range(inputs)]
        parts = [Dense(size, activation)(x) for x, activation in zip(given, ("tanh", "relu", "sigmoid"))]
        return given, Dense(3, "softmax")(layer(parts))
    return build


def residual():
    x = Input((6,))
    h = Dense(6, "relu")(x)
    return x, Dense(3, "softmax")(Dense(5, "relu")(Add()([h, Dense(6)(h), x])))


def shared():
    a, b, layer = Input((4,)), Input((4,)), Dense(5, "tanh", kernel_regularizer="l2", name="twin")
    again = Dense(5, "relu", name="again")
    return [a, b], Dense(3, "softmax")(Subtract()([again(layer(a)), again(again(layer(b)))]))


def images():
    x, y = Input((5, 4, 2), name="picture"), Input((3,), name="facts")
    wide, narrow = Conv2D(3, 3, padding="same", activation="relu")(x), Conv2D(3, 1)(x)
    both = MaxPooling2D(2)(Concatenate()([wide, narrow]))
    return [x, y], Dense(3, "softmax")(Concatenate(axis=1)([Flatten()(both), y]))


def two_outputs():
    a, b = Input((5,), name="left"), Input((3,), name="right")
    h = Concatenate()([Dense(4, "relu")(a), Dense(4, "tanh")(b)])
    return [a, b], [Dense(3, "softmax", name="kind")(h), Dense(2, name="size")(Dense(4, "relu")(h))]


def an_output_that_goes_on():
    x = Input((5,))
    h = Dense(4, "tanh", name="code")(Rescaling(0.5, 0.1)(x))
    return x, [Dense(3, "softmax", name="kind")(Activation("relu")(h)), h]


def rescaled_and_not():
    x = Input((4,))
    return x, Dense(3, "softmax")(Concatenate()([Rescaling(2.0)(x), x]))


def matrices():
    a, b = Input((6,)), Input((8,))
    left, right = Reshape((3, 2))(Dense(6, "tanh")(a)), Reshape((2, 4))(Dense(8)(b))
    return [a, b], Dense(3, "softmax")(Flatten()(Dot((2, 1))([left, right])))


def an_input_that_nothing_takes():
    a, b = Input((4,)), Input((2,))
    return [a, b], Dense(3, "softmax")(a)


# Keras's own, on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
GRAPHS = {
    "Add": merged(Add(), inputs=3), "Subtract": merged(Subtract()), "Multiply": merged(Multiply(), inputs=3),
    "Average": merged(Average(), inputs=3), "Maximum": merged(Maximum(), inputs=3), "Minimum": merged(Minimum()),
    "Concatenate": merged(Concatenate(), inputs=3), "Dot": merged(Dot(1)), "Dot of matrices": matrices,
    "residual": residual, "shared": shared, "images": images, "two outputs": two_outputs,
    "an output that goes on": an_output_that_goes_on, "rescaled and not": rescaled_and_not,
    "an input that nothing takes": an_input_that_nothing_takes,
}
LOSSES = {"": "sparse_categorical_crossentropy", "kind": "sparse_categorical_crossentropy", "size": "mse",
          "code": "mae"}


def made(name, dtype="float32", optimizer=None, **more):
    inputs, outputs = GRAPHS[name]()
    model = mrdl.Model(inputs, outputs, dtype=dtype)
    names = model.output_names() if isinstance(outputs, list) else [""]
    model.compile(optimizer or SGD(0.25), [LOSSES[n] for n in names], loss_weights=[1.0, 0.25][:len(names)],
                  metrics=[["accuracy"], ["mse"]][:len(names)], **more)
    return model


def arrays(model, n, seed=0):
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((n, *shape)).astype("f4") for shape in model.input_shapes()]
    y = [rng.integers(0, 3, n) if head.loss.sparse else rng.standard_normal((n, *head.shape)).astype("f4")
         for head in model.heads()]
    return x, y


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


# -- Keras

def of_keras(model):
    twin = keras.models.model_from_json(model.to_json())
    twin.set_weights(model.get_weights())
    return twin


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_computes_and_scores_as_in_keras_and_its_json_comes_back(name):
    model = made(name).build(seed=1)
    x, y = arrays(model, 20)
    twin, single = of_keras(model), len(model.heads()) == 1
    assert ["/".join(w.path.split("/")[-2:]) for w in twin.weights] == [
        f"{step.name}/{weight.name}" for step, weight, _ in model.places()]
    wanted, got = twin.predict(x if len(x) > 1 else x[0], verbose=0), model.predict(x)
    for mine, theirs in zip([got] if single else got, [wanted] if single else wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    assert mrdl.model_from_json(twin.to_json()).get_config() == model.get_config()
    twin.compile("sgd", [LOSSES[n] for n in (model.output_names() if not single else [""])],
                 loss_weights=model.loss_weights, metrics=[["accuracy"], ["mse"]][:len(model.heads())])
    wanted = twin.evaluate(x if len(x) > 1 else x[0], y if len(y) > 1 else y[0], verbose=0, return_dict=True)
    got = model.evaluate(x, y)
    assert set(got) == set(wanted)
    for key, value in wanted.items():
        assert got[key] == pytest.approx(value, rel=2e-5), key


def test_a_compiled_model_that_keras_wrote_is_read_with_its_losses_by_name():
    twin = of_keras(made("two outputs").build())
    twin.compile("adam", {"kind": LOSSES["kind"], "size": "mse"}, metrics={"kind": ["accuracy"]},
                 loss_weights={"size": 0.5})
    model = mrdl.model_from_json(twin.to_json())
    assert [(h.name, h.weight, list(h.metrics)) for h in model.heads()] == [
        ("kind", 1.0, ["accuracy"]), ("size", 0.5, [])]


@pytest.mark.parametrize("name", ["two outputs", "shared", "images"])
def test_a_graph_trains_as_in_keras(name):
    model = made(name, optimizer=SGD(0.1, momentum=0.9)).build(seed=1)
    x, y = arrays(model, 12)
    twin = of_keras(model)
    twin.compile(keras.optimizers.SGD(0.1, momentum=0.9), [LOSSES[h.name] for h in model.heads()],
                 loss_weights=model.loss_weights)
    model.fit(x, y, batch_size=12, epochs=6)
    twin.fit(x, y if len(y) > 1 else y[0], batch_size=12, epochs=6, shuffle=False, verbose=0)
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-5)


# -- data

def test_inputs_and_targets_are_lists_dicts_or_one_row_of_all():
    model = made("two outputs").build(seed=1)
    (a, b), (kind, size) = arrays(model, 9)
    wanted = model.evaluate([a, b], [kind, size])
    assert wanted == model.evaluate({"right": b, "left": a}, {"size": size, "kind": kind})
    assert wanted == model.evaluate(np.hstack([a, b]), np.hstack([kind[:, None], size]))
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
    x, y = arrays(model, 120)
    np.savez(tmp_path / "raw.npz", x=np.hstack(x), y=np.hstack([y[0][:, None], y[1]]).astype("f4"))
    data = mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=2, hold_out=0.2, runner="inline")
    result = ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, epochs=2, runner=runner, cores=2,
                                resident=resident, seed=3).fit(model, data.url, run=str(tmp_path / "run"))
    assert {"val_loss", "val_kind_loss", "val_kind_accuracy", "val_size_mse"} <= set(result.metrics)
    held = [rows(s) for s in data.validation()]
    found = model.evaluate(np.concatenate([h["x"] for h in held]), np.concatenate([h["y"] for h in held]))
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
    np.savez(tmp_path / "raw.npz", x=rng.random((90, 5)).astype("f4"), y=rng.integers(0, 3, 90).astype("i4"))
    data = mrdl.prepare(str(tmp_path / "raw.npz"), str(tmp_path / "data"), shards=2, runner="inline")
    bits = []
    for runner, resident in (("inline", "never"), ("local", "never"), ("local", "always")):
        run = str(tmp_path / f"{runner}-{resident}")
        result = ParameterAveraging(workers=2, batch_size=8, averaging_frequency=2, epochs=2, runner=runner, cores=2,
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
    (lambda: Add()([Input((3,)), Input((4,))]), r"must have the same shape, not \(3,\), \(4,\)"),
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
