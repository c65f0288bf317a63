"""Specs from anyone: a model comes of them, or one clear line and nothing else."""
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mrdl
from mrdl.config import ConfigError
from mrdl.initializers import VarianceScaling
from mrdl.layers import Activation, Dense, Dropout, Flatten, Input, Rescaling, Reshape
from mrdl.metrics import MeanAbsoluteError
from mrdl.optimizers import Adam
from mrdl.schedules import ExponentialDecay


def one_line(error):
    text = str(error.value)
    return "\n" not in text and 0 < len(text) < 600


def spec():
    """A model with everything in it, in Keras's JSON form."""
    model = mrdl.Sequential([
        Input((2, 3)), Rescaling(0.5), Flatten(), Reshape((3, 2)), Reshape((-1,)),
        Dense(4, "relu", kernel_initializer=VarianceScaling(), kernel_regularizer="l2"),
        Dropout(0.5), Activation("tanh"), Dense(2, "softmax")])
    model.compile(Adam(ExponentialDecay(0.1, 10, 0.5)), "categorical_crossentropy",
                  metrics=["accuracy", MeanAbsoluteError()])
    return json.loads(model.to_json())


LAYER = ["config", "layers"]
DENSE = [*LAYER, 5, "config"]
COMPILED = ["compile_config"]
CHANGES = [                                             # path, value, part of the message
    ([*LAYER, 5, "class_name"], "Conv4D", "unknown layer 'Conv4D' (did you mean Conv3D?); there are Conv1D, Conv2D, "),
    ([*LAYER, 5, "class_name"], "Sequential", "the spec has no list of layers"),
    ([*LAYER, 5, "class_name"], None, "unknown layer None"),
    ([*LAYER, 5, "class_name"], ["Dense"], "unknown layer"),
    ([*LAYER, 5, "module"], "my.layers", "unknown layer 'Dense' of its own module"),
    ([*LAYER, 5, "registered_name"], "Custom>Dense", "unknown layer 'Dense' of its own module"),
    ([*LAYER, 5], None, "the spec has the layer None"), ([*LAYER, 5], "dense", "the layer 'dense'"),
    ([*LAYER, 5, "config"], 3, "config=3 is no object"), (DENSE, {}, "Dense: units is missing"),
    ([*DENSE, "activation"], "glu", "unknown activation 'glu'; there are linear, relu"),
    ([*DENSE, "activation"], 3, "unknown activation 3"),
    ([*DENSE, "activation"], {"class_name": "function", "config": "glu"}, "activation 'glu'"),
    ([*DENSE, "trainable"], "no", "Dense: trainable='no'"),
    (["config", "trainable"], 3, "trainable=3 must be true or false"),
    ([*DENSE, "units"], 0, "Dense: units=0 must be above 0"), ([*DENSE, "units"], -3, "units=-3"),
    ([*DENSE, "units"], 1.5, "Dense: units=1.5 must be a whole number"),
    ([*DENSE, "units"], "4", "whole number"), ([*DENSE, "units"], True, "whole number"),
    ([*DENSE, "units"], None, "whole number"), ([*DENSE, "units"], [4], "whole number"),
    ([*DENSE, "use_bias"], None, "use_bias=None must be true or false"),
    ([*DENSE, "name"], 3, "name=3 must be a string"), ([*DENSE, "name"], "a/b", "hold a '/'"),
    ([*DENSE, "name"], "dense_1", "two layers have the name 'dense_1'"),
    ([*DENSE, "name"], "input_layer", "two layers have the name"), ([*DENSE, "name"], "", "empty"),
    ([*DENSE, "name"], "a\nb" * 500, None), ([*DENSE, "lora_rank"], 4, "Dense: lora_rank=4 is not"),
    ([*DENSE, "activity_regularizer"], {"class_name": "L2"}, "activity_regularizer"),
    ([*DENSE, "kernel_constraint"], {"class_name": "Positive"}, "unknown constraint 'Positive'"),
    ([*DENSE, "kernel_initializer"], "stft", "unknown initializer 'stft'"),
    ([*DENSE, "kernel_initializer"], None, "kernel_initializer is missing"),
    ([*DENSE, "kernel_initializer", "config", "mode"], "fan", "mode='fan' is none of fan_in"),
    ([*DENSE, "kernel_initializer", "config", "distribution"], [], "distribution"),
    ([*DENSE, "kernel_initializer", "config", "distribution"], "cauchy", "distribution='cauchy'"),
    ([*DENSE, "kernel_initializer", "config", "scale"], -1.0, "scale=-1.0 must be above 0"),
    ([*DENSE, "kernel_initializer", "config", "seed"], {"class_name": "SeedGenerator"}, "seed"),
    ([*DENSE, "kernel_initializer", "config", "input_axes"], [0], "input_axes"),
    ([*DENSE, "kernel_regularizer"], "orthogonal_regularizer", "unknown regularizer"),
    ([*DENSE, "kernel_regularizer", "config", "l2"], -0.1, "L2: its factors must be 0 or more"),
    ([*DENSE, "kernel_regularizer", "config", "l2"], float("nan"), "L2: l2=nan must be a finite"),
    ([*DENSE, "dtype"], "float16", "Dense: dtype 'float16' is not supported"),
    ([*DENSE, "dtype"], "float64", "Dense: its dtype 'float64' is not the model's 'float32'"),
    ([*DENSE, "dtype"], {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}, "mixed"),
    ([*DENSE, "dtype"], {"class_name": "DTypePolicy", "config": 3}, "dtype"),
    (["config", "dtype"], "float64", "is not the model's 'float64'"),
    (["config", "dtype"], "bfloat16", "'bfloat16'"), (["config", "dtype"], 3, "dtype"),
    (["config", "name"], 3, "name=3 is no string"), (["config", "name"], "", "name"),
    ([*LAYER, 1, "config", "scale"], [1, 2], "Rescaling: scale=[1, 2] must be a finite number"),
    ([*LAYER, 3, "config", "target_shape"], [4, 2], "Reshape: 6 features do not fit (4, 2)"),
    ([*LAYER, 3, "config", "target_shape"], 6, "target_shape=6 must be a list"),
    ([*LAYER, 3, "config", "target_shape"], [2.5, None], "target_shape=2.5 must be a whole"),
    ([*LAYER, 2, "config", "data_format"], "channels_first", "Flatten: data_format"),
    ([*LAYER, 6, "config", "rate"], 1.0, "Dropout: rate=1.0 must be at least 0 and below 1"),
    ([*LAYER, 6], {"class_name": "PReLU", "config": {"shared_axes": [1, 9]}}, "shared_axes=(1, 9) do not fit"),
    ([*LAYER, 6], {"class_name": "SpatialDropout2D", "config": {
        "rate": 0.5, "data_format": "channels_first"}}, "SpatialDropout2D: data_format"),
    ([*LAYER, 6, "config", "noise_shape"], [1, 2], "Dropout: noise_shape"),
    ([*LAYER, 6, "config", "seed"], 1.5, "Dropout: seed=1.5 must be a whole number or none"),
    ([*LAYER, 0, "config", "batch_shape"], None, "batch_shape must be"),
    ([*LAYER, 0, "config", "batch_shape"], [None, None], "Input: shape=None must be a whole number"),
    ([*LAYER, 0, "config", "batch_shape"], [None, 2, 0], "must be positive"),
    ([*LAYER, 0, "config", "batch_shape"], [None, 7], "layer 3, Reshape: 7 features do not fit"),
    ([*LAYER, 0, "config", "batch_shape"], [None, 10 ** 18], "layer 1, Rescaling: its output would have the shape (1000000000000000000,)"),
    ([*LAYER, 0, "config", "batch_shape"], [None, 10 ** 30], "Input: shape=1000"),
    ([*LAYER, 0, "config", "batch_shape"], {"a": 1}, "batch_shape={'a': 1} is no list"),
    ([*LAYER, 0, "config", "sparse"], True, "with sparse=True, an example must be one row"),
    ([*LAYER, 0, "config", "ragged"], True, "InputLayer: ragged=True is not supported"),
    ([*LAYER, 0, "config", "ragged"], True, "ragged"), ([*LAYER, 0, "config"], [], "is no object"),
    ([*LAYER, 1, "class_name"], "InputLayer", "batch_shape must be"),
    (LAYER, {}, "no list of layers"), (LAYER, None, "no list of layers"),
    (["config"], None, "no list of layers"), (["config"], [1], "the layer 1, no object"),
    ([*LAYER, 0, "config", "batch_shape"], [None] + [10 ** 18] * 1000, "Input: the shape (1000"),
    (["class_name"], "Subclassed", "no Sequential"), (["class_name"], "Functional", "no name"), (["build_config"], 3, "build_config=3"),
    (["build_config"], {"input_shape": "ab"}, "input_shape='ab' is no list"),
    (COMPILED, [1], "compile_config=[1] is no object"),
    ([*COMPILED, "optimizer"], "lookahead", "unknown optimizer 'lookahead'; there are SGD, RMSprop, Ftrl, Ada"),
    ([*COMPILED, "optimizer"], 3, "unknown optimizer 3"),
    ([*COMPILED, "optimizer", "config", "weight_decay"], -0.1, "Adam: weight_decay must be 0 or more"),
    ([*COMPILED, "optimizer", "config", "use_ema"], 3, "use_ema=3 must be true or false"),
    ([*COMPILED, "optimizer", "config", "learning_rate"], "fast", "learning_rate='fast'"),
    ([*COMPILED, "optimizer", "config", "learning_rate", "class_name"], "Linear", "unknown learning"),
    ([*COMPILED, "optimizer", "config", "learning_rate", "config"], {}, "initial_learning_rate is"),
    ([*COMPILED, "loss"], "slices", "unknown loss 'slices'"), ([*COMPILED, "loss"], ["mse", "mse"], "one for each output"),
    ([*COMPILED, "loss"], {"a": "mse"}, "there is no output ['a']"),
    ([*COMPILED, "loss"], "binary_crossentropy", "needs an output with activation 'sigmoid'"),
    ([*COMPILED, "loss", "config", "reduction"], "sum", "reduction='sum' is not supported"),
    ([*COMPILED, "loss", "config", "reduction"], None, "reduction=None is not supported"),
    ([*COMPILED, "loss", "config", "label_smoothing"], 1.5, "label_smoothing=1.5 must be"),
    ([*COMPILED, "loss", "config", "axis"], 0, "axis=0"),
    ([*COMPILED, "metrics"], ["dcg"], "unknown metric 'dcg'; there are Recall, AUC, Hinge, "),
    ([*COMPILED, "metrics"], ["acuracy"], "unknown metric 'acuracy' (did you mean accuracy?); there are "),
    ([*COMPILED, "metrics"], "accuracy", "metrics='accuracy' is no list"),
    ([*COMPILED, "metrics"], [None], "a metric is missing"),
    ([*COMPILED, "metrics"], [["accuracy"], []], "one for each output"),
    ([*COMPILED, "metrics"], ["sparse_categorical_accuracy"], "take different targets"),
    ([*COMPILED, "loss_weights"], [2.0, 1.0], "loss_weights"),
    ([*COMPILED, "weighted_metrics"], ["accuracy"], "weighted_metrics"),
]


def changed(path, value):
    whole = copy.deepcopy(spec())
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return json.dumps(whole)


def test_the_spec_of_these_tests_is_good():
    assert json.loads(mrdl.model_from_json(json.dumps(spec())).to_json()) == spec()


@pytest.mark.parametrize("path, value, reason", CHANGES,
                         ids=[f"{'.'.join(map(str, p[-2:]))}={v!r}"[:60] for p, v, _ in CHANGES])
def test_a_bad_spec_is_one_clear_line(path, value, reason):
    if reason is None:
        mrdl.model_from_json(changed(path, value)).build()
        return
    with pytest.raises(ConfigError) as error:
        mrdl.model_from_json(changed(path, value))
    assert reason in str(error.value) and one_line(error)


@pytest.mark.parametrize("path", [[*DENSE, "trainable"], [*DENSE, "units"], [*COMPILED, "loss"],
                                  [*LAYER, 5, "class_name"], ["class_name"], ["config", "dtype"]])
@pytest.mark.parametrize("value", ["x\n" * 10 ** 5, list(range(10 ** 5)), {"a\nb": ["c"] * 10 ** 4},
                                   10 ** 4000, 1e308], ids=["text", "list", "object", "int", "1e308"])
def test_a_huge_value_is_still_one_short_line(path, value):
    with pytest.raises(ConfigError) as error:
        mrdl.model_from_json(changed(path, value))
    assert one_line(error)


@pytest.mark.parametrize("text", [
    "", "{", "no", "null", "3", "[]", "[" * 10 ** 5, '{"a":' * 10 ** 5, '{"class_name": "Sequential"}',
    '{"class_name": "Sequential", "config": {"layers": ' + "[" * 500 + "]" * 500 + "}}",
    b"\xff\xfe\x00", b"\x80abc", "9" * 10 ** 5,
], ids=lambda text: repr(text[:30]))
def test_what_is_no_spec_is_one_clear_line(text):
    with pytest.raises(ConfigError) as error:
        mrdl.model_from_json(text)
    assert one_line(error)


def test_a_truncated_spec_is_refused_wherever_it_ends():
    text = json.dumps(spec())
    for end in range(0, len(text), 7):
        with pytest.raises(ConfigError):
            mrdl.model_from_json(text[:end])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["Dense", "relu", "float64", "Adam", "mse", "softmax", "l2", "function"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(max_size=4) | st.sampled_from(["class_name", "config", "name", "units", "dtype"]),
        inner, max_size=4), max_leaves=12)


def paths(value, path=()):
    yield path
    for key, inner in (value.items() if isinstance(value, dict) else
                       enumerate(value) if isinstance(value, list) else ()):
        yield from paths(inner, (*path, key))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from([p for p in paths(spec()) if p]), JSON)
def test_any_change_to_a_spec_gives_a_model_or_one_clear_line(path, value):
    try:
        model = mrdl.model_from_json(changed(path, value))
        again = model.to_json()
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) < 700
    else:
        assert mrdl.model_from_json(again).to_json() == again


@settings(max_examples=200, deadline=None, derandomize=True)
@given(JSON)
def test_garbage_gives_one_clear_line(value):
    with pytest.raises(ConfigError):
        mrdl.model_from_json(json.dumps({"class_name": "Sequential", "config": {"layers": value}})
                             if value not in ([], {}) else "")
